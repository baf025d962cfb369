// The barrier: participants meet phase after phase; whoever cannot go on breaks it for all.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_counter.hpp>
#include <thread>
#include <tutti/sync/barrier.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::barrier;
using tutti::broken_barrier;
using tutti::task;
using tutti_test::after_an_hour;
using tutti_test::end_of_future;
using tutti_test::wait_counter;
using tutti_test::watchdog;

// The text of the broken_barrier that `wait` throws.
template <class Wait>
std::string broken_text(Wait wait) {
  try {
    static_cast<void>(wait());
  } catch (const broken_barrier& e) {
    return e.what();
  }
  return "it was not broken";
}

TEST(Barrier, OfOneIsNeverWaitedFor) {
  int phases = 0;
  barrier alone(1, [&] { ++phases; });
  EXPECT_TRUE(alone.arrive_and_wait());
  EXPECT_EQ(alone.arrive_and_wait_for(0s), true);
  EXPECT_EQ(phases, 2);
  EXPECT_EQ(alone.expected(), 1);
  EXPECT_FALSE(alone.broken());
}

// The book's race of three: nobody is through before the last has come.
TEST(Barrier, ThreeRacers) {
  const watchdog dog;
  constexpr int racers = 3, laps = tutti_test::sanitized ? 300 : 3'000;
  std::array<int, racers> done{};  // not atomic: the barrier makes it visible
  int finished = 0, last = 0, wrong = 0;
  barrier line(racers, [&] {
    ++finished;
    for (const int laps_of_one : done) wrong += laps_of_one == finished ? 0 : 1;
  });
  std::atomic<int> first_ones{0};
  tutti::thread_pool pool(1);
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < racers - 1; ++r) {
      threads.emplace_back([&, r] {
        for (int lap = 1; lap <= laps; ++lap) {
          ++done[r];
          if (line.arrive_and_wait()) ++first_ones;
          if (finished < lap) ++wrong;
        }
      });
    }
    pool.submit([&]() -> task<> {
          for (int lap = 1; lap <= laps; ++lap) {
            ++done[racers - 1];
            const bool ran_it = co_await line.arrive_and_wait_async();
            if (ran_it) ++first_ones;
            last = finished;
          }
        })
        .get();
  }
  EXPECT_EQ(finished, laps);
  EXPECT_EQ(last, laps);
  EXPECT_EQ(first_ones, laps) << "one of them in each lap";
  EXPECT_EQ(wrong, 0);
}

TEST(Barrier, OthersWaitDuringTheCompletion) {
  const watchdog dog;
  const wait_counter waits;
  int seen = -1;
  barrier both(2, [&] { seen = waits.now(); });
  std::jthread other([&] { both.arrive_and_wait(); });
  waits.until_waiting(1);
  EXPECT_TRUE(both.arrive_and_wait());
  EXPECT_EQ(seen, 1);
}

TEST(Barrier, WhoDropsIsNotExpectedAgain) {
  const watchdog dog;
  const wait_counter waits;
  int phases = 0;
  barrier some(3, [&] { ++phases; });
  EXPECT_FALSE(some.arrive_and_drop());
  EXPECT_EQ(some.expected(), 2);
  std::jthread other([&] {
    some.arrive_and_wait();
    some.arrive_and_wait();
    some.arrive_and_wait();
  });
  waits.until_begun(1);
  EXPECT_EQ(phases, 0) << "two of three";
  EXPECT_TRUE(some.arrive_and_wait());
  waits.until_begun(2);
  EXPECT_EQ(phases, 1);
  EXPECT_TRUE(some.arrive_and_drop()) << "the last of its phase runs the completion";
  other.join();
  EXPECT_EQ(phases, 3);
  EXPECT_EQ(some.expected(), 1);
  EXPECT_TRUE(some.arrive_and_drop());
  EXPECT_EQ(some.expected(), 0);
  EXPECT_THROW(some.arrive_and_wait(), std::logic_error);
  EXPECT_THROW(some.arrive_and_drop(), std::logic_error);
}

// ---------------------------------------------------------------- broken

// Two who wait in a barrier of four, and what they get.
class two_waiting {
 public:
  explicit two_waiting(barrier& where)
      : coroutine_(pool_.submit([&where]() -> task<> { co_await where.arrive_and_wait_async(); })),
        thread_([this, &where] { text_ = broken_text([&] { return where.arrive_and_wait(); }); }) {
    waits_.until_waiting(2);
  }
  void expect_broken(const std::string& why) {
    thread_.join();
    EXPECT_EQ(text_, why);
    EXPECT_EQ(end_of_future(std::move(coroutine_)), why);
  }
  const wait_counter& waits() const { return waits_; }

 private:
  wait_counter waits_;
  tutti::thread_pool pool_{1};
  std::string text_;
  tutti::future<void> coroutine_;
  std::jthread thread_;
};

