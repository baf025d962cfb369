// Timers, on the virtual clock: what is due is called inside advance().
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::call_at;
using tutti::call_later;
using tutti_test::watchdog;

struct Timers : testing::Test {
  watchdog dog;
  tutti::virtual_clock clock;
  std::vector<int> calls;
  auto note(int n) {
    return [this, n] { calls.push_back(n); };
  }
};

TEST_F(Timers, CalledOnceWhenDueAndNotBefore) {
  call_later(10s, note(1));
  clock.advance(9s);
  EXPECT_TRUE(calls.empty());
  clock.advance(1s);
  EXPECT_EQ(calls, std::vector{1});
  clock.advance(100s);
  EXPECT_EQ(calls, std::vector{1});
}

TEST_F(Timers, InOrderOfTimeThenOfMaking) {
  const auto start = clock.now();
  call_at(start + 3s, note(5));
  call_at(start + 1s, note(1));
  call_at(start + 2s, note(2));
  call_at(start + 2s, note(3));
  call_at(start + 2s, note(4));
  clock.advance(3s);
  EXPECT_EQ(calls, (std::vector{1, 2, 3, 4, 5}));
}

TEST_F(Timers, CancelledTimersAreNotCalled) {
  auto timer = call_later(1s, note(1));
  auto copy = timer;
  call_later(1s, note(2));
  EXPECT_TRUE(timer.cancel());
  EXPECT_FALSE(timer.cancel()) << "only once";
  EXPECT_FALSE(copy.cancel());
  clock.advance(2s);
  EXPECT_EQ(calls, std::vector{2});
  EXPECT_FALSE(tutti::timer().cancel());
}

TEST_F(Timers, CancellingFreesTheFunction) {
  const auto kept = std::make_shared<int>(0);
  auto timer = call_later(1s, [kept] {});
  EXPECT_EQ(kept.use_count(), 2);
  timer.cancel();
  EXPECT_EQ(kept.use_count(), 1);
  call_later(1s, [kept] {});
  clock.advance(1s);
  EXPECT_EQ(kept.use_count(), 1) << "and so does calling";
}

TEST_F(Timers, TooLateToCancel) {
  auto timer = call_later(1s, note(1));
  clock.advance(1s);
  EXPECT_FALSE(timer.cancel());
}

TEST_F(Timers, CancellingItselfAndOthersFromACall) {
  tutti::timer self, other;
  bool self_cancelled = true, other_cancelled = false;
  self = call_later(1s, [&] {
    self_cancelled = self.cancel();
    other_cancelled = other.cancel();
  });
  other = call_later(1s, note(1));
  clock.advance(1s);
  EXPECT_FALSE(self_cancelled) << "it is being made";
  EXPECT_TRUE(other_cancelled);
  EXPECT_TRUE(calls.empty());
}

TEST_F(Timers, LettingGoDoesNotCancel) {
  static_cast<void>(call_later(1s, note(1)));
  clock.advance(1s);
  EXPECT_EQ(calls, std::vector{1});
}

TEST_F(Timers, TimersFromTimers) {
  const auto start = clock.now();
  call_at(start + 1s, [&] {
    calls.push_back(1);
    call_at(start + 2s, [&] {
      calls.push_back(2);
      call_at(start + 9s, note(9));
    });
    call_later(0s, note(3));  // due now, which is a second after the start
  });
  clock.advance(5s);
  EXPECT_EQ(calls, (std::vector{1, 3, 2}));
  clock.advance(4s);
  EXPECT_EQ(calls, (std::vector{1, 3, 2, 9}));
}

TEST_F(Timers, HugeDelaysAreNever) {
  auto never = call_later(std::chrono::nanoseconds::max(), note(1));
  auto also = call_at(std::chrono::steady_clock::time_point::max(), note(2));
  clock.advance(std::chrono::hours(24 * 365 * 100));
  EXPECT_TRUE(calls.empty());
  EXPECT_TRUE(never.cancel());
  EXPECT_TRUE(also.cancel());
}

