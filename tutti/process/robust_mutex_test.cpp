#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/handed_over.hpp>
#include <tutti/process/robust_mutex.hpp>
#include <tutti/process/shared_memory.hpp>

#include <tutti/base/error.hpp>

#include <new>

namespace tutti::detail {
namespace {

using tutti_test::child;
using tutti_test::talk;
using outcome = robust_mutex::outcome;

struct shared_lock {
  shared_memory memory{sizeof(robust_mutex), "a test"};
  robust_mutex& mutex = *::new (memory.data()) robust_mutex;
};

TEST(RobustMutex, LocksOnce) {
  const shared_lock shared;
  robust_mutex& mutex = shared.mutex;
  EXPECT_EQ(mutex.lock(), outcome::taken);
  EXPECT_EQ(mutex.lock(), outcome::mine);
  EXPECT_EQ(mutex.try_lock(), outcome::mine);
  child other([&](const talk&) {
    const auto past = std::chrono::steady_clock::now();
    return mutex.try_lock() == outcome::busy && mutex.block_until(past) == outcome::busy ? 0 : 1;
  });
  EXPECT_EQ(other.join(), 0);
  EXPECT_TRUE(mutex.unlock());
  EXPECT_EQ(mutex.block_until(std::chrono::steady_clock::time_point()), outcome::taken);
  EXPECT_TRUE(mutex.unlock());
}

TEST(RobustMutex, OutlivesItsOwner) {
  const shared_lock shared;
  robust_mutex& mutex = shared.mutex;
  for (int i = 0; i < 3; ++i) {
    child owner([&](const talk& parent) {
      (void)mutex.lock();
      parent.say();
      parent.wait_for_the_end();
      return 0;
    });
    owner.hear();
    EXPECT_EQ(mutex.try_lock(), outcome::busy);
    owner.kill();
    EXPECT_EQ(mutex.lock(), outcome::taken_from_dead);
    EXPECT_TRUE(mutex.unlock());
    EXPECT_EQ(mutex.lock(), outcome::taken);
    EXPECT_TRUE(mutex.unlock());
  }
}

TEST(RobustMutex, TellsTheNextWhenTheOneWhoWasToldDies) {
  const shared_lock shared;
  robust_mutex& mutex = shared.mutex;
  for (int i = 0; i < 2; ++i) {
    child owner([&](const talk& parent) {
      (void)mutex.lock();  // the second one is told, and dies with it
      parent.say();
      parent.wait_for_the_end();
      return 0;
    });
    owner.hear();
    owner.kill();
  }
  EXPECT_EQ(mutex.lock(), outcome::taken_from_dead);
  EXPECT_TRUE(mutex.unlock());
}

TEST(RobustMutex, WakesWhoBlocksWhenTheOwnerDies) {
  const shared_lock shared;
  robust_mutex& mutex = shared.mutex;
  child owner([&](const talk& parent) {
    (void)mutex.lock();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  owner.hear();
  child waiter([&](const talk& parent) {
    parent.say();
    return mutex.block_until(std::chrono::steady_clock::time_point::max()) == outcome::taken_from_dead ? 0 : 1;
  });
  waiter.hear();
  waiter.until_asleep();
  owner.kill();
  EXPECT_EQ(waiter.join(), 0);
}

// Also between the unlock and the wake-up.
TEST(RobustMutex, LosesNoSleeperWhereverItsOwnerDies) {
  const int bargers = tutti_test::hand_over_at_every_point(
      [] { return shared_lock(); },
      [](shared_lock& shared) { (void)shared.mutex.block_until(std::chrono::steady_clock::time_point::max()); },
      [](shared_lock& shared) { shared.mutex.unlock(); },
      [](shared_lock& shared) { return shared.mutex.try_lock() == outcome::taken; }, 47);
  EXPECT_GT(bargers, 0);
}

TEST(RobustGuard, RefusesToWaitForItself) {
  const shared_lock shared;
  const robust_guard guard(shared.mutex, "outer");
  EXPECT_FALSE(guard.from_dead());
  EXPECT_THROW(robust_guard(shared.mutex, "inner"), deadlock);
}

}  // namespace
}  // namespace tutti::detail
