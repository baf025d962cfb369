// In what order submitted tasks start: by priority, first in first out within one, and a waiter lends its own.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::thread_pool;

struct order_log {
  std::mutex mutex;
  std::vector<int> seen;
  void add(int n) {
    const std::lock_guard lock(mutex);
    seen.push_back(n);
  }
};

// 0 to n - 1 in order; says where it is not.
testing::AssertionResult counts_to(int n, const std::vector<int>& seen) {
  if (seen.size() != static_cast<std::size_t>(n))
    return testing::AssertionFailure() << seen.size() << " instead of " << n;
  for (int i = 0; i < n; ++i) {
    if (seen[static_cast<std::size_t>(i)] != i) {
      return testing::AssertionFailure() << "number " << i << " to start was " << seen[static_cast<std::size_t>(i)];
    }
  }
  return testing::AssertionSuccess();
}

std::vector<int> count_to(int n) {
  std::vector<int> numbers;
  for (int i = 0; i < n; ++i) numbers.push_back(i);
  return numbers;
}

// One worker, held back until all is submitted.
struct held_pool {
  thread_pool pool{1};
  std::latch started{1}, gate{1};
  held_pool() {
    pool.post([this] {
      started.count_down();
      gate.wait();
    });
    started.wait();
  }
  void run_all() {
    gate.count_down();
    pool.shutdown();
  }
};

TEST(rules_order, first_in_first_out_from_outside) {
  order_log log;
  held_pool h;
  for (int i = 0; i < 5000; ++i) h.pool.post([&, i] { log.add(i); });
  h.run_all();
  EXPECT_TRUE(counts_to(5000, log.seen));
}