// Due at once: the timer thread calls it, so the calls are counted by an atomic.
TEST_F(Timers, NegativeDelaysAndPastTimesAreSoon) {
  std::atomic<int> made{0};
  call_later(-5s, [&] { ++made; });
  call_later(std::chrono::nanoseconds::min(), [&] { ++made; });
  call_later(0s, [&] { ++made; });
  call_at(clock.now() - 1h, [&] { ++made; });
  call_at(std::chrono::steady_clock::time_point::min(), [&] { ++made; });
  while (made != 5) std::this_thread::yield();
}

TEST_F(Timers, ErrorsGoToOnUnhandledAndTheNextIsCalled) {
  const tutti_test::unhandled_counter counter;
  call_later(1s, [] { throw std::runtime_error("from a timer"); });
  call_later(1s, note(1));
  clock.advance(1s);
  EXPECT_EQ(counter.of(tutti::unhandled_origin::callback), 1);
  EXPECT_EQ(calls, std::vector{1});
}

TEST_F(Timers, FunctionsMayBeMoveOnly) {
  int got = 0;
  call_later(1s, [p = std::make_unique<int>(4), &got] { got = *p; });
  clock.advance(1s);
  EXPECT_EQ(got, 4);
}

TEST_F(Timers, ManyInAnyOrder) {
  const auto start = clock.now();
  std::vector<tutti::timer> made;
  for (int i = 0; i < 1000; ++i) {
    const int n = i * 7919 % 1000;
    made.push_back(call_at(start + std::chrono::milliseconds(n + 1), note(n)));
  }
  for (std::size_t i = 0; i < made.size(); i += 2) EXPECT_TRUE(made[i].cancel());
  for (int step = 0; step < 10; ++step) clock.advance(100ms);
  EXPECT_EQ(calls.size(), 500U);
  EXPECT_TRUE(std::is_sorted(calls.begin(), calls.end()));
}

// What advance() promises: when it returns, what became due has been called; however the timer thread is doing.
TEST_F(Timers, WhatIsDueHasBeenCalledWhenAdvanceReturns) {
  std::jthread noise([](const std::stop_token& stop) {  // keeps the timer thread awake
    while (!stop.stop_requested()) {
      call_later(0s, [] {});
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 60000; ++i) {
    std::atomic<int> first{0}, second{0}, order{0};
    call_later(1s, [&] { first = ++order; });
    call_later(1s, [&] { second = ++order; });
    clock.advance(1s);
    const int seen_first = first, seen_second = second;
    while (order != 2) std::this_thread::yield();  // no call may outlive its variables
    ASSERT_EQ(seen_first, 1) << "round " << i;
    ASSERT_EQ(seen_second, 2) << "round " << i;
  }
}

TEST(TimersOnTheMachinesClock, AreCalledOnTheTimerThread) {
  const watchdog dog;
  tutti::promise<std::thread::id> called;
  auto future = called.get_future();
  const auto due = tutti::now() + 1ms;
  call_at(due, [&] { called.set_value(std::this_thread::get_id()); });
  EXPECT_NE(future.get(), std::this_thread::get_id());
  EXPECT_GE(tutti::now(), due);
}

TEST(TimersOnTheMachinesClock, AnEarlierOneOvertakes) {
  const watchdog dog;
  auto late = call_later(1h, [] { ADD_FAILURE(); });
  tutti::promise<void> called;
  auto future = called.get_future();
  call_later(1ms, [&] { called.set_value(); });
  future.get();
  EXPECT_TRUE(late.cancel());
}

TEST(TimersOnTheMachinesClock, SetFromManyThreads) {
  const watchdog dog;
  std::atomic<int> called{0}, cancelled{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          auto timer = call_later(std::chrono::microseconds(i % 50), [&] { ++called; });
          if (i % 3 == 0 && timer.cancel()) ++cancelled;
        }
      });
    }
  }
  while (called + cancelled != 2000) std::this_thread::yield();
}

}  // namespace
