// Timers that live in their owners: setting, cancelling, and waiting for the end of a call.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <random>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;
using time_point = tutti::timer_entry::time_point;

class entry final : public tutti::timer_entry {
 public:
  entry() = default;
  explicit entry(std::function<void()> f) : body(std::move(f)) {}
  std::function<void()> body;

 private:
  void due() noexcept override { body(); }
};

struct TimerEntry : testing::Test {
  watchdog dog;
  tutti::virtual_clock clock;
  const time_point start = clock.now();
  std::vector<int> calls;
  auto note(int n) {
    return [this, n] { calls.push_back(n); };
  }
};

TEST_F(TimerEntry, IsDueOnceForEachTimeItIsSet) {
  entry one(note(1));
  one.set(start + 1s);
  clock.advance(1s);
  clock.advance(9s);
  EXPECT_EQ(calls, std::vector{1});
  one.set(start + 20s);
  clock.advance_to(start + 19s);
  EXPECT_EQ(calls.size(), 1U);
  clock.advance_to(start + 20s);
  EXPECT_EQ(calls.size(), 2U);
}

TEST_F(TimerEntry, EqualTimesInTheOrderOfSettingAndMovingIsSetting) {
  entry a(note(1)), b(note(2)), c(note(3)), d(note(4));
  for (entry* e : {&a, &b, &c, &d}) e->set(start + 1s);
  b.set(start + 1s);
  d.set(start + 2s);
  d.set(start + 500ms);
  clock.advance(5s);
  EXPECT_EQ(calls, (std::vector{4, 1, 3, 2}));
}

TEST_F(TimerEntry, CancellingTellsWhetherTheCallWasStillToCome) {
  entry one(note(1));
  EXPECT_FALSE(one.cancel()) << "never set";
  one.cancel_and_wait();
  one.set(start + 1s);
  EXPECT_TRUE(one.cancel());
  EXPECT_FALSE(one.cancel());
  one.set(start + 1s);
  one.cancel_and_wait();
  EXPECT_FALSE(one.cancel());
  clock.advance(1s);
  EXPECT_TRUE(calls.empty());
  one.set(start + 2s);
  clock.advance(1s);
  EXPECT_FALSE(one.cancel()) << "was called";
  EXPECT_EQ(calls, std::vector{1});
}

TEST_F(TimerEntry, NeverCanBeCancelledAndMoved) {
  entry one(note(1));
  one.set(time_point::max());
  EXPECT_TRUE(one.cancel());
  one.set(time_point::max());
  one.set(start + 1s);
  clock.advance(1s);
  EXPECT_EQ(calls, std::vector{1});
  one.set(start + 2s);
  one.set(time_point::max());
  clock.advance(1h);
  EXPECT_EQ(calls, std::vector{1});
  EXPECT_TRUE(one.cancel());
}

TEST_F(TimerEntry, SetAgainInsideItsCall) {
  entry one;
  std::vector<std::chrono::nanoseconds> seen;
  one.body = [&] {
    EXPECT_FALSE(one.cancel()) << "it is being called";
    seen.push_back(clock.now() - start);
    if (seen.size() < 4) one.set(clock.now() + 1s);
  };
  one.set(start + 1s);
  clock.advance(10s);
  EXPECT_EQ(seen, (std::vector<std::chrono::nanoseconds>{1s, 2s, 3s, 4s})) << "in one advance, each at its time";
  EXPECT_FALSE(one.cancel());
}

TEST_F(TimerEntry, SetAndCancelledInsideItsCall) {
  entry one;
  one.body = [&] {
    calls.push_back(1);
    one.set(clock.now());
    EXPECT_TRUE(one.cancel());
    one.set(clock.now());
    one.cancel_and_wait();  // on the thread that calls it: does not wait
  };
  one.set(start);
  clock.advance(1s);
  until([&] { return !calls.empty(); });
  EXPECT_EQ(calls, std::vector{1});
}

