// Helping: a worker that waits for a continuation or for a whole runs what that is made of, instead of being replaced.
#include <gtest/gtest.h>

#include <atomic>
#include <tests/support/gates.hpp>
#include <thread>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;

TEST(rules_helping, a_worker_waits_for_a_continuation_of_what_is_not_there) {
  std::atomic<bool> open{false}, begun{false};
  thread_pool pool(2);
  for (int round = 0; round < 200; ++round) {
    EXPECT_EQ(pool.submit([&] {
                    return pool.submit([] { return 1; })
                        .then([](int n) { return n + 1; })
                        .then([](int n) { return n * 10; })
                        .get();
                  })
                  .get(),
              20);
  }
  auto source = pool.submit([&] {
    begun = true;
    while (!open) std::this_thread::yield();
    return 1;
  });
  tutti_test::until([&] { return begun.load(); });  // or the waiter would run it
  auto waits = pool.with({.name = "the waiter"}).submit([next = source.then([](int n) { return n + 1; })]() mutable {
    return next.get();
  });
  tutti_test::until([] { return tutti_test::task_waits("the waiter"); });
  open = true;
  EXPECT_EQ(waits.get(), 2);
}

TEST(rules_helping, a_worker_waits_for_a_long_chain) {
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] {
                  auto f = pool.submit([] { return 0; });
                  for (int i = 0; i < 100'000; ++i) f = f.then([](int n) { return n + 1; });
                  return f.get();
                })
                .get(),
            100'000);
}

int fib_all(thread_pool& pool, int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::when_all(pool.submit([&pool, n] { return fib_all(pool, n - 1); }), pool.submit([&pool, n] {
                  return fib_all(pool, n - 2);
                })).get();
  return a + b;
}

TEST(rules_helping, nested_when_all_runs_its_parts) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return fib_all(pool, 16); }).get(), 987);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

int fib_completed(thread_pool& pool, int n) {
  if (n < 2) return n;
  std::vector<future<int>> parts;
  for (int i = 1; i <= 2; ++i) parts.push_back(pool.submit([&pool, n, i] { return fib_completed(pool, n - i); }));
  int sum = 0;
  for (auto& part : tutti::as_completed(parts)) sum += part.get();
  return sum;
}

TEST(rules_helping, wholes_of_two_pools_run_the_part_that_is_here) {
  thread_pool here(1), there(1);
  auto elsewhere = there.submit([] { return 2; });
  elsewhere.wait();
  EXPECT_EQ(here.submit([&] {
                  auto [a, b] = tutti::when_all(here.submit([] { return 1; }), std::move(elsewhere)).get();
                  return a + b;
                })
                .get(),
            3);
  EXPECT_EQ(here.stats().spare_threads, 0U);
}

TEST(rules_helping, nested_as_completed_runs_its_parts) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return fib_completed(pool, 12); }).get(), 144);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

int tree_bulk(thread_pool& pool, int depth) {
  if (depth == 0) return 1;
  int sum = 0;
  for (const int n : pool.submit_bulk(std::vector{1, 2, 3}, [&](int) { return tree_bulk(pool, depth - 1); }).get())
    sum += n;
  return sum;
}

TEST(rules_helping, nested_submit_bulk_runs_its_chunks) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return tree_bulk(pool, 6); }).get(), 729);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

TEST(rules_helping, nested_wait_for_the_first_and_map_unordered_on_a_pool_of_one) {
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] {
                  std::vector<future<int>> parts;
                  for (int i = 0; i < 3; ++i) parts.push_back(pool.submit([i] { return i; }));
                  EXPECT_FALSE(tutti::wait(parts, tutti::wait_for::first).done.empty());
                  int sum = 0;
                  for (auto& part : parts) sum += part.get();
                  for (auto [index, value] : pool.map_unordered(std::vector{1, 2, 3}, [](int n) { return n; }))
                    sum += value;
                  return sum;
                })
                .get(),
            9);
  EXPECT_EQ(pool.stats().spare_threads, 0U);
}

TEST(rules_helping, looking_for_the_first_does_not_wait_for_another) {
  thread_pool pool(1);
  promise<int> never;
  EXPECT_TRUE(pool.submit([&] {
                    std::vector<future<int>> parts;
                    parts.push_back(tutti::when_all(never.get_future(), pool.submit([] { return 1; })).then([](auto) {
                      return 1;
                    }));
                    parts.push_back(pool.submit([] { return 2; }));
                    const bool found = !tutti::wait(parts, tutti::wait_for::first).done.empty();
                    never.set_value(0);
                    return found;
                  })
                  .get());
}

}  // namespace
