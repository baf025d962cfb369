// Waiting: what a waiting worker may do, and what it must not. On a pool that breaks a rule these tests hang (and run
// into the time limit of the test) or fail.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::promise;
using tutti::thread_pool;

// Set on a thread while a task on it waits: whoever starts on such a thread is run inside that wait.
thread_local int waiting_here = 0;

struct in_wait {
  in_wait() { ++waiting_here; }
  ~in_wait() { --waiting_here; }
  in_wait(const in_wait&) = delete;
  in_wait& operator=(const in_wait&) = delete;
};

template <class F>
auto get_marked(F& f) {
  const in_wait mark;
  return f.get();
}

struct nest {
  thread_pool& pool;
  int depth;
  int operator()() const {
    if (depth == 0) return 0;
    auto below = pool.submit(nest{pool, depth - 1});
    return below.get() + 1;
  }
};

TEST(rules_waiting, a_thousand_nested_waits_need_one_thread) {
  thread_pool pool{1};
  EXPECT_EQ(pool.submit(nest{pool, 1000}).get(), 1000);
  EXPECT_EQ(pool.stats().spare_threads, 0U);
}

TEST(rules_waiting, nested_waits_on_several_threads) {
  thread_pool pool{3};
  std::vector<future<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(nest{pool, 100}));
  for (auto& f : futures) EXPECT_EQ(f.get(), 100);
}

int tree(thread_pool& pool, int depth) {
  if (depth == 0) return 1;
  auto left = pool.submit([&pool, depth] { return tree(pool, depth - 1); });
  auto right = pool.submit([&pool, depth] { return tree(pool, depth - 1); });
  return left.get() + right.get();
}

TEST(rules_waiting, a_tree_of_waits) {
  for (const int threads : {1, 2, 4}) {
    thread_pool pool{threads};
    EXPECT_EQ(pool.submit([&] { return tree(pool, 12); }).get(), 4096);
  }
}

TEST(rules_waiting, every_form_of_waiting_works_on_the_only_thread) {
  thread_pool pool{1};
  pool.submit([&] {
        pool.submit([] {}).wait();
        EXPECT_TRUE(pool.submit([] {}).wait_for(1h));
        std::stop_source never;
        EXPECT_EQ(pool.submit([] {}).wait(never.get_token()), tutti::wait_result::ready);
        EXPECT_EQ(pool.submit([] { return 1; }).share().get(), 1);
        EXPECT_EQ(pool.submit([&] { return pool.submit([] { return 2; }); }).get().get(), 2);
        int sum = 0;
        for (const int n : pool.map(std::vector<int>{1, 2, 3}, [](int i) { return i * i; })) sum += n;
        for (const auto& one : pool.map_unordered(std::vector<int>{1, 2, 3}, [](int i) { return i; })) sum += one.value;
        EXPECT_EQ(sum, 20);
        EXPECT_EQ(pool.submit_bulk(std::vector<int>{5, 6}, [](int i) { return i; }).get(), (std::vector<int>{5, 6}));
        std::vector<future<int>> many;
        for (int i = 0; i < 10; ++i) many.push_back(pool.submit([i] { return i; }));
        EXPECT_EQ(tutti::wait(many).done.size(), 10U);
        EXPECT_GE(tutti::wait(many, tutti::wait_for::first).done.size(), 1U);
        EXPECT_EQ(tutti::when_all(std::move(many)).get().size(), 10U);
        std::vector<future<int>> more;
        for (int i = 0; i < 10; ++i) more.push_back(pool.submit([i] { return i; }));
        int seen = 0;
        for (auto& f : tutti::as_completed(more)) seen += f.get();
        EXPECT_EQ(seen, 45);
      })
      .get();
}