TEST_F(TimerEntry, DestroyedInsideItsCallAndAnotherMadeInItsPlace) {
  alignas(entry) std::byte place[sizeof(entry)];
  auto* const first = new (place) entry;
  entry* second = nullptr;
  auto make_second = [&] {
    second = new (place) entry(note(2));
    second->set(clock.now() + 1s);
  };
  first->body = [first, make_second, this] {
    const auto make = make_second;  // what it captured is gone with it
    calls.push_back(1);
    first->~entry();
    make();
  };
  first->set(start + 1s);
  clock.advance(1s);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(calls, std::vector{1});
  clock.advance(1s);
  EXPECT_EQ(calls, (std::vector{1, 2}));
  second->~entry();
}

TEST_F(TimerEntry, DestroyedInsideTheCallOfAnotherOne) {
  auto victim = std::make_unique<entry>(note(2));
  entry one([&] {
    calls.push_back(1);
    victim->cancel_and_wait();
    victim.reset();
  });
  one.set(start + 1s);
  victim->set(start + 1s);
  clock.advance(1s);
  EXPECT_EQ(calls, std::vector{1});
}

// A call may move the clock: others, and it itself, are called inside it.
TEST_F(TimerEntry, CallsInsideCalls) {
  entry one, other(note(2));
  int depth = 0;
  one.body = [&] {
    calls.push_back(depth * 10 + 1);
    if (++depth < 3) {
      one.set(clock.now() + 1s);
      clock.advance(1s);
      one.cancel_and_wait();
    } else {
      clock.advance(1s);
    }
  };
  one.set(start + 1s);
  other.set(start + 4s);
  clock.advance(1s);
  EXPECT_EQ(calls, (std::vector{1, 11, 21, 2}));
  EXPECT_EQ(clock.now(), start + 4s);
}

TEST_F(TimerEntry, TheNextOne) {
  entry one([] {}), other([] {});
  one.set(start + 2ns);
  EXPECT_EQ(tutti::detail::next_timer(), start + 2ns);
  other.set(start + 1ns);
  EXPECT_EQ(tutti::detail::next_timer(), start + 1ns);
  other.cancel();
  EXPECT_EQ(tutti::detail::next_timer(), start + 2ns);
  one.set(time_point::max());
  EXPECT_NE(tutti::detail::next_timer(), time_point::max());
  one.cancel();
  EXPECT_NE(tutti::detail::next_timer(), start + 2ns);
}

// What users of test clocks expect of advance.
TEST_F(TimerEntry, EachCallSeesItsOwnTime) {
  std::vector<std::chrono::nanoseconds> seen;
  entry b([&] { seen.push_back(tutti::now() - start); });
  entry a([&] {
    seen.push_back(tutti::now() - start);
    b.set(tutti::now() + 2s);  // on the way
  });
  entry c(b.body);
  a.set(start + 3s);
  c.set(start + 4s);
  clock.advance(10s);
  EXPECT_EQ(seen, (std::vector<std::chrono::nanoseconds>{3s, 4s, 5s}));
  EXPECT_EQ(clock.now(), start + 10s);
}

TEST_F(TimerEntry, AdvancingFromInsideGoesOnFromItsTime) {
  std::chrono::nanoseconds inside{}, beyond{};
  entry one([&] {
    clock.advance(2s);
    inside = clock.now() - start;
  });
  entry other([&] {
    clock.advance(8s);  // further than who called us wants to go
    beyond = clock.now() - start;
  });
  one.set(start + 3s);
  other.set(start + 6s);
  clock.advance(10s);
  EXPECT_EQ(inside, 5s);
  EXPECT_EQ(beyond, 14s);
  EXPECT_EQ(clock.now(), start + 14s);
  clock.advance(1s);
  EXPECT_EQ(clock.now(), start + 15s);
}