TEST(Barrier, WhoseTimeIsUpBreaksItForAll) {
  const watchdog dog;
  const std::string why = "barrier \"b\" is broken: the time of a participant was up; reset() makes it whole";
  for (const auto limit : {0ns, -1ns, std::chrono::nanoseconds(1ms)}) {
    barrier b(4, {}, "b");
    two_waiting others(b);
    EXPECT_EQ(b.arrive_and_wait_for(limit), std::nullopt);
    EXPECT_TRUE(b.broken());
    others.expect_broken(why);
    EXPECT_EQ(broken_text([&] { return b.arrive_and_wait(); }), why) << "whoever comes later";
    EXPECT_EQ(broken_text([&] { return b.arrive_and_wait_for(1h); }), why);
    EXPECT_EQ(broken_text([&] { return b.arrive_and_drop(); }), why);
    EXPECT_EQ(b.expected(), 3) << "it has left all the same";
  }
}

TEST(Barrier, ACoroutineWhoseTimeIsUpBreaksItForAll) {
  const watchdog dog;
  for (const auto limit : {0ns, std::chrono::nanoseconds(1ms)}) {
    barrier b(4, {}, "b");
    two_waiting others(b);
    const auto result =
        tutti::sync_wait([](barrier& at, std::chrono::nanoseconds for_long) -> task<std::optional<bool>> {
          co_return co_await at.arrive_and_wait_for_async(for_long);
        }(b, limit));
    EXPECT_EQ(result, std::nullopt);
    others.expect_broken("barrier \"b\" is broken: the time of a participant was up; reset() makes it whole");
  }
}

TEST(Barrier, ALimitOnTheVirtualClock) {
  const watchdog dog;
  barrier b(2);
  EXPECT_EQ(after_an_hour([&] { return b.arrive_and_wait_for(1h); }), std::nullopt);
  b.reset();
  const auto in_coroutine = [&]() -> task<bool> {
    const auto result = co_await b.arrive_and_wait_for_async(1h);
    co_return result.has_value();
  };
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  EXPECT_FALSE(tutti::sync_wait(in_coroutine()));
  EXPECT_TRUE(b.broken());
}

TEST(Barrier, NoLimitIsNoLimit) {
  const watchdog dog;
  const wait_counter waits;
  constexpr auto ever = std::chrono::nanoseconds::max();
  tutti::thread_pool pool(1);
  barrier b(3);
  std::jthread thread([&] { EXPECT_EQ(b.arrive_and_wait_for(ever), false); });
  auto coroutine =
      pool.submit([&]() -> task<std::optional<bool>> { co_return co_await b.arrive_and_wait_for_async(ever); });
  waits.until_waiting(2);
  EXPECT_EQ(b.arrive_and_wait_for(ever), true);
  EXPECT_EQ(coroutine.get(), false);
}

TEST(Barrier, WhoIsStoppedBreaksItForAll) {
  const watchdog dog;
  const std::string why = "barrier is broken: a participant was stopped while it waited; reset() makes it whole";
  {
    barrier b(4);
    two_waiting others(b);
    std::jthread stopped([&](const std::stop_token& stop) { EXPECT_THROW(b.arrive_and_wait(stop), tutti::cancelled); });
    others.waits().until_waiting(3);
    stopped.request_stop();
    others.expect_broken(why);
  }
  {
    barrier b(4);
    two_waiting others(b);
    tutti::thread_pool pool(1);
    auto stopped = pool.submit([&]() -> task<> { co_await b.arrive_and_wait_async(); });
    others.waits().until_waiting(3);
    stopped.cancel();
    EXPECT_EQ(end_of_future(std::move(stopped)), "cancelled");
    others.expect_broken(why);
  }
  std::stop_source stop;
  stop.request_stop();
  barrier alone(1), pair(2);
  EXPECT_TRUE(alone.arrive_and_wait(stop.get_token())) << "need not wait";
  EXPECT_THROW(pair.arrive_and_wait(stop.get_token()), tutti::cancelled);
  EXPECT_TRUE(pair.broken());
}

TEST(Barrier, WhatTheCompletionThrowsGoesToWhoRanIt) {
  const watchdog dog;
  bool fails = true;
  barrier b(
      3,
      [&] {
        if (fails) throw std::runtime_error("no");
      },
      "b");
  const std::string why = "barrier \"b\" is broken: its completion threw an exception; reset() makes it whole";
  for (const bool in_coroutine : {false, true}) {
    two_waiting others(b);
    if (in_coroutine) {
      tutti::thread_pool pool(1);
      auto last = pool.submit([&]() -> task<> { co_await b.arrive_and_wait_async(); });
      EXPECT_EQ(end_of_future(std::move(last)), "no");
    } else {
      EXPECT_THROW(b.arrive_and_wait(), std::runtime_error);
    }
    others.expect_broken(why);
    EXPECT_EQ(broken_text([&] { return b.arrive_and_wait(); }), why);
    b.reset();
  }
  fails = false;
  std::jthread a([&] { b.arrive_and_wait(); }), c([&] { b.arrive_and_wait(); });
  b.arrive_and_wait();
}

