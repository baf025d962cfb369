// Series of calls: when they are due, what is left out, and how they end.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <tests/support/gates.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::call_every;
using tutti::call_later;
using tutti_test::until;
using tutti_test::watchdog;

struct CallEvery : testing::Test {
  watchdog dog;
  tutti::virtual_clock clock;
  const tutti::virtual_clock::time_point start = clock.now();
  std::vector<std::chrono::milliseconds> seen;
  auto note() {
    return [this] { seen.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(tutti::now() - start)); };
  }
  using times = std::vector<std::chrono::milliseconds>;
};

TEST_F(CallEvery, EachAtItsOwnTimeHoweverFarTheClockIsMoved) {
  const auto series = call_every(2s, note());
  clock.advance(1s);
  EXPECT_TRUE(seen.empty());
  clock.advance(1s);
  EXPECT_EQ(seen, times({2s}));
  clock.advance(7s);
  EXPECT_EQ(seen, times({2s, 4s, 6s, 8s}));
  EXPECT_TRUE(series.cancel());
  clock.advance(1h);
  EXPECT_EQ(seen.size(), 4U);
  EXPECT_FALSE(series.cancel());
}

TEST_F(CallEvery, TheFirstMayComeAtAnotherTime) {
  const auto sooner = call_every(5s, note(), {.first = 1s});
  clock.advance(12s);
  EXPECT_EQ(seen, times({1s, 6s, 11s}));
  sooner.cancel();
  seen.clear();
  const auto later = call_every(1s, note(), {.first = 3s});
  clock.advance(5s);
  EXPECT_EQ(seen, times({15s, 16s, 17s}));
  later.cancel();
}

TEST_F(CallEvery, AtOnceOrNever) {
  std::atomic<int> made{0};
  const auto zero = call_every(1h, [&] { ++made; }, {.first = 0s});
  const auto negative = call_every(1h, [&] { ++made; }, {.first = -5s});
  until([&] { return made == 2; });  // on the timer thread
  const auto never = call_every(1s, note(), {.first = std::chrono::nanoseconds::max()});
  const auto once = call_every(std::chrono::nanoseconds::max(), note(), {.first = 1s});
  clock.advance(24h * 365 * 50);
  EXPECT_EQ(seen, times({1s}));
  EXPECT_TRUE(never.cancel());
  EXPECT_TRUE(once.cancel());
  EXPECT_TRUE(zero.cancel());
  EXPECT_TRUE(negative.cancel());
}

TEST_F(CallEvery, WhatIsMissedIsLeftOutAndTheTimesStay) {
  const auto series = call_every(1s, [&] {
    note()();
    if (seen.size() == 2) clock.advance(2500ms);  // takes from 2 s to 4.5 s
    if (seen.size() == 4) clock.advance(1s);      // takes from 6 s to 7 s: the next one is due just now
  });
  clock.advance(8s);
  EXPECT_EQ(seen, times({1s, 2s, 5s, 6s, 7s, 8s}));
  series.cancel();
}

TEST_F(CallEvery, SeveralAndOthersInTheOrderOfTime) {
  std::vector<int> order;
  const auto two = call_every(2s, [&] { order.push_back(2); });
  const auto three = call_every(3s, [&] { order.push_back(3); });
  call_later(5s, [&] { order.push_back(5); });
  clock.advance(6s);  // the call of 3 at 6 s was set before that of 2
  EXPECT_EQ(order, (std::vector{2, 3, 2, 5, 3, 2}));
  two.cancel();
  three.cancel();
}

TEST_F(CallEvery, ErrorsGoToOnUnhandledAndItGoesOn) {
  const tutti_test::unhandled_counter counter;
  const auto series = call_every(1s, [] { throw std::runtime_error("again"); });
  clock.advance(3s);
  EXPECT_EQ(counter.of(tutti::unhandled_origin::callback), 3);
  EXPECT_TRUE(series.cancel());
}

TEST_F(CallEvery, CancelledFromInside) {
  const auto kept = std::make_shared<int>(0);
  tutti::timer series;
  series = call_every(1s, [this, kept, &series] {
    note()();
    if (seen.size() < 3) return;
    EXPECT_TRUE(series.cancel()) << "the next would have come";
    EXPECT_FALSE(series.cancel());
    EXPECT_GE(kept.use_count(), 2) << "not destroyed while it runs";
  });
  clock.advance(9s);
  EXPECT_EQ(seen, times({1s, 2s, 3s}));
  EXPECT_EQ(kept.use_count(), 1);
  EXPECT_FALSE(series.cancel());
}

TEST_F(CallEvery, KnowsItselfEvenIfNobodyElseDoes) {
  const auto kept = std::make_shared<int>(0);
  call_every(1s, [this, kept](const tutti::timer& self) {
    note()();
    if (seen.size() == 2) self.cancel();
  });
  clock.advance(9s);
  EXPECT_EQ(seen, times({1s, 2s}));
  EXPECT_EQ(kept.use_count(), 1);
}

TEST_F(CallEvery, CancellingFreesTheFunction) {
  const auto kept = std::make_shared<int>(0);
  const auto series = call_every(1s, [kept] {});
  clock.advance(2s);
  EXPECT_EQ(kept.use_count(), 2);
  const auto copy = series;
  EXPECT_TRUE(copy.cancel());
  EXPECT_EQ(kept.use_count(), 1);
  EXPECT_FALSE(series.cancel());
}

TEST_F(CallEvery, ThePeriodIsPositive) {
  const auto kept = std::make_shared<int>(0);
  for (const auto period : {0ns, -3ns}) {
    try {
      call_every(period, [kept] {});
      ADD_FAILURE();
    } catch (const std::invalid_argument& e) {
      EXPECT_EQ(std::string(e.what()),
                "call_every: the period is " + std::to_string(period.count()) + " ns, but must be positive");
    }
  }
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(CallEveryOnTheMachinesClock, NeverEarlyAndNeverTwoAtOnce) {
  const watchdog dog;
  const auto period = 100us;
  const auto start = tutti::now();
  std::atomic<int> inside{0};
  int called = 0;
  bool early = false, overlap = false;
  tutti::promise<void> enough;
  auto future = enough.get_future();
  call_every(period, [&](const tutti::timer& self) {
    overlap = overlap || ++inside != 1;
    ++called;
    early = early || tutti::now() < start + called * period;
    --inside;
    if (called == 20) {
      self.cancel();
      enough.set_value();
    }
  });
  future.get();
  EXPECT_FALSE(early);
  EXPECT_FALSE(overlap);
}

// However the end of a series and its calls meet, the function is destroyed once, and not called afterwards.
TEST(CallEveryOnTheMachinesClock, CancelRacesWithTheCalls) {
  const watchdog dog;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([seed, t] {
      std::mt19937 random(seed + t);
      for (int i = 0; i < 2000; ++i) {
        const auto kept = std::make_shared<std::atomic<int>>(0);
        const auto series = call_every(1us, [kept] { ++*kept; });
        for (auto n = random() % 300; n != 0; --n) tutti::cpu::pause();
        const auto copy = series;
        std::atomic<int> won{0};
        std::jthread other([&] { won += copy.cancel() ? 1 : 0; });
        won += series.cancel() ? 1 : 0;
        other.join();
        ASSERT_EQ(won, 1);
        until([&] { return kept.use_count() == 1; });
      }
    });
  }
}

}  // namespace