TEST(rules_waiting, the_only_thread_can_wait_for_a_continuation) {
  // Whose source has not begun: the waiter must not run the continuation before it.
  thread_pool pool{1};
  pool.submit([&] {
        EXPECT_EQ(pool.submit([] { return 1; }).then([](int n) { return n + 1; }).get(), 2);
        EXPECT_EQ(
            pool.submit([] { return 1; }).then([](int n) { return n + 1; }).then([](int n) { return n + 1; }).get(), 3);
        EXPECT_EQ(pool.submit([] { return 1; }).then([&](int n) { return pool.submit([n] { return n + 1; }); }).get(),
                  2);
        auto many = pool.submit([] { return 0; });
        for (int i = 0; i < 10'000; ++i) many = many.then([](int n) { return n + 1; });
        EXPECT_EQ(many.get(), 10'000);
      })
      .get();
}

TEST(rules_waiting, a_continuation_of_a_running_task_waits_for_it) {
  std::latch started(1), gate(1), about_to_wait(1);
  thread_pool pool{2};
  auto slow = pool.submit([&] {
    started.count_down();
    gate.wait();
    return 1;
  });
  started.wait();
  auto waiter = pool.submit([&] {
    auto after = slow.then([](int n) { return n + 1; });
    about_to_wait.count_down();
    return after.get();
  });
  about_to_wait.wait();
  gate.count_down();
  EXPECT_EQ(waiter.get(), 2);
}

TEST(rules_waiting, a_worker_runs_the_awaited_task_itself) {
  thread_pool pool{1};
  std::thread::id outer, inner;
  pool.submit([&] {
        outer = std::this_thread::get_id();
        pool.submit([&] { inner = std::this_thread::get_id(); }).get();
      })
      .get();
  EXPECT_EQ(outer, inner);
}

TEST(rules_waiting, threads_outside_just_park) {
  std::latch started(1), gate(1);
  thread_pool pool{1};
  pool.post([&] {
    started.count_down();
    gate.wait();
  });
  started.wait();
  auto f = pool.submit([] { return std::this_thread::get_id(); });
  std::jthread opener([&] { gate.count_down(); });
  EXPECT_NE(f.get(), std::this_thread::get_id());
}

TEST(rules_waiting, a_worker_of_another_pool_is_outside) {
  thread_pool one{1}, other{1};
  const auto theirs = other.submit([] { return std::this_thread::get_id(); }).get();
  EXPECT_EQ(one.submit([&] { return other.submit([] { return std::this_thread::get_id(); }).get(); }).get(), theirs);
}

struct ping_pong {
  thread_pool* here;
  thread_pool* there;
  int left;
  int operator()() const {
    if (left == 0) return 0;
    return there->submit(ping_pong{there, here, left - 1}).get() + 1;
  }
};

TEST(rules_waiting, two_pools_that_wait_for_each_other) {
  thread_pool a{1}, b{1};
  EXPECT_EQ(a.submit(ping_pong{&a, &b, 100}).get(), 100);
}

// `stranger` ends only after the wait is over: run inside the wait, it would hang.
TEST(rules_waiting, never_a_strangers_task_while_the_awaited_one_runs) {
  std::latch awaited_runs(1), stranger_runs(1), wait_is_over(1), stranger_waits(1);
  thread_pool pool{2};
  auto awaited = pool.submit([&] {
    awaited_runs.count_down();
    stranger_runs.wait();  // a plain wait: the pool knows nothing of it
    return 1;
  });
  awaited_runs.wait();
  auto waiter = pool.submit([&] {
    stranger_waits.wait();
    const int n = get_marked(awaited);
    wait_is_over.count_down();
    return n;
  });
  auto stranger = pool.submit([&] {
    EXPECT_EQ(waiting_here, 0);
    stranger_runs.count_down();
    wait_is_over.wait();
  });
  stranger_waits.count_down();
  EXPECT_EQ(waiter.get(), 1);
  stranger.get();
  EXPECT_GE(pool.stats().spare_threads, 1U);
}

TEST(rules_waiting, never_a_strangers_task_of_its_own_queue) {
  std::latch wait_is_over(1);
  thread_pool pool{1};
  promise<int> p;
  auto answer = p.get_future();
  pool.submit([&] {
        // On the worker's own queue, and there still when the waiter, more urgent, starts on the same worker.
        pool.post([&] {
          EXPECT_EQ(waiting_here, 0);
          p.set_value(3);
          wait_is_over.wait();
        });
        pool.with({.priority = 1}).post([&] {
          EXPECT_EQ(get_marked(answer), 3);
          wait_is_over.count_down();
        });
      })
      .get();
  wait_is_over.wait();
}

TEST(rules_waiting, leapfrogging_takes_descendants_only) {
  std::latch holding(1), awaited_runs(1), about_to_wait(1), stranger_ran(1), wait_is_over(1);
  std::latch all_made(1);
  thread_pool pool{2};
  auto holder = pool.submit([&] {  // keeps one worker away until the other runs `awaited`
    holding.count_down();
    awaited_runs.wait();
  });
  holding.wait();
  future<void> waiter, awaited, stranger;
  pool.submit([&] {
        // In the queue of the worker that goes on with `awaited`, beneath what `awaited` will add.
        stranger = pool.submit([&] {
          EXPECT_EQ(waiting_here, 0);
          stranger_ran.count_down();
          wait_is_over.wait();
        });
        awaited = pool.with({.priority = 2}).submit([&] {
          awaited_runs.count_down();
          about_to_wait.wait();
          auto child = pool.submit([] {});  // the waiter may take this one
          stranger_ran.wait();              // but a spare takes the stranger
          child.get();
        });
        waiter = pool.with({.priority = 1}).submit([&] {
          all_made.wait();
          about_to_wait.count_down();
          get_marked(awaited);
          wait_is_over.count_down();
        });
        all_made.count_down();
      })
      .get();
  waiter.get();
  stranger.get();
  holder.get();
}

TEST(rules_waiting, never_a_strangers_task_inside_a_join) {
  thread_pool pool{2};
  for (int round = 0; round < 20; ++round) {
    std::latch right_runs(1), stranger_runs(1), join_is_over(1);
    auto forker = pool.submit([&] {
      const in_wait mark;
      tutti::fork_join([&] { right_runs.wait(); },  // so the right branch is on another thread
                       [&] {
                         right_runs.count_down();
                         stranger_runs.wait();
                       });
      join_is_over.count_down();
    });
    right_runs.wait();
    auto stranger = pool.submit([&] {
      EXPECT_EQ(waiting_here, 0);
      stranger_runs.count_down();
      join_is_over.wait();
    });
    forker.get();
    stranger.get();
  }
}

TEST(rules_waiting, a_join_never_runs_what_was_submitted_beside_it) {
  std::latch right_runs(1), stranger_runs(1), join_is_over(1);
  thread_pool pool{2};
  future<void> stranger;
  pool.submit([&] {
        const in_wait mark;
        tutti::fork_join(
            [&] {
              right_runs.wait();            // both workers are busy here
              stranger = pool.submit([&] {  // so this stays on our own queue until we join
                EXPECT_EQ(waiting_here, 0);
                stranger_runs.count_down();
                join_is_over.wait();
              });
            },
            [&] {
              right_runs.count_down();
              stranger_runs.wait();
            });
        join_is_over.count_down();
      })
      .get();
  stranger.get();
}

TEST(rules_waiting, a_held_lock_is_not_met_again) {
  // The textbook deadlock: a task waits with a lock held, and its thread picks up another task that wants the lock.
  for (const int threads : {1, 2, 4}) {
    thread_pool pool{threads};
    std::mutex mutex;
    int counter = 0;
    std::vector<future<void>> futures;
    for (int i = 0; i < 200; ++i) {
      futures.push_back(pool.submit([&] {
        const std::lock_guard lock(mutex);
        pool.submit([&] { ++counter; }).get();
        tutti::fork_join([&] { ++counter; }, [] {});
      }));
    }
    for (auto& f : futures) f.get();
    EXPECT_EQ(counter, 400);
  }
}

}  // namespace
