// Values that follow spawns.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/task_values.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::task_local;
using tutti::thread_pool;
using tutti_test::watchdog;

const task_local<std::string> request{"none"};
const task_local<int> level;

TEST(TaskValues, BoundUntilTheEndOfTheScope) {
  EXPECT_EQ(request.get(), "none");
  EXPECT_EQ(level.get(), 0);
  {
    const auto outer = request.bind("r-1");
    const auto other = level.bind(3);
    EXPECT_EQ(request.get(), "r-1");
    EXPECT_EQ(level.get(), 3);
    {
      const auto inner = request.bind("r-2");
      EXPECT_EQ(request.get(), "r-2");
      EXPECT_EQ(level.get(), 3);
    }
    EXPECT_EQ(request.get(), "r-1");
  }
  EXPECT_EQ(request.get(), "none");
}

TEST(TaskValues, OtherThreadsAreNotConcerned) {
  const auto bound = request.bind("mine");
  std::jthread([] { EXPECT_EQ(request.get(), "none"); }).join();
}

TEST(TaskValues, FollowSubmitWheneverItRuns) {
  const watchdog dog;
  std::atomic<bool> open{false};
  thread_pool pool(1);
  auto busy = pool.submit([&] {
    while (!open) std::this_thread::yield();
  });
  tutti::future<std::string> late;
  {
    const auto bound = request.bind("r-1");
    late = pool.submit([] { return request.get(); });
  }
  auto without = pool.submit([] { return request.get(); });
  open = true;
  EXPECT_EQ(late.get(), "r-1") << "the binding is over, the task still has it";
  EXPECT_EQ(without.get(), "none");
  busy.get();
}

TEST(TaskValues, FollowTasksOfTasks) {
  const watchdog dog;
  thread_pool pool(2);
  const auto bound = level.bind(1);
  EXPECT_EQ(pool.submit([&] {
                  EXPECT_EQ(level.get(), 1);
                  const auto deeper = level.bind(level.get() + 1);
                  return pool
                      .submit([&] {
                        const auto deepest = level.bind(level.get() + 1);
                        return pool.submit([] { return level.get(); }).get();
                      })
                      .get();
                })
                .get(),
            3);
  EXPECT_EQ(level.get(), 1);
}

TEST(TaskValues, FollowPost) {
  const watchdog dog;
  thread_pool pool(1);
  tutti::promise<std::string> seen;
  auto future = seen.get_future();
  {
    const auto bound = request.bind("posted");
    pool.post([&] { seen.set_value(request.get()); });
  }
  EXPECT_EQ(future.get(), "posted");
}

TEST(TaskValues, FollowThen) {
  const watchdog dog;
  thread_pool pool(1);
  tutti::promise<int> promise;
  tutti::future<std::string> after;
  {
    const auto bound = request.bind("then");
    after = promise.get_future().then([](int) { return request.get(); });
  }
  const auto other = request.bind("whoever completes it");
  promise.set_value(1);
  EXPECT_EQ(after.get(), "then");
}

TEST(TaskValues, FollowMapAndBulk) {
  const watchdog dog;
  thread_pool pool(2);
  const auto bound = request.bind("map");
  const auto read = [](int) { return request.get(); };
  for (const auto& r : pool.map(std::vector(10, 0), read)) EXPECT_EQ(r, "map");
  for (const auto& r : pool.map_unordered(std::vector(10, 0), read)) EXPECT_EQ(r.value, "map");
  for (const auto& r : pool.submit_bulk(std::vector(10, 0), read).get()) EXPECT_EQ(r, "map");
}

TEST(TaskValues, FollowTheInlineExecutor) {
  tutti::inline_executor here;
  const auto bound = request.bind("inline");
  EXPECT_EQ(here.submit([] { return request.get(); }).get(), "inline");
}

// Runs `left` and `right` on different threads.
template <class Left, class Right>
void side_by_side(Left left, Right right) {
  std::latch both(2);
  tutti::fork_join(
      [&] {
        both.arrive_and_wait();
        left();
      },
      [&] {
        both.arrive_and_wait();
        right();
      });
}

