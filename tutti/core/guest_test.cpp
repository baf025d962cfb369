// Threads that work along in a pool for a while.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::guest;
using tutti::thread_pool;
using tutti_test::watchdog;

TEST(Guest, IsAWorkerWhileItLives) {
  thread_pool pool(1);
  {
    const guest here(pool);
    ASSERT_NE(here.as_worker(), nullptr);
    EXPECT_EQ(tutti::this_worker, here.as_worker());
    EXPECT_EQ(here.as_worker()->pool, &pool.engine());
    {
      const guest again(pool);
      EXPECT_EQ(again.as_worker(), here.as_worker()) << "it is one already";
      const guest elsewhere;
      EXPECT_EQ(elsewhere.as_worker()->pool, &tutti::default_pool().engine());
    }
    EXPECT_EQ(tutti::this_worker, here.as_worker());
  }
  EXPECT_EQ(tutti::this_worker, nullptr);
}

TEST(Guest, OfAnExecutorWithoutThreadsIsNone) {
  tutti::inline_executor nowhere;
  const guest here(nowhere);
  EXPECT_EQ(here.as_worker(), nullptr);
  EXPECT_EQ(tutti::this_worker, nullptr);
}

TEST(Guest, WhatItSubmitsIsRun) {
  const watchdog dog;
  thread_pool pool(1);
  std::vector<tutti::future<int>> futures;
  {
    const guest here(pool);
    for (int i = 0; i < 500; ++i) futures.push_back(pool.submit([i] { return i; }));
  }
  for (int i = 0; i < 500; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

TEST(Guest, MoreThanThePoolTakesWorkAlone) {
  const watchdog dog;
  std::atomic<int> in{0}, without{0}, right{0};
  std::atomic<bool> open{false};
  thread_pool pool(1);
  std::vector<std::unique_ptr<guest>> places;
  const int most = tutti::scheduler::max_guests;
  std::vector<std::jthread> threads;
  for (int i = 0; i < most + 3; ++i) {
    threads.emplace_back([&] {
      const guest here(pool);
      without += here.as_worker() == nullptr;
      ++in;
      while (!open) std::this_thread::yield();
      auto [a, b] = tutti::fork_join([] { return 1; }, [] { return 2; });
      right += a + b == 3;
    });
  }
  while (in != most + 3) std::this_thread::yield();
  open = true;
  threads.clear();
  EXPECT_EQ(without, 3);
  EXPECT_EQ(right, most + 3);
}

// After shutdown nothing is taken that nobody would run, whoever comes: a first guest or one that was here before.
TEST(Guest, NothingIsLeftPendingAfterShutdown) {
  const watchdog dog;
  for (const bool was_here_before : {false, true}) {
    thread_pool pool(1);
    if (was_here_before) {
      const guest earlier(pool);
    }
    pool.shutdown();
    tutti::future<int> future;
    {
      const guest late(pool);
      try {
        future = pool.submit([] { return 1; });
      } catch (const tutti::closed&) {
        continue;  // as it should
      }
    }
    EXPECT_TRUE(future.wait_for(std::chrono::seconds(1))) << "taken, and then nobody ran it";
  }
}

TEST(Guest, ShutdownWaitsForGuestsAndTheirTasks) {
  const watchdog dog;
  std::atomic<bool> entered{false}, shutting{false};
  std::atomic<int> ran{0};
  thread_pool pool(1);
  std::jthread other([&] {
    const guest here(pool);
    entered = true;
    while (!shutting) std::this_thread::yield();
    for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
  });
  while (!entered) std::this_thread::yield();
  shutting = true;
  other.join();
  pool.shutdown();
  EXPECT_EQ(ran, 10);
}

// A task that works along elsewhere stays a task of its own pool: that takes what it submits while it finishes, ...
TEST(Guest, MaySubmitToItsOwnPoolWhileThatFinishes) {
  const watchdog dog;
  std::atomic<int> ran{0};
  std::latch closed(1);
  thread_pool other(1), own(1);
  auto future = own.submit([&] {
    closed.wait();
    const guest elsewhere(other);
    own.post([&] { ++ran; });
    own.with({.priority = 1}).post([&] { ++ran; });
    return own.submit([&] { return ++ran, 1; }).get();
  });
  std::jthread closer([&] { own.shutdown(); });
  tutti_test::wait_until_closed(own);
  closed.count_down();
  EXPECT_EQ(future.get(), 1);
  closer.join();
  EXPECT_EQ(ran, 3);
}

// ... and asks it to stop, wherever its branches run.
TEST(Guest, IsAskedToStopByItsOwnPool) {
  const watchdog dog;
  std::latch begun(3);  // both branches at once, so the second one was stolen; and the test
  thread_pool other(1), own(1);
  auto future = own.submit([&] {
    const guest elsewhere(other);
    auto [left, right] = tutti::fork_join(
        [&] {
          begun.arrive_and_wait();
          tutti_test::until_stopped();
          return tutti::this_worker;
        },
        [&] {
          begun.arrive_and_wait();
          tutti_test::until([token = tutti::this_task::stop_token()] { return token.stop_requested(); });
          tutti_test::until_stopped();
          return tutti::this_worker;
        });
    EXPECT_EQ(left, elsewhere.as_worker());
    EXPECT_NE(right, left);
    EXPECT_EQ(right->pool, &other.engine());
  });
  begun.arrive_and_wait();
  own.shutdown(tutti::cancel);
  future.get();
}

TEST(Guest, ComesAndGoesFromManyThreads) {
  const watchdog dog;
  std::atomic<int> ran{0};
  thread_pool pool(2);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 300; ++i) {
          const guest here(pool);
          pool.post([&] { ++ran; });
          tutti::fork_join([&] { ++ran; }, [&] { ++ran; });
        }
      });
    }
  }
  pool.shutdown();
  EXPECT_EQ(ran, 4 * 300 * 3);
}

}  // namespace