TEST(Barrier, ResetAndAbort) {
  const watchdog dog;
  barrier b(4, {}, "b");
  {
    two_waiting others(b);
    b.reset();
    others.expect_broken("barrier \"b\": reset() was called while this participant waited");
    EXPECT_FALSE(b.broken());
  }
  {
    two_waiting others(b);
    b.abort();
    others.expect_broken("barrier \"b\" is broken: abort() was called; reset() makes it whole");
    EXPECT_TRUE(b.broken());
  }
  EXPECT_THROW(b.arrive_and_wait(), broken_barrier);
  b.reset();
  const wait_counter waits;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { b.arrive_and_wait(); });
  waits.until_waiting(3);  // nobody of before is counted
  b.arrive_and_wait();
}

TEST(Barrier, BrokenDuringItsCompletion) {
  barrier b(1, [&] { b.abort(); }, "b");
  EXPECT_EQ(broken_text([&] { return b.arrive_and_wait(); }),
            "barrier \"b\" is broken: abort() was called; reset() makes it whole");
}

// ---------------------------------------------------------------- misuse

TEST(Barrier, OnALoopItWouldBlockAndIsBroken) {
  barrier b(2);
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    EXPECT_THROW(b.arrive_and_wait(), tutti::would_block);
    co_return;
  }());
  EXPECT_TRUE(b.broken()) << "it had arrived";
}

TEST(Barrier, MisuseIsNamed) {
  EXPECT_THROW(barrier(0), std::invalid_argument);
  std::string text;
  try {
    barrier bad(-1, {}, "bad");
  } catch (const std::invalid_argument& e) {
    text = e.what();
  }
  EXPECT_EQ(text, "barrier \"bad\": -1 participants expected; it must be at least 1");
  text.clear();
  barrier small(1, [&] {
    try {
      small.arrive_and_wait();
    } catch (const std::logic_error& e) {
      text = e.what();
    }
  });
  small.arrive_and_wait();
  EXPECT_NE(text.find("more participants arrive than are expected in a phase"), std::string::npos) << text;
  EXPECT_EQ(small.expected(), 1);
}

TEST(BarrierDeathTest, MustOutliveItsWaiters) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto destroy_in_use = [] {
    const wait_counter waits;
    auto doomed = std::make_unique<barrier>(3, nullptr, "doomed");
    std::jthread a([&] { doomed->arrive_and_wait(); }), b([&] { doomed->arrive_and_wait(); });
    waits.until_waiting(2);
    doomed.reset();
  };
  EXPECT_DEATH(destroy_in_use(), "tutti: fatal: barrier \"doomed\" destroyed while 2 wait for it");
}

// Participants with limits and stops; whoever finds it broken comes back after a reset. In each phase all who pass are
// told the same, and one of them ran the completion.
TEST(BarrierStress, EachPhaseEndsInOneWay) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 3U;
  std::printf("seed %u\n", seed);
  constexpr int rounds = tutti_test::sanitized ? 300 : 3'000, participants = 4;
  std::atomic<int> phases{0}, last_ones{0}, passed{0}, left{participants};
  barrier b(participants, [&] { ++phases; });
  const auto note = [&](bool ran_it) {
    ++passed;
    if (ran_it) ++last_ones;
  };
  {
    tutti::thread_pool pool(1);
    std::vector<tutti::future<void>> tasks;
    for (unsigned c = 0; c < participants / 2; ++c) {
      tasks.push_back(pool.submit([&, c]() -> task<> {
        std::mt19937 random(seed + c);
        for (int i = 0; i < rounds; ++i) {
          try {
            const auto limit = random() % 8 == 0 ? std::chrono::microseconds(random() % 50) : 1s;
            const auto result = co_await b.arrive_and_wait_for_async(limit);
            if (result) note(*result);
          } catch (const broken_barrier&) {
          }
          if (b.broken() && left == participants) b.reset();
        }
        --left;
        b.abort();
      }));
    }
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < participants / 2; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed + 10 + t);
        for (int i = 0; i < rounds; ++i) {
          try {
            if (random() % 8 != 0) {
              const auto result = b.arrive_and_wait_for(1s);
              if (result) note(*result);
            } else {
              std::stop_source stop;
              const auto late = tutti::call_later(20us, [stop]() mutable { stop.request_stop(); });
              try {
                note(b.arrive_and_wait(stop.get_token()));
              } catch (const tutti::cancelled&) {
              }
              late.cancel();
            }
          } catch (const broken_barrier&) {
          }
          if (b.broken() && left == participants) b.reset();
        }
        --left;
        b.abort();
      });
    }
    threads.clear();
    for (auto& one : tasks) one.get();
  }
  EXPECT_LE(last_ones, phases) << "seed " << seed;  // some were broken during the completion
  EXPECT_EQ(passed, participants * last_ones) << "seed " << seed;
}

}  // namespace
