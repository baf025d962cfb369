#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/process_mutex.hpp>
#include <tutti/process/process_semaphore.hpp>
#include <tutti/process/shared_value.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>

#include <deque>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using tutti::process_semaphore;
using tutti::shared_value;
using tutti::detail::is_running;
using tutti::detail::process_key;
using tutti::detail::this_process;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::sent_as;
using tutti_test::talk;
using namespace std::chrono_literals;

// Takes n permits and stays.
auto holder_of(const process_semaphore& permits, int n) {
  return [&permits, n](const talk& parent) {
    for (int i = 0; i < n; ++i) permits.acquire();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  };
}

// The dead are not looked for again for a moment.
bool until_told(const process_semaphore& permits) {
  for (int i = 0; i < 10'000; ++i) {
    try {
      if (permits.try_acquire_for(1ms)) return false;
    } catch (const tutti::owner_lost&) {
      return true;
    }
  }
  return false;
}

TEST(ProcessSemaphore, Counts) {
  const process_semaphore permits(2, "p");
  EXPECT_EQ(permits.value(), 2);
  permits.acquire();
  EXPECT_TRUE(permits.try_acquire());
  EXPECT_EQ(permits.value(), 0);
  EXPECT_FALSE(permits.try_acquire());
  EXPECT_FALSE(permits.try_acquire_for(0ns));
  EXPECT_FALSE(permits.try_acquire_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(permits.try_acquire_for(1ms));
  permits.release(2);
  EXPECT_EQ(permits.value(), 2);
  permits.release(0);
  EXPECT_TRUE(permits.try_acquire_for(std::chrono::nanoseconds::max()));
  permits.release();
  EXPECT_EQ(permits.name(), "p");
  EXPECT_FALSE(process_semaphore(0).try_acquire());
}

TEST(ProcessSemaphore, LetsSoManyIn) {
  const process_semaphore permits(2);
  const shared_value<int> inside(0), most(0), done(0);
  {
    std::deque<child> children;
    for (int p = 0; p < 4; ++p) {
      children.emplace_back([&](const talk&) {
        for (int i = 0; i < 500; ++i) {
          permits.acquire();
          const int now = inside.fetch_add(1) + 1;
          most.update([&](int m) { return std::max(m, now); });
          if (i % 16 == 0) ::sched_yield();
          inside.fetch_sub(1);
          permits.release();
          done.fetch_add(1);
        }
        return 0;
      });
    }
    for (child& each : children) EXPECT_EQ(each.exit_code(), 0);
  }
  EXPECT_EQ(done.load(), 2000);
  EXPECT_LE(most.load(), 2);
  EXPECT_EQ(permits.value(), 2);
}

TEST(ProcessSemaphore, WakesAsManyAsItGives) {
  const process_semaphore permits(2);
  permits.acquire();
  permits.acquire();
  const auto wait = [&](const talk& parent) {
    parent.say();
    permits.acquire();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  };
  child one(wait), two(wait);
  one.hear();
  two.hear();
  one.until_asleep();
  two.until_asleep();
  permits.release(2);
  one.hear();
  two.hear();
  EXPECT_EQ(permits.value(), 0);
}

TEST(ProcessSemaphore, PermitsBelongToProcesses) {
  const process_semaphore permits(2, "slots");
  EXPECT_THROW(permits.release(), tutti::not_owner);
  permits.acquire();
  child forked([&](const talk&) {
    try {
      permits.release();
      return 1;
    } catch (const tutti::not_owner& e) {
      return std::string(e.what()).find("slots\": release of 1 by process " + std::to_string(::getpid()) +
                                        ", which has 0") == std::string::npos
                 ? 2
                 : 0;
    }
  });
  EXPECT_EQ(forked.exit_code(), 0);
  EXPECT_THAT([&] { permits.release(2); }, ThrowsMessage<tutti::not_owner>(HasSubstr("which has 1")));
  EXPECT_THROW(permits.release(-1), std::invalid_argument);
  EXPECT_THROW(permits.release(std::numeric_limits<std::ptrdiff_t>::max()), tutti::not_owner);
  EXPECT_THROW(permits.release((std::ptrdiff_t{1} << 32) + 1), tutti::not_owner);
  EXPECT_EQ(permits.value(), 1);
  std::thread([&] { permits.release(); }).join();
  EXPECT_EQ(permits.value(), 2);
}

TEST(ProcessSemaphore, GivesBackWhatTheDeadHadAndTellsOnce) {
  const process_semaphore permits(3, "gpus");
  child holder(holder_of(permits, 2));
  holder.hear();
  const std::string dead = std::to_string(holder.pid());
  holder.kill();
  EXPECT_EQ(permits.value(), 1);
  permits.acquire();  // there is one: nobody looks
  EXPECT_THAT([&] { permits.acquire(); },
              ThrowsMessage<tutti::owner_lost>(
                  HasSubstr("process_semaphore \"gpus\": process " + dead + " ended with 2 permits")));
  EXPECT_EQ(permits.value(), 2);
  permits.acquire();
  permits.acquire();
  EXPECT_FALSE(permits.try_acquire());
  permits.release(3);
}

TEST(ProcessSemaphore, TellsWhoOnlyTries) {
  const process_semaphore permits(1);
  child holder(holder_of(permits, 1));
  holder.hear();
  holder.kill_to_zombie();  // its parent has not waited for it: it is dead all the same
  EXPECT_THROW(static_cast<void>(permits.try_acquire()), tutti::owner_lost);
  EXPECT_TRUE(permits.try_acquire());
  permits.release();
}

// An end by itself counts as well.
TEST(ProcessSemaphore, TellsWhenAProcessEndsWithPermits) {
  const process_semaphore permits(1);
  child holder([&](const talk&) {
    permits.acquire();
    return 0;
  });
  EXPECT_EQ(holder.exit_code(), 0);
  EXPECT_THROW(permits.acquire(), tutti::owner_lost);
}

TEST(ProcessSemaphore, FindsADeathWhileItWaits) {
  const process_semaphore permits(1);
  child holder(holder_of(permits, 1));
  holder.hear();
  const shared_value<int> told(0);
  const auto wait = [&](const talk& parent) {
    parent.say();
    for (;;) {
      try {
        permits.acquire();
        permits.release();
        return 0;
      } catch (const tutti::owner_lost&) {
        told.fetch_add(1);
      }
    }
  };
  child one(wait), two(wait);
  one.hear();
  two.hear();
  one.until_asleep();
  two.until_asleep();
  holder.kill();
  EXPECT_EQ(one.exit_code(), 0);
  EXPECT_EQ(two.exit_code(), 0);
  EXPECT_EQ(told.load(), 1);
}

// One that is killed while it waits takes no permit and no wake-up with it for good.
TEST(ProcessSemaphore, ForgetsTheDeadWhoWaited) {
  const process_semaphore permits(1);
  permits.acquire();
  const auto wait = [&](const talk& parent) {
    parent.say();
    permits.acquire();
    parent.say();
    parent.wait_for_the_end();
    return 0;
  };
  child one(wait), two(wait);
  one.hear();
  one.until_asleep();
  two.hear();
  two.until_asleep();
  one.kill();
  permits.release();
  two.hear();
  two.kill();
  EXPECT_TRUE(until_told(permits));
  EXPECT_EQ(permits.value(), 1);
}

TEST(ProcessSemaphore, RefusesBadNumbersAndNames) {
  EXPECT_THROW(process_semaphore(-1), std::invalid_argument);
  EXPECT_THROW(process_semaphore(std::ptrdiff_t{1} << 31), std::invalid_argument);
  EXPECT_THROW(process_semaphore(1, std::string(64, 'n')), std::invalid_argument);
  EXPECT_EQ(process_semaphore((std::ptrdiff_t{1} << 31) - 1).value(), (std::ptrdiff_t{1} << 31) - 1);
}

TEST(ProcessSemaphore, RefersToNothingByDefault) {
  const process_semaphore none;
  EXPECT_FALSE(none);
  EXPECT_THROW(none.acquire(), std::logic_error);
  EXPECT_THROW(static_cast<void>(none.try_acquire()), std::logic_error);
  EXPECT_THROW(none.release(), std::logic_error);
  EXPECT_THROW(static_cast<void>(none.value()), std::logic_error);
  EXPECT_FALSE(round_trip(none));
}

TEST(ProcessSemaphore, TravelsByHandle) {
  const process_semaphore here(2, "s");
  const process_semaphore there = round_trip(here);
  there.acquire();
  EXPECT_EQ(here.value(), 1);
  EXPECT_EQ(there.name(), "s");
  here.release();
  EXPECT_THROW(static_cast<void>(tutti::encode(here)), tutti::encode_error);
  EXPECT_THROW(sent_as<process_semaphore>(tutti::process_mutex("m")), tutti::decode_error);
  EXPECT_THROW(sent_as<tutti::process_mutex>(here), tutti::decode_error);
}

TEST(ProcessSemaphore, WaitingKeepsAPoolRunning) {
  const process_semaphore permits(1);
  tutti::thread_pool pool(1);
  permits.acquire();
  auto waits = pool.submit([&] { permits.acquire(); });
  pool.submit([] {}).get();  // on the only worker, which has begun the other one before
  permits.release();
  waits.get();
  permits.release();
}

TEST(ProcessSemaphore, OnALoopItWouldBlock) {
  const process_semaphore permits(0);
  tutti::run_loop loop;
  loop.post([&] {
    EXPECT_FALSE(permits.try_acquire_for(0ns));
    EXPECT_THROW(permits.acquire(), tutti::would_block);
    loop.shutdown();
  });
  loop.run();
}

TEST(ProcessSemaphore, HasRoomForManyProcessesOneAfterTheOther) {
  const process_semaphore permits(2);
  for (int i = 0; i < 1500; ++i) {
    child each([&](const talk&) {
      permits.acquire();
      permits.release();
      return 0;
    });
    ASSERT_EQ(each.exit_code(), 0);
  }
  permits.acquire();
  permits.release();
}

TEST(ProcessSemaphore, IsWholeWhereverAProcessDies) {
  process_semaphore permits;
  int told = 0;
  tutti_test::at_every_point([&] { permits = process_semaphore(1); },
                             [&] {
                               permits.acquire();
                               permits.release();
                             },
                             [&] {
                               bool taken = false;
                               try {
                                 taken = permits.try_acquire();
                               } catch (const tutti::owner_lost&) {
                                 ++told;
                                 taken = permits.try_acquire();
                               }
                               ASSERT_TRUE(taken);
                               ASSERT_EQ(permits.value(), 0);
                               ASSERT_FALSE(permits.try_acquire());
                               permits.release();
                               ASSERT_EQ(permits.value(), 1);
                             },
                             44);
  EXPECT_GT(told, 0);
}

class ProcessSemaphoreStress : public testing::TestWithParam<int> {};

// With one permit nobody is inside beside it; in the end all permits are there, no more and no less, whoever is killed,
// wherever.
TEST_P(ProcessSemaphoreStress, LosesNothingWhoeverIsKilled) {
  tutti_test::choices choose(43);
  const int total = GetParam();
  const process_semaphore permits(total);
  const shared_value<long> steps(0);
  const shared_value<process_key> inside(0);  // the last one who was, while it is there or dead
  const shared_value<bool> broken(false);
  const auto work = [&](const talk&) {
    for (unsigned i = 0;; ++i) {
      try {
        permits.acquire();
      } catch (const tutti::owner_lost&) {
        continue;
      }
      const process_key before = inside.exchange(this_process());
      if (total == 1 && before != 0 && is_running(before)) broken.store(true);
      if (i % 32 == 0) ::sched_yield();
      inside.store(0);
      permits.release();
      steps.fetch_add(1);
    }
    return 0;
  };
  std::vector<std::unique_ptr<child>> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(std::make_unique<child>(work));
  for (int round = 0; round < 200; ++round) {
    const long target = steps.load() + 1 + choose.below(100);
    while (steps.load() < target) ::sched_yield();
    auto& doomed = workers[choose.below(4)];
    doomed->kill();
    doomed = std::make_unique<child>(work);
  }
  workers.clear();
  EXPECT_FALSE(broken.load());
  for (int taken = 0; taken < total;) {  // does not end if one is lost
    try {
      permits.acquire();
      ++taken;
    } catch (const tutti::owner_lost&) {
    }
  }
  EXPECT_EQ(permits.value(), 0);
  EXPECT_FALSE(permits.try_acquire());
  permits.release(total);
  EXPECT_EQ(permits.value(), total);
}
INSTANTIATE_TEST_SUITE_P(Permits, ProcessSemaphoreStress, testing::Values(1, 2));

}  // namespace
