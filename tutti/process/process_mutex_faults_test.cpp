// A process_mutex whose owners die while others sleep, or are told when there is no memory, or go another way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/handed_over.hpp>
#include <tests/support/no_memory.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/process_mutex.hpp>

#include <tutti/base/error.hpp>

#include <new>
#include <string>
#include <thread>

namespace {

using tutti::process_mutex;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::talk;

TEST(ProcessMutexFaults, LosesNoSleeperWhereverItsOwnerDies) {
  const int bargers = tutti_test::hand_over_at_every_point(
      [] { return process_mutex("m"); }, [](const process_mutex& mutex) { (void)mutex.lock_to_repair(); },
      [](const process_mutex& mutex) { mutex.unlock(); }, [](const process_mutex& mutex) { return mutex.try_lock(); },
      48);
  EXPECT_GT(bargers, 0);
}

TEST(ProcessMutexFaults, TellsTheNextWhenThereIsNoMemoryToTell) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer itself needs memory";
#endif
  const process_mutex mutex(std::string(63, 'n'));
  std::string dead;
  const auto lose = [&] {
    child holder([&](const talk&) {
      mutex.lock();
      return 0;
    });
    dead = std::to_string(holder.pid());
    EXPECT_EQ(holder.join(), 0);
    child finder([&](const talk&) {
      tutti_test::use_up_memory();
      try {
        mutex.lock();
      } catch (const std::bad_alloc&) {
        return 0;
      }
      return 1;
    });
    EXPECT_EQ(finder.join(), 0);
  };
  lose();
  EXPECT_THAT([&] { mutex.lock(); },
              testing::ThrowsMessage<tutti::owner_lost>(testing::HasSubstr("a thread of process " + dead + " ended")));
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
  lose();
  EXPECT_TRUE(mutex.lock_to_repair());
  mutex.unlock();
  EXPECT_FALSE(mutex.lock_to_repair());
  mutex.unlock();
}

// What a thread has locked, and ended with, is another's who repaired it through a handle that came another way.
TEST(ProcessMutexFaults, MayGoWhenItWasRepairedThroughAnotherHandle) {
  child alone([](const talk&) {
    process_mutex mutex("m");
    const process_mutex same = round_trip(mutex);
    std::thread([&] { mutex.lock(); }).join();
    if (!same.lock_to_repair()) return 1;
    mutex = process_mutex();
    same.unlock();
    return 0;
  });
  EXPECT_EQ(alone.join(), 0);
}

TEST(ProcessMutexFaults, MayGoInAChildOfWhoLockedIt) {
  process_mutex mutex("m");
  const process_mutex same = round_trip(mutex);
  mutex.lock();
  child forked([&](const talk& parent) {
    parent.hear();
    same.lock();
    mutex = process_mutex();
    same.unlock();
    return 0;
  });
  mutex.unlock();
  forked.say();
  EXPECT_EQ(forked.join(), 0);
}

}  // namespace
