// The pool of the process: one for all, finished at exit, and new in a forked child.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#define TUTTI_NO_THREADS_AFTER_FORK() GTEST_SKIP() << "the thread sanitizer allows no new threads in a forked child"
#else
#define TUTTI_NO_THREADS_AFTER_FORK() static_cast<void>(0)
#endif

#if defined(__SANITIZE_ADDRESS__)
// A forked child leaves the threads of its parent, and what only they refer to, behind.
static bool in_forked_child = false;
extern "C" int __lsan_is_turned_off() { return in_forked_child ? 1 : 0; }
#define TUTTI_EXPECT_LEAKS() in_forked_child = true
#else
#define TUTTI_EXPECT_LEAKS() static_cast<void>(0)
#endif

namespace {

using namespace std::chrono_literals;
using tutti::default_pool;
using tutti_test::watchdog;

TEST(DefaultPool, IsOneForAllThreads) {
  const watchdog dog;
  std::vector<std::jthread> threads;
  std::vector<std::atomic<tutti::thread_pool*>> seen(8);
  for (auto& place : seen) {
    threads.emplace_back([&place] { place = &default_pool(); });
  }
  threads.clear();
  for (const auto& place : seen) EXPECT_EQ(place, &default_pool());
  EXPECT_EQ(default_pool().concurrency(), tutti::default_concurrency());
  EXPECT_EQ(default_pool().name(), "default");
}

TEST(DefaultPool, PromisesContinueThere) {
  const watchdog dog;
  tutti::promise<int> promise;
  auto after = promise.get_future().then([](int) { return tutti::this_worker->pool == &default_pool().engine(); });
  promise.set_value(1);
  EXPECT_TRUE(after.get());
}

// Runs `f` in a forked child, which must return true there within half a minute.
template <class F>
void in_child(F f) {
  const ::pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::alarm(30);
    ::_exit(f() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

long fib(int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

TEST(DefaultPool, StartsAnewInAForkedChild) {
  TUTTI_NO_THREADS_AFTER_FORK();
  EXPECT_EQ(default_pool().submit([] { return 1; }).get(), 1);
  auto* const ours = &default_pool();
  in_child([ours] {
    return &default_pool() != ours && default_pool().submit([] { return 2; }).get() == 2 && fib(15) == 610;
  });
  EXPECT_EQ(default_pool().submit([] { return 3; }).get(), 3) << "the parent's goes on";
}

TEST(DefaultPool, ForkedFromOneOfItsTasksAndTwiceOver) {
  TUTTI_NO_THREADS_AFTER_FORK();
  default_pool()
      .submit([] {
        in_child([] {
          if (fib(12) != 144) return false;
          const ::pid_t grandchild = ::fork();
          if (grandchild == 0) ::_exit(fib(12) == 144 ? 0 : 1);
          int status = 0;
          return ::waitpid(grandchild, &status, 0) == grandchild && status == 0 && fib(12) == 144;
        });
      })
      .get();
}

TEST(DefaultPool, ForkedInsideAForkJoin) {
  TUTTI_NO_THREADS_AFTER_FORK();
  tutti::fork_join([] { in_child([] { return fib(12) == 144; }); }, [] {});
}

TEST(DefaultPool, TimersStartAnewInAForkedChild) {
  TUTTI_NO_THREADS_AFTER_FORK();
  static std::atomic<int> parents_calls{0};
  auto pending = tutti::call_later(1h, [] { ++parents_calls; });
  in_child([] {
    tutti::promise<void> called;
    auto future = called.get_future();
    tutti::call_later(1ms, [&] { called.set_value(); });
    future.get();
    return true;
  });
  in_child([] {
    tutti::virtual_clock clock;
    int own_calls = 0;
    tutti::call_later(1h, [&] { ++own_calls; });
    clock.advance(2h);
    return own_calls == 1;
  });
  EXPECT_TRUE(pending.cancel());
}

TEST(DefaultPool, TheParentsTimersStayWithTheParent) {
  TUTTI_NO_THREADS_AFTER_FORK();
  static std::atomic<int> parents_calls{0};
  auto pending = tutti::call_later(1h, [] { ++parents_calls; });
  in_child([] {
    tutti::virtual_clock clock;
    tutti::call_later(1h, [] {});
    clock.advance(2h);
    return parents_calls == 0;
  });
  EXPECT_TRUE(pending.cancel());
}

// Programs of their own, started from this one.
struct DefaultPoolDeathTest : testing::Test {
  DefaultPoolDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(DefaultPoolDeathTest, IsFinishedWhenTheProgramExits) {
  EXPECT_EXIT(
      {
        default_pool().post([] {
          for (int i = 0; i < 1000; ++i) std::this_thread::yield();
          default_pool().post([] { std::fputs("the last task\n", stderr); });
        });
        std::exit(0);
      },
      testing::ExitedWithCode(0), "the last task");
}

TEST_F(DefaultPoolDeathTest, ATaskMayExitTheProgram) {
  EXPECT_EXIT(
      {
        default_pool().post([] { std::exit(7); });
        for (;;) std::this_thread::yield();
      },
      testing::ExitedWithCode(7), "");
}

TEST_F(DefaultPoolDeathTest, ATaskMayExitTheProgramWhileItWorksAlongInAnotherPool) {
  EXPECT_EXIT(
      {
        ::alarm(30);
        static auto* const other = new tutti::thread_pool{1};
        default_pool().post([] {
          const tutti::guest elsewhere(*other);
          std::exit(7);
        });
        for (;;) std::this_thread::yield();
      },
      testing::ExitedWithCode(7), "");
}

TEST_F(DefaultPoolDeathTest, AForkedChildMayExitNormally) {
  TUTTI_NO_THREADS_AFTER_FORK();
  EXPECT_EXIT(
      {
        default_pool().submit([] {}).get();
        const ::pid_t child = ::fork();
        if (child == 0) {
          ::alarm(30);
          TUTTI_EXPECT_LEAKS();
          default_pool().post([] { std::fputs("in the child\n", stderr); });
          std::exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        std::exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
      },
      testing::ExitedWithCode(0), "in the child");
}

}  // namespace
