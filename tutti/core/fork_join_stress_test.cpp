// fork_join in depth and in numbers: on pools of every size, inside tasks and waits, from threads outside any pool.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <optional>
#include <random>
#include <stdexcept>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::fork_join;
using tutti::thread_pool;
using tutti_test::watchdog;

long fib(int n) {
  if (n < 2) return n;
  auto [a, b] = fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

// More branches below each other than a deque holds: the fork is in the left branch, the right ones pile up.
long left_deep(int n) {
  if (n == 0) return 0;
  auto [a, b] = fork_join([n] { return left_deep(n - 1); }, [] { return 1L; });
  return a + b;
}
long right_deep(int n) {
  if (n == 0) return 0;
  auto [a, b] = fork_join([] { return 1L; }, [n] { return right_deep(n - 1); });
  return a + b;
}
constexpr int deeper_than_the_deque = 5000;
static_assert(deeper_than_the_deque > static_cast<int>(tutti::fork_deque::capacity));

TEST(ForkJoinStress, PoolsOfEverySize) {
  const watchdog dog;
  for (int threads = 1; threads <= 8; ++threads) {
    thread_pool pool(threads);
    EXPECT_EQ(pool.submit([] { return fib(18); }).get(), 2584) << threads;
  }
}

TEST(ForkJoinStress, FromAThreadOutsideAnyPool) {
  const watchdog dog;
  EXPECT_EQ(fib(20), 6765);
}

TEST(ForkJoinStress, FromSeveralOutsideThreadsAtOnce) {
  const watchdog dog;
  std::vector<std::jthread> threads;
  std::atomic<int> right{0};
  std::latch start(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (int k = 0; k < 10; ++k) right += fib(13) == 233;
    });
  }
  threads.clear();
  EXPECT_EQ(right, 80);
}

TEST(ForkJoinStress, DeeperThanTheDequeHolds) {
  const watchdog dog;
  for (const int threads : {1, 4}) {
    thread_pool pool(threads);
    EXPECT_EQ(pool.submit([] { return left_deep(deeper_than_the_deque); }).get(), deeper_than_the_deque);
    EXPECT_EQ(pool.submit([] { return right_deep(deeper_than_the_deque); }).get(), deeper_than_the_deque);
    EXPECT_EQ(pool.submit([] { return fib(15); }).get(), 610) << "the deque is usable afterwards";
  }
  EXPECT_EQ(left_deep(deeper_than_the_deque), deeper_than_the_deque);
}

TEST(ForkJoinStress, ErrorsFromBeyondTheDeque) {
  const watchdog dog;
  struct tree {
    static void grow(int n) {
      if (n == 0) throw std::runtime_error("bottom");
      fork_join([n] { grow(n - 1); }, [] {});
    }
  };
  thread_pool pool(2);
  EXPECT_THROW(pool.submit([] { tree::grow(deeper_than_the_deque); }).get(), std::runtime_error);
  EXPECT_EQ(pool.submit([] { return fib(15); }).get(), 610);
}

TEST(ForkJoinStress, InsideManyTasks) {
  const watchdog dog;
  thread_pool pool(3);
  std::vector<tutti::future<long>> futures;
  for (int i = 0; i < 300; ++i) futures.push_back(pool.submit([i] { return fib(i % 14); }));
  for (int i = 0; i < 300; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), fib(i % 14));
}

TEST(ForkJoinStress, TasksInsideBranchesInsideTasks) {
  const watchdog dog;
  for (int threads = 1; threads <= 3; ++threads) {
    thread_pool pool(threads);
    const std::function<long(int)> sum = [&](int depth) -> long {
      if (depth == 0) return 1;
      auto [a, b] = fork_join([&] { return pool.submit([&] { return sum(depth - 1); }).get(); },
                              [&] {
                                auto other = pool.submit([&] { return sum(depth - 1); });
                                return sum(depth - 1) + other.get();
                              });
      return a + b;
    };
    EXPECT_EQ(pool.submit([&] { return sum(6); }).get(), 729) << threads;  // 3^6
  }
}

// A waiting task helps the branches of what it waits for; those wait for others in turn.
TEST(ForkJoinStress, InsideTheWaitsOfFutures) {
  const watchdog dog;
  thread_pool pool(2);
  for (int round = 0; round < 50; ++round) {
    auto inner = pool.submit([] { return fib(12); });
    auto outer = pool.submit([&] {
      auto [a, b] = fork_join([&] { return inner.get(); }, [] { return fib(10); });
      return a + b;
    });
    EXPECT_EQ(outer.get(), 144 + 55);
  }
}