TEST_F(TimerEntry, AdvancingAClockNotInForceLeavesTimersAlone) {
  entry one(note(1));
  {
    const tutti::virtual_clock inner;
    one.set(inner.now() + 2s);
    clock.advance(1h);
    EXPECT_TRUE(calls.empty());
  }
  EXPECT_EQ(calls, std::vector{1}) << "by this clock it is late";
}

TEST(TimerEntryThreads, DurationsOfSeveralThreadsAddUp) {
  const watchdog dog;
  tutti::virtual_clock clock;
  const auto start = clock.now();
  std::atomic<int> called{0};
  entry one;
  one.body = [&] {
    ++called;
    one.set(tutti::now() + 7ns);
  };
  one.set(start + 7ns);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) clock.advance(3ns);
      });
    }
  }
  EXPECT_EQ(clock.now(), start + 4500ns);
  one.cancel_and_wait();
  EXPECT_GE(called, 1);
}

// The waits below would last for ever if they began too early or ended too late.
struct TimerEntryWait : testing::Test {
  watchdog dog;
  std::latch inside{1}, gate{1};
  std::atomic<bool> finished{false};
  void until_somebody_waits() {
    until([] { return waiting_for("timer_entry::cancel_and_wait") == 1; });
  }
};

TEST_F(TimerEntryWait, ForACallThatIsBeingMade) {
  entry one([&] {
    inside.count_down();
    gate.wait();
    finished = true;
  });
  one.set(tutti::now());
  inside.wait();
  EXPECT_FALSE(one.cancel()) << "and does not wait";
  std::jthread opener([&] {
    until_somebody_waits();
    gate.count_down();
  });
  one.cancel_and_wait();
  EXPECT_TRUE(finished);
}

TEST_F(TimerEntryWait, EndsOneThatWouldBeSetAgainInsideItsCall) {
  std::atomic<int> called{0};
  entry one;
  one.body = [&] {
    if (++called == 1) inside.count_down();
    until_somebody_waits();
    one.set(tutti::now());  // cancelled already
    finished = true;
  };
  one.set(tutti::now());
  inside.wait();
  one.cancel_and_wait();
  EXPECT_TRUE(finished);
  EXPECT_FALSE(one.cancel());
  EXPECT_EQ(called, 1);
  one.body = [&] { ++called; };
  one.set(tutti::now());  // afterwards it can be set as ever
  until([&] { return called == 2; });
  one.cancel_and_wait();
}

TEST_F(TimerEntryWait, ForOneThatIsDestroyedInsideItsCall) {
  auto* const one = new entry;
  one->body = [one, this] {
    TimerEntryWait& test = *this;
    test.inside.count_down();
    test.until_somebody_waits();
    delete one;
    test.gate.wait();  // the call goes on without the entry
    test.finished = true;
  };
  one->set(tutti::now());
  inside.wait();
  std::jthread opener([&] {
    until_somebody_waits();
    gate.count_down();
  });
  one->cancel_and_wait();
  EXPECT_TRUE(finished);
}

TEST_F(TimerEntryWait, OfSeveralThreads) {
  entry one([&] {
    inside.count_down();
    until([] { return waiting_for("timer_entry::cancel_and_wait") == 3; });
    finished = true;
  });
  one.set(tutti::now());
  inside.wait();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      one.cancel_and_wait();
      EXPECT_TRUE(finished);
    });
  }
  threads.clear();
}

TEST_F(TimerEntryWait, NotForTheCallOfAnotherOne) {
  entry busy([&] {
    inside.count_down();
    gate.wait();
  });
  entry other([] { ADD_FAILURE(); });
  busy.set(tutti::now());
  inside.wait();
  other.set(tutti::now());
  other.cancel_and_wait();
  gate.count_down();
  busy.cancel_and_wait();
}

struct TimerEntryStress : testing::Test {
  watchdog dog;
  const unsigned seed = std::random_device()();
  testing::ScopedTrace trace{__FILE__, __LINE__, "seed " + std::to_string(seed)};
  static void spin(std::mt19937::result_type n) {
    for (; n != 0; --n) tutti::cpu::pause();
  }
};

