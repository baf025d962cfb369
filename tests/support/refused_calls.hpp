// refused_calls: a process in which a call of the system fails.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tutti_test {

/// From now on `call` fails with `error`, in the calling process, which should be a child, and all that it starts;
/// `second`: only where that is its second argument. False: it cannot be done.
inline bool refuse_call(long call, int error, std::optional<unsigned> second = {}) {
  std::vector<::sock_filter> filter;
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)));
  const std::uint8_t rest = second ? 3 : 1;
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, rest));
  if (second) {
    constexpr unsigned low_half = offsetof(::seccomp_data, args[1]);  // of a little-endian machine
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half));
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, *second, 0, 1));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const ::sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

}  // namespace tutti_test