// One thread: the left branch sleeps until the right one has run, so the pool must find another thread for it.
TEST(ForkJoinStress, ABlockedBranchDoesNotHoldUpTheOther) {
  const watchdog dog;
  thread_pool pool(1);
  tutti::promise<int> promise;
  auto future = promise.get_future();
  EXPECT_EQ(pool.submit([&] {
                  auto [a, b] = fork_join([&] { return future.get(); },
                                          [&] {
                                            promise.set_value(5);
                                            return 6;
                                          });
                  return a + b;
                })
                .get(),
            11);
}

TEST(ForkJoinStress, GuestsMayBlockToo) {
  const watchdog dog;
  for (int round = 0; round < 20; ++round) {
    tutti::promise<int> promise;
    auto future = promise.get_future();
    auto [a, b] = fork_join([&] { return future.get(); },
                            [&] {
                              promise.set_value(round);
                              return 1;
                            });
    EXPECT_EQ(a + b, round + 1);
  }
}

// ---------------------------------------------------------------- random trees with errors

struct counted {
  static inline std::atomic<int> alive{0};
  explicit counted(long v) : value(v) { ++alive; }
  counted(counted&& other) noexcept : value(other.value) { ++alive; }
  ~counted() { --alive; }
  long value;
};

// A node has 1 to 4 children; some leaves throw their number. Equal seeds give equal trees.
struct node {
  std::vector<node> children;
  long leaf = 0;
  bool bad = false;
};
node random_tree(std::mt19937& random, int depth, long& leaves, double badness) {
  node made;
  if (depth == 0 || random() % 5 == 0) {
    made.leaf = leaves++;
    made.bad = std::uniform_real_distribution<>()(random) < badness;
    return made;
  }
  for (unsigned n = 1 + random() % 4; n != 0; --n) {
    made.children.push_back(random_tree(random, depth - 1, leaves, badness));
  }
  return made;
}
struct leaf_error {
  long leaf;
};
counted walk(const node& n) {
  if (n.bad) throw leaf_error{n.leaf};
  if (n.children.empty()) return counted(n.leaf);
  const auto child = [&n](std::size_t i) { return [&n, i] { return walk(n.children[i]); }; };
  return std::apply(
      [](auto&&... results) { return counted((results.value + ...)); },
      n.children.size() == 1   ? std::tuple(counted(0), counted(0), counted(0), walk(n.children[0]))
      : n.children.size() == 2 ? std::tuple_cat(std::tuple(counted(0), counted(0)), fork_join(child(0), child(1)))
      : n.children.size() == 3 ? std::tuple_cat(std::tuple(counted(0)), fork_join(child(0), child(1), child(2)))
                               : fork_join(child(0), child(1), child(2), child(3)));
}
// What must come out: the leftmost error, else the sum.
std::optional<long> first_bad(const node& n) {
  if (n.bad) return n.leaf;
  for (const node& child : n.children) {
    if (auto bad = first_bad(child)) return bad;
  }
  return std::nullopt;
}
long sum_of(const node& n) {
  long sum = n.children.empty() ? n.leaf : 0;
  for (const node& child : n.children) sum += sum_of(child);
  return sum;
}

TEST(ForkJoinStress, RandomTreesThrowTheirLeftmostError) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 20260101U;
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 random(seed);
  for (const int threads : {1, 2, 4}) {
    thread_pool pool(threads);
    for (int round = 0; round < 60; ++round) {
      long leaves = 0;
      const double badness = round % 3 == 0 ? 0 : round % 3 == 1 ? 0.005 : 0.1;
      const node tree = random_tree(random, 7, leaves, badness);
      const auto bad = first_bad(tree);
      try {
        const counted sum = pool.submit([&] { return walk(tree); }).get();
        EXPECT_FALSE(bad.has_value());
        EXPECT_EQ(sum.value, sum_of(tree));
      } catch (const leaf_error& error) {
        EXPECT_EQ(error.leaf, bad.value_or(-1)) << "seed " << seed << " round " << round;
      }
      // The worker may still hold what it moved the result from when get() returns; leaked results never go (watchdog).
      while (counted::alive != 0) std::this_thread::yield();
    }
  }
}

}  // namespace
