#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/per_worker.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::per_worker;
using tutti_test::watchdog;

TEST(PerWorker, OneCopyForAThread) {
  per_worker<int> sum;
  sum.local() += 2;
  sum.local() += 3;
  EXPECT_EQ(&sum.local(), &sum.local());
  EXPECT_EQ(sum.combine(std::plus<>()), 5);
}

TEST(PerWorker, CopiesStartAsToldOrAsDefault) {
  EXPECT_EQ(per_worker<int>().local(), 0);
  EXPECT_EQ(per_worker<int>(7).local(), 7);
  EXPECT_EQ(per_worker<std::string>(std::string("x")).local(), "x");
  int made = 0;
  per_worker<std::unique_ptr<int>> pointers([&] { return std::make_unique<int>(++made); });
  EXPECT_EQ(*pointers.local(), 1);
  EXPECT_EQ(*pointers.local(), 1);
  EXPECT_EQ(made, 1);
}

TEST(PerWorker, UnusedCombinesToTheStartValue) {
  per_worker<int> sum(9);
  EXPECT_EQ(sum.combine(std::plus<>()), 9);
  int visits = 0;
  sum.for_each([&](int&) { ++visits; });
  EXPECT_EQ(visits, 0);
}

TEST(PerWorker, ThreadsDoNotShare) {
  const watchdog dog;
  per_worker<int> sum;
  std::set<int*> places;
  std::mutex mutex;
  std::latch all(20);  // alive together, so that no number is used twice
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 20; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) sum.local() += t;
        {
          const std::lock_guard lock(mutex);
          places.insert(&sum.local());
        }
        all.arrive_and_wait();
      });
    }
  }
  EXPECT_EQ(places.size(), 20U);
  EXPECT_EQ(sum.combine(std::plus<>()), 100 * 190) << "the copies stay when their threads have ended";
  int copies = 0;
  sum.for_each([&](int& one) {
    ++copies;
    one = 1;
  });
  EXPECT_EQ(copies, 20);
  EXPECT_EQ(sum.combine(std::plus<>()), 20) << "for_each may change them, combine does not";
  EXPECT_EQ(sum.combine(std::plus<>()), 20);
}

TEST(PerWorker, ClearDestroysAndStartsAnew) {
  struct counted {
    explicit counted(std::atomic<int>& n) : alive(&n) { ++*alive; }
    counted(counted&& other) noexcept : alive(other.alive) { ++*alive; }
    ~counted() { --*alive; }
    std::atomic<int>* alive;
  };
  std::atomic<int> alive{0};
  {
    per_worker<counted> some([&] { return counted(alive); });
    some.local();
    std::jthread([&] { some.local(); }).join();
    EXPECT_GE(alive, 1);
    some.clear();
    EXPECT_EQ(alive, 0);
    some.local();
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(PerWorker, AMakerThatThrowsLeavesNothing) {
  int calls = 0;
  per_worker<int> some([&]() -> int {
    if (++calls == 1) throw std::runtime_error("no");
    return 5;
  });
  EXPECT_THROW(some.local(), std::runtime_error);
  EXPECT_EQ(some.local(), 5);
}

TEST(PerWorker, SumsOverAForkJoin) {
  const watchdog dog;
  per_worker<long> leaves;
  struct tree {
    static void grow(per_worker<long>& count, int depth) {
      if (depth == 0) {
        ++count.local();
        return;
      }
      tutti::fork_join([&] { grow(count, depth - 1); }, [&] { grow(count, depth - 1); });
    }
  };
  for (const int threads : {1, 2, 4}) {
    tutti::thread_pool pool(threads);
    pool.submit([&] { tree::grow(leaves, 12); }).get();
  }
  tree::grow(leaves, 12);
  EXPECT_EQ(leaves.combine(std::plus<>()), 4 * 4096);
}

TEST(PerWorker, SumsOverPostedTasks) {
  const watchdog dog;
  per_worker<int> ran;
  {
    tutti::thread_pool pool(3);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran.local(); });
  }
  EXPECT_EQ(ran.combine(std::plus<>()), 1000);
}

}  // namespace
