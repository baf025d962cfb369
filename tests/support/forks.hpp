// forks: what happens in a forked child.
#pragma once
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

// For tests in which a child, forked beside threads that may be allocating, allocates or starts threads.
#if defined(__SANITIZE_THREAD__)
#define TUTTI_NEEDS_FORKS_BESIDE_THREADS() \
  GTEST_SKIP() << "the thread sanitizer allows no new threads in a forked child"
#elif defined(__SANITIZE_ADDRESS__)
#define TUTTI_NEEDS_FORKS_BESIDE_THREADS() \
  GTEST_SKIP() << "the address sanitizer's own allocator may be locked in a forked child"
#else
#define TUTTI_NEEDS_FORKS_BESIDE_THREADS() static_cast<void>(0)
#endif

namespace tutti_test {

/// What `f`, which returns an int, returns in a forked child; it must end there within half a minute.
template <class F>
int in_child(F f) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::alarm(30);
    ::_exit(f());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

}  // namespace tutti_test
