#include <gtest/gtest.h>

#include <latch>
#include <mutex>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/small_mutex.hpp>
#include <vector>

namespace {

using tutti::small_mutex;
static_assert(sizeof(small_mutex) == 4);

TEST(SmallMutex, HeldByOne) {
  small_mutex mutex;
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST(SmallMutex, WorksWithTheStandardGuards) {
  small_mutex a, b;
  {
    const std::scoped_lock both(a, b);
    EXPECT_FALSE(a.try_lock());
    EXPECT_FALSE(b.try_lock());
  }
  const std::unique_lock lock(a, std::try_to_lock);
  EXPECT_TRUE(lock.owns_lock());
}

TEST(SmallMutex, ExcludesAndPublishes) {
  const tutti_test::watchdog dog;
  small_mutex mutex;
  long count = 0;  // plain on purpose
  constexpr int threads = 4, rounds = 20000;
  std::latch start(threads);
  {
    std::vector<std::jthread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&, t] {
        start.arrive_and_wait();
        for (int i = 0; i < rounds; ++i) {
          if (t == 0 && i % 3 == 0 && mutex.try_lock()) {
            ++count;
            mutex.unlock();
            continue;
          }
          const std::lock_guard lock(mutex);
          ++count;
          if (i % 1000 == 0) std::this_thread::yield();  // long enough for the others to go to sleep
        }
      });
    }
  }
  EXPECT_EQ(count, static_cast<long>(threads) * rounds);
}

TEST(SmallMutex, EverySleeperIsWoken) {
  const tutti_test::watchdog dog;
  for (int round = 0; round < 50; ++round) {
    small_mutex mutex;
    int inside = 0;
    std::vector<std::jthread> all;
    mutex.lock();
    std::latch arrived(4);
    for (int t = 0; t < 4; ++t) {
      all.emplace_back([&] {
        arrived.count_down();
        const std::lock_guard lock(mutex);
        ++inside;
      });
    }
    arrived.wait();
    for (int i = 0; i < 20; ++i) std::this_thread::yield();
    mutex.unlock();
    all.clear();
    EXPECT_EQ(inside, 4);
  }
}

}  // namespace
