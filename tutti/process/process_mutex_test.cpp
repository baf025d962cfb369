#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/process_mutex.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/process/shared_value.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using tutti::process_mutex;
using tutti::shared_array;
using tutti::shared_value;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::sent_as;
using tutti_test::talk;
using namespace std::chrono_literals;

// Locks it and stays.
auto holder_of(const process_mutex& mutex) {
  return [&mutex](const talk& parent) {
    mutex.lock();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  };
}

TEST(ProcessMutex, LetsOneInAtATime) {
  const process_mutex mutex("counter");
  const shared_array<int> counter(1);
  {
    std::deque<child> children;
    for (int p = 0; p < 4; ++p) {
      children.emplace_back([&](const talk&) {
        for (int i = 0; i < 1000; ++i) {
          const std::lock_guard lock(mutex);
          ++counter[0];
        }
        return 0;
      });
    }
    for (child& each : children) EXPECT_EQ(each.exit_code(), 0);
  }
  EXPECT_EQ(counter[0], 4000);
}

TEST(ProcessMutex, IsLockable) {
  const process_mutex one("one"), two("two");
  {
    const std::scoped_lock both(one, two);
  }
  std::unique_lock lock(one, std::try_to_lock);
  EXPECT_TRUE(lock);
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_for(1h));
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_until(std::chrono::steady_clock::now()));
  lock.unlock();
  EXPECT_FALSE(one.lock_to_repair());
  one.unlock();
  EXPECT_EQ(two.name(), "two");
}

TEST(ProcessMutex, IsBusyWhileAnotherProcessHasIt) {
  const process_mutex mutex("m");
  child holder([&](const talk& parent) {
    const std::lock_guard lock(mutex);
    parent.say();
    parent.hear();
    return 0;
  });
  holder.hear();
  EXPECT_FALSE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock_for(0ns));
  EXPECT_FALSE(mutex.try_lock_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(mutex.try_lock_for(1ms));
  EXPECT_THAT([&] { mutex.unlock(); }, ThrowsMessage<tutti::not_owner>(HasSubstr(
                                           "but a thread of process " + std::to_string(holder.pid()) + " holds it")));
  holder.say();
  mutex.lock();
  mutex.unlock();
}

TEST(ProcessMutex, BelongsToItsThread) {
  const process_mutex mutex("m");
  EXPECT_THAT([&] { mutex.unlock(); },
              ThrowsMessage<tutti::not_owner>(HasSubstr("process_mutex \"m\": unlocked by a thread of process")));
  mutex.lock();
  EXPECT_FALSE(mutex.try_lock());
  EXPECT_THAT([&] { mutex.lock(); }, ThrowsMessage<tutti::deadlock>(HasSubstr("holds it already")));
  EXPECT_THROW(static_cast<void>(mutex.lock_to_repair()), tutti::deadlock);
  EXPECT_THROW(static_cast<void>(mutex.try_lock_for(1h)), tutti::deadlock);
  const process_mutex same = round_trip(mutex);
  EXPECT_THROW(same.lock(), tutti::deadlock);
  EXPECT_THAT([&] { same.unlock(); }, ThrowsMessage<tutti::not_owner>(HasSubstr("came another way")));
  std::thread([&] {
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_THROW(mutex.unlock(), tutti::not_owner);
  }).join();
  mutex.unlock();
  EXPECT_THROW(mutex.unlock(), tutti::not_owner);
  std::thread([&] { const std::lock_guard lock(same); }).join();
}

TEST(ProcessMutex, OfAForkedParentIsNotTheChilds) {
  const process_mutex mutex("m");
  mutex.lock();
  auto inherited = std::make_unique<process_mutex>(mutex);
  child forked([&](const talk&) {
    if (mutex.try_lock()) return 1;
    try {
      mutex.unlock();
      return 2;
    } catch (const tutti::not_owner&) {
    }
    inherited.reset();  // nothing of ours is locked
    return 0;
  });
  EXPECT_EQ(forked.exit_code(), 0);
  mutex.unlock();
}

TEST(ProcessMutex, TellsOnceThatItsOwnerDied) {
  const process_mutex mutex("ledger");
  child holder(holder_of(mutex));
  holder.hear();
  EXPECT_FALSE(mutex.try_lock());
  const std::string dead = std::to_string(holder.pid());
  holder.kill();
  EXPECT_THAT([&] { mutex.lock(); },
              ThrowsMessage<tutti::owner_lost>(HasSubstr("process_mutex \"ledger\": a thread of process " + dead)));
  EXPECT_THROW(mutex.unlock(), tutti::not_owner);  // it was not taken
  child other([&](const talk&) {
    const std::lock_guard lock(mutex);  // told no more
    return 0;
  });
  EXPECT_EQ(other.exit_code(), 0);
  mutex.lock();
  mutex.unlock();
}

TEST(ProcessMutex, TellsInEveryForm) {
  const process_mutex mutex("m");
  const auto after_death = [&](auto form) {
    child holder(holder_of(mutex));
    holder.hear();
    holder.kill();
    EXPECT_THROW(form(), tutti::owner_lost);
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  };
  after_death([&] { (void)mutex.try_lock(); });
  after_death([&] { (void)mutex.try_lock_for(0ns); });
  after_death([&] { (void)mutex.try_lock_for(1h); });
  after_death([&] { const std::lock_guard lock(mutex); });
  after_death([&] {
    const process_mutex same = round_trip(mutex), other("o");
    std::scoped_lock lock(other, same);
  });
}

