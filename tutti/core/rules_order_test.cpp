// In what order submitted tasks start: by priority, first in first out within one, and a waiter lends its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <limits>
#include <mutex>
#include <tests/support/gates.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/core/guest.hpp>
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
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return seen.size();
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

// One worker, held back until all is submitted; the tasks log their places.
struct logging_pool {
  order_log log;
  tutti_test::held_pool held;
  thread_pool& pool = held.pool;
  void post(int priority, int place) {
    pool.with({.priority = priority}).post([this, place] { log.add(place); });
  }
  future<void> submit(int priority, int place) {
    return pool.with({.priority = priority}).submit([this, place] { log.add(place); });
  }
  // Waits with a time limit, so it cannot run the awaited task itself: it sleeps, a spare takes over, and the order in
  // which that one starts the rest shows the lent priority.
  void post_waiter(int priority, int place, future<void>& awaited) {
    pool.with({.priority = priority}).post([this, place, &awaited] {
      log.add(place);
      EXPECT_TRUE(awaited.wait_for(1h));
    });
  }
  const std::vector<int>& run_all() {
    held.run_all();
    return log.seen;
  }
};

TEST(rules_order, first_in_first_out_from_outside) {
  logging_pool h;
  for (int i = 0; i < 5000; ++i) h.post(0, i);
  EXPECT_TRUE(counts_to(5000, h.run_all()));
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

TEST(rules_order, first_in_first_out_behind_what_the_submitter_has_run_itself) {
  for (const int own : {10, 200, 256, 300, 1000}) {
    order_log log;
    {
      thread_pool pool{1};
      pool.post([&] {
        for (int i = 0; i < own; ++i) pool.submit([] {}).get();  // leaves an entry that is over
        for (int i = 0; i < 100; ++i) pool.post([&, i] { log.add(i); });
      });
    }
    EXPECT_TRUE(counts_to(100, log.seen)) << own;
  }
}

// The worker has a batch of them in its queue when the first one fills that up.
TEST(rules_order, first_in_first_out_from_outside_when_a_task_fills_the_queue) {
  constexpr int n = 400, added = 300;
  order_log outside, inside;
  {
    tutti_test::held_pool held;
    for (int i = 0; i < n; ++i) {
      held.pool.post([&, i] {
        outside.add(i);
        if (i != 0) return;
        for (int k = 0; k < added; ++k) held.pool.post([&, k] { inside.add(k); });
      });
    }
    held.run_all();
  }
  EXPECT_TRUE(counts_to(n, outside.seen));
  EXPECT_TRUE(counts_to(added, inside.seen));
}

TEST(rules_order, first_in_first_out_from_before_during_and_after_a_visit) {
  for (const int during : {10, 1000}) {  // the latter are more than a guest's queue holds
    logging_pool h;
    int n = 0;
    const auto post = [&](int count) {
      for (int i = 0; i < count; ++i) h.post(0, n++);
    };
    post(10);
    {
      const tutti::guest visit(h.pool);
      post(during);
    }
    post(10);
    EXPECT_TRUE(counts_to(n, h.run_all())) << during;
  }
}

// A worker with tasks of its own looks after those of another one now and then. What it takes waits behind its own: had
// it taken several, the younger ones left behind would start before those.
TEST(rules_order, first_in_first_out_when_another_worker_helps) {
  constexpr int n = 100;
  order_log log;
  std::latch both(2), posted(1), helper_busy(1);
  {
    thread_pool pool{2};
    pool.post([&] {
      both.arrive_and_wait();
      for (int i = 0; i < n; ++i) pool.post([&, i] { log.add(i); });
      posted.count_down();
      helper_busy.wait();  // then it runs the rest
    });
    pool.post([&] {
      both.arrive_and_wait();
      posted.wait();
      for (int i = 0; i < 100; ++i) {
        pool.post([&, i] {
          if (i != 70) return;  // it has looked around once or twice
          helper_busy.count_down();
          tutti_test::until([&] { return log.size() == n; });
        });
      }
    });
  }
  EXPECT_TRUE(counts_to(n, log.seen));
}

TEST(rules_order, submit_and_post_share_one_order) {
  std::vector<future<void>> futures;
  logging_pool h;
  for (int i = 0; i < 100; i += 2) {
    h.post(0, i);
    futures.push_back(h.submit(0, i + 1));
  }
  EXPECT_TRUE(counts_to(100, h.run_all()));
}

TEST(rules_order, higher_priorities_start_first) {
  logging_pool h;
  constexpr int low = -7, high = 1000;
  for (const int place : {0, 1, 2}) {
    h.post(low, 9 + place);
    h.post(0, 6 + place);
    h.post(7, 3 + place);
    h.post(high, place);
  }
  EXPECT_TRUE(counts_to(12, h.run_all()));
}

TEST(rules_order, any_number_is_a_priority) {
  constexpr int lowest = std::numeric_limits<int>::min(), highest = std::numeric_limits<int>::max();
  logging_pool h;
  h.post(lowest, 4);
  h.post(lowest + 2, 3);
  h.post(0, 2);
  h.post(highest, 0);
  h.post(highest - 1, 1);
  EXPECT_EQ(h.run_all(), count_to(5));
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
  std::latch inside_done(1), outside_done(1);
  thread_pool pool{1};
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
  std::atomic<bool> outsider_ran{false};
  std::latch begun(1);
  thread_pool pool{1};
  struct spin {
    thread_pool& pool;
    std::atomic<bool>& end;
    void operator()() const {
      if (!end) pool.post(spin{pool, end});
    }
  };
  pool.post([&] {
    begun.count_down();
    for (int i = 0; i < 3; ++i) pool.post(spin{pool, outsider_ran});
  });
  begun.wait();
  pool.submit([&] { outsider_ran = true; }).get();  // hangs on a pool that prefers its own for ever
}

// A worker with a long task has others in its ring: those it has taken together with the long one, and those that the
// long one has submitted. The other worker, for whom there is always something newer, comes for them all the same.
TEST(rules_order, nobody_starves_behind_a_long_task) {
  constexpr int early = 100, later = 20'000, bound = 10'000;
  std::atomic<int> started{0};
  const auto all_started = [&] { return started == 2 * early + later; };
  std::vector<int> taken(early), made(early);  // as which one they were started
  {
    std::latch held(2), first_gate(1), second_gate(1);
    thread_pool pool{2};
    for (std::latch* gate : {&first_gate, &second_gate}) {
      pool.post([&held, gate] {
        held.count_down();
        gate->wait();
      });
    }
    held.wait();
    pool.post([&] {
      for (int& place : made) pool.post([&] { place = started++; });
      second_gate.count_down();
      tutti_test::until(all_started);
    });
    for (int& place : taken) pool.post([&] { place = started++; });
    for (int i = 0; i < later; ++i) pool.post([&] { ++started; });
    first_gate.count_down();
  }
  EXPECT_TRUE(all_started());
  EXPECT_LT(*std::ranges::max_element(taken), bound);
  EXPECT_LT(*std::ranges::max_element(made), bound);
}

TEST(rules_order, a_map_has_the_priority_of_its_view) {
  logging_pool h;
  auto normal = h.submit(0, 1);
  std::vector<int> input{0};
  auto bulk = h.pool.with({.priority = 2}).submit_bulk(input, [&](int n) { h.log.add(n); });
  EXPECT_EQ(h.run_all(), count_to(2));
  bulk.get();
  normal.get();
}

TEST(rules_order, a_waiter_lends_its_priority) {
  const tutti::virtual_clock stopped;
  future<void> low;
  logging_pool h;
  low = h.submit(-5, 1);
  for (const int place : {2, 3}) h.post(5, place);
  h.post_waiter(10, 0, low);
  EXPECT_EQ(h.run_all(), count_to(4));
}

TEST(rules_order, a_waiter_lends_its_priority_along_a_chain) {
  const tutti::virtual_clock stopped;
  future<void> lowest, low;
  logging_pool h;
  lowest = h.submit(-9, 2);
  low = h.pool.with({.priority = -5}).submit([&] {
    h.log.add(1);
    EXPECT_TRUE(lowest.wait_for(1h));  // waits in the name of who waits for it
  });
  h.post(5, 3);
  h.post_waiter(10, 0, low);
  EXPECT_EQ(h.run_all(), count_to(4));
}

TEST(rules_order, a_waiter_lends_its_priority_to_the_source_of_a_continuation) {
  const tutti::virtual_clock stopped;
  future<void> next;
  logging_pool h;
  next = h.submit(-5, 1).then([] {});
  for (const int place : {2, 3}) h.post(5, place);
  h.post_waiter(10, 0, next);
  EXPECT_EQ(h.run_all(), count_to(4));
  EXPECT_TRUE(next.done());
}

TEST(rules_order, lending_never_lowers) {
  const tutti::virtual_clock stopped;
  future<void> high;
  logging_pool h;
  high = h.submit(7, 2);
  h.post(6, 3);
  for (const int place : {0, 1}) h.post(9, place);
  h.pool.with({.priority = -1}).post([&] { EXPECT_TRUE(high.wait_for(1h)); });
  EXPECT_EQ(h.run_all(), count_to(4));
}

}  // namespace
