// forks: what happens in a forked child.
#pragma once
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

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

// Called by a fork when the library holds its locks: what is registered first is called last.
inline std::function<void()> when_locks_are_held;
struct last_of_all {
  last_of_all() {
    ::pthread_atfork(
        [] {
          if (when_locks_are_held) when_locks_are_held();
        },
        nullptr, nullptr);
  }
};
[[gnu::init_priority(101)]] inline const last_of_all registered_before_the_library;

/// What `f` returns in a child forked while another thread is inside `other`, stuck at a lock that the library holds
/// while it forks; or through with it, if it met none.
template <class Other, class F>
int in_child_forked_inside(Other other, F f) {
  std::atomic<bool> go{false}, through{false};
  std::atomic<::pid_t> id{0};
  std::jthread thread([&] {
    id = ::gettid();
    while (!go) {
    }
    other();
    through = true;
  });
  while (id == 0) std::this_thread::yield();
  const auto sleeps = [path = "/proc/self/task/" + std::to_string(id) + "/stat"] {
    std::ifstream in(path);
    std::string text;
    std::getline(in, text);
    return text.compare(text.rfind(')') + 1, 2, " S") == 0;
  };
  when_locks_are_held = [&] {
    go = true;
    while (!through && !sleeps()) std::this_thread::yield();
  };
  const int result = in_child(f);
  when_locks_are_held = nullptr;
  return result;
}

}  // namespace tutti_test
