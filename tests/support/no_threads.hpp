// no_threads: a process that the system gives no more threads: one of its own, as the limit must not hit other tests.
#pragma once
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define TUTTI_TEST_TSAN 1  // whose own background thread the limit would hit
#endif

namespace tutti_test {

/// Root is above the limit. Ends a program that hangs, too.
inline void become_somebody() {
  alarm(30);
  if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
}

/// No thread can be had while it lives.
class no_threads {
 public:
  no_threads() {
    rlimit none{};
    if (getrlimit(RLIMIT_NPROC, &before_) != 0) _exit(4);
    none = {.rlim_cur = 1, .rlim_max = before_.rlim_max};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(4);
  }
  ~no_threads() {
    if (setrlimit(RLIMIT_NPROC, &before_) != 0) _exit(4);
  }
  no_threads(const no_threads&) = delete;
  no_threads& operator=(const no_threads&) = delete;

 private:
  rlimit before_{};
};

}  // namespace tutti_test