// Each setting comes to exactly one end.
TEST_F(TimerEntryStress, CancelRacesWithTheCall) {
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(seed + t);
      int called = 0, expected = 0;  // plain: cancel_and_wait orders the calls before us
      entry one([&called] { ++called; });
      for (int i = 0; i < 5000; ++i) {
        const auto due = tutti::now() + std::chrono::nanoseconds(random() % 50'000);
        one.set(due);
        spin(random() % 600);
        if (random() % 4 == 0) one.set(due + 1us);  // may be a second setting, or move the first
        if (!one.cancel()) {
          one.cancel_and_wait();
          ASSERT_GT(called, expected);
        }
        one.cancel_and_wait();
        ASSERT_GE(called, expected);
        ASSERT_LE(called, expected + 2);
        expected = called;
      }
    });
  }
}

TEST_F(TimerEntryStress, OwnersComeAndGo) {
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(seed + t);
      for (int i = 0; i < 3000; ++i) {
        int called = 0;
        auto one = std::make_unique<entry>();
        const bool again = random() % 2 == 0;
        one->body = [&called, again, self = one.get()] {
          if (++called < 10'000 && again) self->set(tutti::now() + 1us);
        };
        one->set(tutti::now() + std::chrono::nanoseconds(random() % 20'000));
        spin(random() % 300);
        one->cancel_and_wait();
        ASSERT_TRUE(again || called <= 1);
      }
    });
  }
}

// Those that destroy themselves when they are due, unless their owner is quicker.
TEST_F(TimerEntryStress, WhoCancelsOwns) {
  std::atomic<int> alive{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed + t);
        for (int i = 0; i < 3000; ++i) {
          ++alive;
          auto* const one = new entry;
          std::atomic<bool> gone{false};
          one->body = [&, one] {
            auto& flag = gone;
            auto& count = alive;
            delete one;
            --count;
            flag = true;
          };
          one->set(tutti::now() + 1h);
          const bool mine = one->cancel();
          ASSERT_TRUE(mine);
          one->set(tutti::now() + std::chrono::nanoseconds(random() % 5'000));
          until([&] { return gone.load(); });
        }
      });
    }
  }
  EXPECT_EQ(alive, 0);
}

// One that is moved is set at every moment.
TEST_F(TimerEntryStress, MovingRacesWithCancel) {
  entry one([] { ADD_FAILURE(); });
  std::atomic<int> moves{0}, round{0};
  std::jthread mover([&](const std::stop_token& stop) {
    for (int seen = 0; !stop.stop_requested();) {
      if (round == seen) continue;
      seen = round;
      one.set(tutti::now() + 2h);
      ++moves;
    }
  });
  std::mt19937 random(seed);
  for (int i = 1; i <= 3000; ++i) {
    one.set(tutti::now() + 1h);
    round = i;
    spin(random() % 30);
    EXPECT_TRUE(one.cancel());
    until([&] { return moves == i; });
    one.cancel();
  }
}

TEST_F(TimerEntryStress, ManyThreadsOneEntry) {
  std::atomic<int> called{0};
  entry one([&] { ++called; });
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + t);
      for (int i = 0; i < 5000; ++i) {
        switch (random() % 4) {
          case 0: one.cancel(); break;
          case 1: one.cancel_and_wait(); break;
          default: one.set(tutti::now() + std::chrono::nanoseconds(random() % 10'000));
        }
      }
    });
  }
  threads.clear();
  one.cancel_and_wait();
  const int before = called;
  one.set(tutti::now());
  until([&] { return called == before + 1; });
  one.cancel_and_wait();
}

TEST(TimerEntryDeath, DestroyedWhileItIsSet) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        entry one([] {});
        one.set(tutti::now() + 1h);
      },
      "timer_entry 0x[0-9a-f]+ destroyed while it is set; its owner has to call cancel_and_wait\\(\\) first");
}

}  // namespace
