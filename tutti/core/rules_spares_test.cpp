// Blocking: who waits is replaced, so that concurrency() threads stay runnable, and the replacements leave again.
#include <gtest/gtest.h>
#include <atomic>
#include <latch>
#include <tests/support/gates.hpp>
#include <thread>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;

TEST(rules_spares, concurrency_stays_runnable) {
  constexpr int n = 3;
  thread_pool pool{n};
  promise<void> release;
  const auto released = release.get_future().share();
  std::latch blocked(2 * n);
  std::vector<future<void>> futures;
  for (int i = 0; i < 2 * n; ++i) {
    futures.push_back(pool.submit([&] {
      blocked.count_down();
      released.get();
    }));
  }
  blocked.wait();
  std::latch together(n);  // passes only when n more run at once
  for (int i = 0; i < n; ++i) futures.push_back(pool.submit([&] { together.arrive_and_wait(); }));
  together.wait();
  release.set_value();
  for (auto& f : futures) f.get();
}

// What it has run itself is still in its queue, but nobody is needed for that.
TEST(rules_spares, nobody_takes_the_place_of_who_has_run_its_tasks_itself) {
  thread_pool pool{1};
  promise<void> release;
  auto released = release.get_future();
  auto waiter = pool.submit([&] {
    for (int i = 0; i < 3; ++i) pool.submit([] {}).get();
    released.get();
  });
  tutti_test::until([] { return tutti_test::waiting_for("future::wait") == 1; });
  EXPECT_EQ(pool.stats().spare_threads, 0U);
  EXPECT_EQ(pool.stats().queue_depth, 0U);
  release.set_value();
  waiter.get();
}

TEST(rules_spares, spares_leave_again) {
  constexpr int n = 2, blocked_tasks = 8;
  std::atomic<int> at_once{0}, most{0};
  thread_pool pool{n};
  promise<void> release;
  const auto released = release.get_future().share();
  std::latch blocked(blocked_tasks), through(blocked_tasks);
  std::vector<future<void>> futures;
  for (int i = 0; i < blocked_tasks; ++i) {
    futures.push_back(pool.submit([&] {
      blocked.count_down();
      released.get();
      through.count_down();
    }));
  }
  blocked.wait();
  release.set_value();
  through.wait();  // nobody blocks any more
  for (auto& f : futures) f.get();
  std::vector<future<void>> counted;
  for (int i = 0; i < 2000; ++i) {
    counted.push_back(pool.submit([&] {
      const int now = at_once.fetch_add(1) + 1;
      int seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::yield();
      at_once.fetch_sub(1);
    }));
  }
  for (auto& f : counted) f.get();
  EXPECT_LE(most, n);
}

TEST(rules_spares, after_256_spares_the_pool_is_exhausted_and_says_so) {
  constexpr int spares = 256, tasks = 300;
  std::atomic<int> refused{0}, waited{0};
  thread_pool pool{1};
  promise<void> release;
  const auto released = release.get_future().share();
  std::vector<future<void>> futures;
  for (int i = 0; i < tasks; ++i) {
    futures.push_back(pool.submit([&] {
      try {
        released.get();
        ++waited;
      } catch (const tutti::pool_exhausted&) {
        ++refused;
      }
    }));
  }
  // One thread and 256 spares may block; the last of them only when nobody is needed after it.
  while (refused < tasks - spares - 1) std::this_thread::yield();
  EXPECT_EQ(pool.stats().spare_threads, static_cast<std::uint64_t>(spares));
  release.set_value();
  for (auto& f : futures) f.get();
  EXPECT_EQ(refused + waited, tasks);
  EXPECT_GE(waited, spares);
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);  // and it works on
}

}  // namespace
