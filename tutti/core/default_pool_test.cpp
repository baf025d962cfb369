// The pool of the process: one for all, finished at exit, and new in a forked child.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <tests/support/forks.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/dump.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

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

TEST(DefaultPool, IsNotMadeByAskingWhoIsInIt) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  EXPECT_EQ(tutti_test::in_child([] {  // where there is none yet
              tutti::thread_pool pool{1};
              if (pool.submit([] { return tutti::detail::at_home(0); }).get()) return 1;
              std::ostringstream seen;
              tutti::dump(seen);
              return seen.str().find("\"default\"") == std::string::npos ? 0 : 2;
            }),
            0);
  EXPECT_TRUE(default_pool().submit([] { return tutti::detail::at_home(0); }).get());
}

TEST(DefaultPool, PromisesContinueThere) {
  const watchdog dog;
  tutti::promise<int> promise;
  auto after = promise.get_future().then([](int) { return tutti::this_worker->pool == &default_pool().engine(); });
  promise.set_value(1);
  EXPECT_TRUE(after.get());
}

// Whether `f` returns true in a forked child.
template <class F>
void in_child(F f) {
  EXPECT_EQ(tutti_test::in_child([&] { return f() ? 0 : 1; }), 0);
}

long fib(int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

TEST(DefaultPool, StartsAnewInAForkedChild) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  EXPECT_EQ(default_pool().submit([] { return 1; }).get(), 1);
  auto* const ours = &default_pool();
  in_child([ours] {
    return &default_pool() != ours && default_pool().submit([] { return 2; }).get() == 2 && fib(15) == 610;
  });
  EXPECT_EQ(default_pool().submit([] { return 3; }).get(), 3) << "the parent's goes on";
}

TEST(DefaultPool, ForkedFromOneOfItsTasksAndTwiceOver) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
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
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  tutti::fork_join([] { in_child([] { return fib(12) == 144; }); }, [] {});
}

TEST(DefaultPool, TimersStartAnewInAForkedChild) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
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
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
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
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  EXPECT_EXIT(
      {
        default_pool().submit([] {}).get();
        const ::pid_t child = ::fork();
        if (child == 0) {
          ::alarm(30);
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