TEST(ProcessMutex, IsRepairedByWhoLocksItForThat) {
  const process_mutex mutex("m");
  {
    child holder(holder_of(mutex));
    holder.hear();
  }
  child dies_too([&](const talk& parent) {
    parent.say(mutex.lock_to_repair() ? 'r' : '.');
    parent.wait_for_the_end();
    return 0;
  });
  dies_too.hear('r');
  dies_too.kill();
  EXPECT_TRUE(mutex.lock_to_repair());
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  EXPECT_FALSE(mutex.lock_to_repair());
  mutex.unlock();
}

TEST(ProcessMutex, WakesWhoWaitsWhenItsOwnerDies) {
  const process_mutex mutex("m");
  child holder(holder_of(mutex));
  holder.hear();
  const auto wait = [&](const talk& parent) {
    parent.say();
    try {
      const std::lock_guard lock(mutex);
    } catch (const tutti::owner_lost&) {
      return 1;
    }
    return 0;
  };
  child first(wait), second(wait);
  first.hear();
  second.hear();
  first.until_asleep();
  second.until_asleep();
  holder.kill();
  EXPECT_EQ(first.exit_code() + second.exit_code(), 1);  // one of them is told
}

// Also an end by itself, of a thread alone.
TEST(ProcessMutex, SeesAThreadEnd) {
  const process_mutex mutex("m");
  std::thread([&] { mutex.lock(); }).join();
  EXPECT_THROW(mutex.lock(), tutti::owner_lost);
  mutex.lock();
  mutex.unlock();
}

TEST(ProcessMutex, RefersToNothingByDefault) {
  const process_mutex none;
  EXPECT_FALSE(none);
  EXPECT_THROW(none.lock(), std::logic_error);
  EXPECT_THROW(static_cast<void>(none.try_lock()), std::logic_error);
  EXPECT_THROW(none.unlock(), std::logic_error);
  EXPECT_THROW(static_cast<void>(none.name()), std::logic_error);
  EXPECT_FALSE(round_trip(none));
}

TEST(ProcessMutex, TravelsByHandle) {
  const process_mutex here(std::string(63, 'n'));
  const process_mutex there = round_trip(here);
  EXPECT_EQ(there.name(), std::string(63, 'n'));
  there.lock();
  EXPECT_FALSE(here.try_lock());
  there.unlock();
  EXPECT_THROW(static_cast<void>(tutti::encode(here)), tutti::encode_error);
  EXPECT_THROW(sent_as<process_mutex>(shared_value<int>(1)), tutti::decode_error);
  EXPECT_THROW(sent_as<shared_value<int>>(here), tutti::decode_error);
  EXPECT_THROW(process_mutex(std::string(64, 'n')), std::invalid_argument);
}

TEST(ProcessMutex, WaitingKeepsAPoolRunning) {
  const process_mutex mutex("m");
  tutti::thread_pool pool(1);
  mutex.lock();
  auto waits = pool.submit([&] { const std::lock_guard lock(mutex); });
  pool.submit([] {}).get();  // on the only worker, which has begun the other one before
  mutex.unlock();
  waits.get();
}

TEST(ProcessMutex, OnALoopItWouldBlock) {
  const process_mutex mutex("m");
  child holder(holder_of(mutex));
  holder.hear();
  tutti::run_loop loop;
  loop.post([&] {
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_THAT([&] { mutex.lock(); }, ThrowsMessage<tutti::would_block>(testing::AllOf(
                                           testing::StartsWith("process_mutex::lock of \"m\" at "),
                                           testing::EndsWith("co_await a task of a thread_pool that needs the lock"))));
    loop.shutdown();
  });
  loop.run();
}

TEST(ProcessMutexDeathTest, MustNotGoWhileItIsLocked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto mutex = std::make_unique<process_mutex>("doomed");
        mutex->lock();
        mutex.reset();
      },
      "tutti: fatal: process_mutex \"doomed\" destroyed while it is locked");
}

TEST(ProcessMutex, IsWholeWhereverItsOwnerDies) {
  const process_mutex mutex("m");
  const shared_array<int> pair(2);
  int told = 0;
  tutti_test::at_every_point([] {},
                             [&] {
                               mutex.lock();
                               ++std::atomic_ref(pair[0]);
                               ++std::atomic_ref(pair[1]);
                               mutex.unlock();
                             },
                             [&] {
                               if (mutex.lock_to_repair()) {
                                 ++told;
                                 pair[1] = pair[0];
                               }
                               ASSERT_EQ(pair[0], pair[1]);
                               mutex.unlock();
                               ASSERT_TRUE(mutex.try_lock());
                               mutex.unlock();
                             },
                             45);
  EXPECT_GT(told, 0);
}

// Two words that are the same whenever nobody holds the lock, in spite of all who die in between.
TEST(ProcessMutexStress, IsRepairedWhoeverIsKilled) {
  tutti_test::choices choose(42);
  const process_mutex mutex("pair");
  const shared_array<long> pair(2);
  const shared_value<long> steps(0);
  const shared_value<bool> broken(false);
  const auto work = [&](const talk&) {
    for (;;) {
      if (mutex.lock_to_repair()) pair[1] = pair[0];
      if (pair[0] != pair[1]) broken.store(true);
      ++std::atomic_ref(pair[0]);
      steps.fetch_add(1);
      ++std::atomic_ref(pair[1]);
      mutex.unlock();
    }
    return 0;
  };
  std::vector<std::unique_ptr<child>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(std::make_unique<child>(work));
  for (int round = 0; round < 150; ++round) {
    const long target = steps.load() + 1 + choose.below(200);
    while (steps.load() < target) ::sched_yield();
    auto& doomed = workers[choose.below(3)];
    doomed->kill();
    doomed = std::make_unique<child>(work);
  }
  EXPECT_FALSE(broken.load());
}

}  // namespace