TEST(TaskValues, FollowStolenBranches) {
  const watchdog dog;
  thread_pool pool(2);
  const auto bound = request.bind("of the task");
  pool.submit([] {
        const auto read = [] { EXPECT_EQ(request.get(), "of the task"); };
        side_by_side(read, read);
        const auto inner = request.bind("bound inside");
        const auto read_inner = [] { EXPECT_EQ(request.get(), "bound inside"); };
        side_by_side(read_inner, read_inner);
      })
      .get();
}

TEST(TaskValues, FollowBranchesStolenFromOutsideThreads) {
  const watchdog dog;
  const auto bound = request.bind("outside");
  const auto read = [] { EXPECT_EQ(request.get(), "outside"); };
  side_by_side(read, read);
}

TEST(TaskValues, WhatTheLeftBranchBindsIsNotTheRights) {
  const watchdog dog;
  thread_pool pool(2);
  pool.submit([] {
        const auto bound = request.bind("before the fork");
        std::latch left_bound(1), right_read(1);
        tutti::fork_join(
            [&] {
              const auto inner = request.bind("left");
              left_bound.count_down();
              right_read.wait();
              EXPECT_EQ(request.get(), "left");
            },
            [&] {
              left_bound.wait();
              EXPECT_EQ(request.get(), "before the fork");
              right_read.count_down();
            });
      })
      .get();
}

// The older of two branches is published while the younger one's binding is in force.
TEST(TaskValues, ABranchKeepsTheBindingsOfItsFork) {
  const watchdog dog;
  for (int round = 0; round < 50; ++round) {
    thread_pool pool(2);
    pool.submit([] {
          const auto one = level.bind(1);
          std::atomic<int> seen{0};
          tutti::fork_join(
              [&] {
                const auto two = level.bind(2);
                tutti::fork_join(
                    [&] {
                      const auto three = level.bind(3);
                      tutti::fork_join([] { EXPECT_EQ(level.get(), 3); }, [&] { seen += level.get() == 3; });
                    },
                    [&] { seen += level.get() == 2; });
              },
              [&] { seen += level.get() == 1; });
          EXPECT_EQ(seen, 3);
        })
        .get();
  }
}

// A worker of one pool that works along in another: its branches there have the same values.
TEST(TaskValues, FollowAWorkerIntoAnotherPool) {
  const watchdog dog;
  thread_pool here(1), there(1);
  here.submit([&] {
        tutti::fork_join(
            [&] {
              const auto bound = request.bind("across pools");
              const tutti::guest guest(there);
              const auto read = [] { EXPECT_EQ(request.get(), "across pools"); };
              side_by_side(read, read);
            },
            [] {});
      })
      .get();
}

TEST(TaskValues, BindingsLiveAsLongAsTheirLastTask) {
  const watchdog dog;
  static const task_local<std::shared_ptr<int>> pointer;
  const auto kept = std::make_shared<int>(1);
  std::atomic<bool> open{false};
  thread_pool pool(1);
  tutti::future<long> task;
  {
    const auto bound = pointer.bind(kept);
    task = pool.submit([&] {
      while (!open) std::this_thread::yield();
      return pointer.get().use_count();
    });
  }
  EXPECT_EQ(kept.use_count(), 2);
  open = true;
  EXPECT_EQ(task.get(), 2);
  pool.shutdown();
  EXPECT_EQ(kept.use_count(), 1);
}

// Each task binds and submits the next: a list as long as the chain, let go at its end, without deep recursion.
TEST(TaskValues, LongListsAreFreed) {
  const watchdog dog;
  static const task_local<std::shared_ptr<int>> pointer;
  const auto kept = std::make_shared<int>(1);
  {
    thread_pool pool(1);
    std::function<void(int)> next = [&](int left) {
      const auto bound = pointer.bind(kept);
      if (left != 0) pool.post([&next, left] { next(left - 1); });
    };
    pool.post([&] { next(100000); });
    pool.shutdown();
  }
  EXPECT_EQ(kept.use_count(), 1);
}

}  // namespace