TEST(rules_order, first_in_first_out_from_inside) {
  for (const int n : {10, 1000, 50'000}) {  // more than any queue of a worker holds
    order_log log;
    {
      thread_pool pool{1};
      pool.post([&] {
        for (int i = 0; i < n; ++i) pool.post([&, i] { log.add(i); });
      });
    }
    EXPECT_TRUE(counts_to(n, log.seen)) << n;
  }
}

TEST(rules_order, first_in_first_out_when_tasks_add_to_a_full_queue) {
  constexpr int n = 20'000;
  order_log log;
  {
    thread_pool pool{1};
    pool.post([&] {
      for (int i = 0; i < n; ++i) {
        pool.post([&, i] {
          log.add(i);
          pool.post([&, i] { log.add(n + i); });
        });
      }
    });
  }
  EXPECT_TRUE(counts_to(2 * n, log.seen));
}

TEST(rules_order, submit_and_post_share_one_order) {
  order_log log;
  std::vector<future<void>> futures;
  held_pool h;
  for (int i = 0; i < 100; i += 2) {
    h.pool.post([&, i] { log.add(i); });
    futures.push_back(h.pool.submit([&, i] { log.add(i + 1); }));
  }
  h.run_all();
  EXPECT_TRUE(counts_to(100, log.seen));
}

TEST(rules_order, higher_priorities_start_first) {
  order_log log;
  held_pool h;
  constexpr int low = -7, high = 1000;
  int n = 0;
  const auto add = [&](int priority, int place) {
    h.pool.with({.priority = priority}).post([&log, place] { log.add(place); });
  };
  for (const int place : {0, 1, 2}) {
    add(low, 9 + place);
    add(0, 6 + place);
    add(7, 3 + place);
    add(high, place);
    n += 4;
  }
  h.run_all();
  EXPECT_TRUE(counts_to(n, log.seen));
}

TEST(rules_order, any_number_is_a_priority) {
  constexpr int lowest = std::numeric_limits<int>::min(), highest = std::numeric_limits<int>::max();
  order_log log;
  held_pool h;
  h.pool.with({.priority = lowest}).post([&] { log.add(4); });
  h.pool.with({.priority = lowest + 2}).post([&] { log.add(3); });
  h.pool.post([&] { log.add(2); });
  h.pool.with({.priority = highest}).post([&] { log.add(0); });
  h.pool.with({.priority = highest - 1}).post([&] { log.add(1); });
  h.run_all();
  EXPECT_EQ(log.seen, count_to(5));
}

TEST(rules_order, priorities_hold_for_tasks_from_inside_too) {
  order_log log;
  {
    thread_pool pool{1};
    pool.post([&] {
      for (int i = 0; i < 3; ++i) {
        pool.with({.priority = -1}).post([&, i] { log.add(6 + i); });
        pool.post([&, i] { log.add(3 + i); });
        pool.with({.priority = 1}).post([&, i] { log.add(i); });
      }
    });
  }
  EXPECT_EQ(log.seen, count_to(9));
}

TEST(rules_order, priorities_hold_between_inside_and_outside) {
  order_log log;
  thread_pool pool{1};
  std::latch inside_done(1), outside_done(1);
  pool.post([&] {
    pool.post([&] { log.add(2); });
    pool.with({.priority = 5}).post([&] { log.add(1); });
    inside_done.count_down();
    outside_done.wait();
  });
  inside_done.wait();
  pool.with({.priority = 9}).post([&] { log.add(0); });
  pool.with({.priority = -9}).post([&] { log.add(3); });
  outside_done.count_down();
  pool.shutdown();
  EXPECT_EQ(log.seen, count_to(4));
}

TEST(rules_order, nobody_starves_behind_tasks_that_resubmit) {
  thread_pool pool{1};
  std::atomic<bool> outsider_ran{false};
  struct spin {
    thread_pool& pool;
    std::atomic<bool>& end;
    void operator()() const {
      if (!end) pool.post(spin{pool, end});
    }
  };
  std::latch begun(1);
  pool.post([&] {
    begun.count_down();
    for (int i = 0; i < 3; ++i) pool.post(spin{pool, outsider_ran});
  });
  begun.wait();
  pool.submit([&] { outsider_ran = true; }).get();  // hangs on a pool that prefers its own for ever
}

TEST(rules_order, a_map_has_the_priority_of_its_view) {
  order_log log;
  held_pool h;
  auto normal = h.pool.submit([&] { log.add(1); });
  std::vector<int> input{0};
  auto bulk = h.pool.with({.priority = 2}).submit_bulk(input, [&](int n) { log.add(n); });
  h.run_all();
  bulk.get();
  normal.get();
  EXPECT_EQ(log.seen, count_to(2));
}

// `limited` waits with a time limit, so it cannot run the awaited task itself: it sleeps, a spare takes over, and the
// order in which that one starts the rest shows the lent priority.
TEST(rules_order, a_waiter_lends_its_priority) {
  const tutti::virtual_clock stopped;
  order_log log;
  held_pool h;
  auto low = h.pool.with({.priority = -5}).submit([&] { log.add(1); });
  for (const int place : {2, 3}) h.pool.with({.priority = 5}).post([&, place] { log.add(place); });
  h.pool.with({.priority = 10}).post([&] {
    log.add(0);
    EXPECT_TRUE(low.wait_for(1h));
  });
  h.run_all();
  EXPECT_EQ(log.seen, count_to(4));
}

TEST(rules_order, a_waiter_lends_its_priority_along_a_chain) {
  const tutti::virtual_clock stopped;
  order_log log;
  held_pool h;
  auto lowest = h.pool.with({.priority = -9}).submit([&] { log.add(2); });
  auto low = h.pool.with({.priority = -5}).submit([&] {
    log.add(1);
    EXPECT_TRUE(lowest.wait_for(1h));  // waits in the name of who waits for it
  });
  h.pool.with({.priority = 5}).post([&] { log.add(3); });
  h.pool.with({.priority = 10}).post([&] {
    log.add(0);
    EXPECT_TRUE(low.wait_for(1h));
  });
  h.run_all();
  EXPECT_EQ(log.seen, count_to(4));
}

TEST(rules_order, lending_never_lowers) {
  const tutti::virtual_clock stopped;
  order_log log;
  held_pool h;
  auto high = h.pool.with({.priority = 7}).submit([&] { log.add(2); });
  h.pool.with({.priority = 6}).post([&] { log.add(3); });
  for (const int place : {0, 1}) h.pool.with({.priority = 9}).post([&, place] { log.add(place); });
  h.pool.with({.priority = -1}).post([&] { EXPECT_TRUE(high.wait_for(1h)); });
  h.run_all();
  EXPECT_EQ(log.seen, count_to(4));
}

}  // namespace
