// The event: set, cleared and pulsed, with threads and coroutines waiting; nobody who waited misses it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_counter.hpp>
#include <thread>
#include <tutti/sync/event.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::event;
using tutti::event_reset;
using tutti::sync_wait;
using tutti::task;
using tutti_test::after_an_hour;
using tutti_test::end_of_future;
using tutti_test::until;
using tutti_test::wait_counter;
using tutti_test::watchdog;

TEST(Event, StaysSetUntilCleared) {
  event ready;
  EXPECT_FALSE(ready.is_set());
  EXPECT_FALSE(ready.try_wait());
  ready.set();
  ready.set();
  EXPECT_TRUE(ready.is_set());
  EXPECT_TRUE(ready.try_wait());
  ready.wait();
  EXPECT_TRUE(ready.wait_for(0s));
  ready.clear();
  EXPECT_FALSE(ready.is_set());
  EXPECT_FALSE(ready.try_wait());
  ready.pulse();
  EXPECT_FALSE(ready.try_wait()) << "nobody waited";
}

TEST(Event, AutomaticLetsOnePass) {
  event turn(event_reset::automatic);
  turn.set();
  turn.set();
  EXPECT_TRUE(turn.is_set());
  turn.wait();
  EXPECT_FALSE(turn.is_set());
  EXPECT_FALSE(turn.try_wait());
  turn.set();
  EXPECT_TRUE(turn.wait_for(0s));
  turn.set();
  sync_wait([](event& e) -> task<> { co_await e.wait_async(); }(turn));
  EXPECT_FALSE(turn.is_set());
  turn.set();
  turn.clear();
  turn.pulse();
  EXPECT_FALSE(turn.try_wait());
}

// Threads and coroutines that wait for one event, all in its list.
class crowd {
 public:
  crowd(event& waited, int threads, int coroutines) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([&] {
        waited.wait();
        ++passed;
      });
    }
    for (int i = 0; i < coroutines; ++i) {
      coroutines_.push_back(pool_.submit([&]() -> task<> {
        co_await waited.wait_async();
        ++passed;
      }));
    }
    waits_.until_waiting(threads + coroutines);
  }
  std::atomic<int> passed{0};
  int waiting() const { return waits_.now(); }

 private:
  wait_counter waits_;
  tutti::thread_pool pool_{2};
  std::vector<std::jthread> threads_;
  std::vector<tutti::future<void>> coroutines_;
};

TEST(Event, SetLetsEverybodyPass) {
  const watchdog dog;
  event ready;
  crowd waiters(ready, 3, 3);
  ready.set();
  until([&] { return waiters.passed == 6; });
}

// The book's lost wake-up: set and clear at once, before anybody who waited has run.
TEST(Event, SetAndClearAtOnceLetsPassWhoWaited) {
  const watchdog dog;
  for (int i = 0; i < 20; ++i) {
    event ready;
    crowd waiters(ready, 3, 3);
    ready.set();
    ready.clear();
    until([&] { return waiters.passed == 6; });
    EXPECT_FALSE(ready.is_set());
  }
}

TEST(Event, APulseLetsPassWhoWaited) {
  const watchdog dog;
  for (int i = 0; i < 20; ++i) {
    event ready;
    crowd waiters(ready, 3, 3);
    ready.pulse();
    until([&] { return waiters.passed == 6; });
    EXPECT_FALSE(ready.is_set());
  }
}

TEST(Event, EachSetOrPulseOfAnAutomaticOneLetsOnePass) {
  const watchdog dog;
  event turn(event_reset::automatic);
  crowd waiters(turn, 3, 3);
  for (int n = 1; n <= 3; ++n) {
    turn.pulse();
    until([&] { return waiters.passed == n; });
    EXPECT_EQ(waiters.waiting(), 6 - n);
  }
  turn.set();
  turn.clear();
  until([&] { return waiters.passed == 4; });
  turn.set();
  turn.set();  // not one and the same: two waited
  until([&] { return waiters.passed == 6; });
  EXPECT_FALSE(turn.is_set());
}

TEST(Event, WhatIsOnItsWayToTheListIsNotMissed) {
  event ready;
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    auto waits = ready.wait_async();
    ready.pulse();
    co_await waits;
  }());
}

TEST(Event, TimeRunsOut) {
  const watchdog dog;
  for (const auto reset : {event_reset::manual, event_reset::automatic}) {
    event down(reset);
    EXPECT_FALSE(down.wait_for(0s));
    EXPECT_FALSE(down.wait_for(std::chrono::nanoseconds::min()));
    EXPECT_FALSE(down.wait_for(1ms));
    EXPECT_FALSE(after_an_hour([&] { return down.wait_for(1h); }));
    const auto in_coroutine = [&]() -> task<bool> {
      const bool at_once = co_await down.wait_for_async(0s);
      const bool before = co_await down.wait_for_async(-1s);
      const bool later = co_await down.wait_for_async(1h);
      co_return at_once || before || later;
    };
    const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
    EXPECT_FALSE(sync_wait(in_coroutine()));
    down.set();
    EXPECT_TRUE(down.is_set()) << "nobody is left who would take it";
  }
}

TEST(Event, NoLimitIsNoLimit) {
  const watchdog dog;
  const wait_counter waits;
  event ready;
  tutti::thread_pool pool(1);
  std::jthread thread([&] { EXPECT_TRUE(ready.wait_for(std::chrono::nanoseconds::max())); });
  auto coroutine =
      pool.submit([&]() -> task<bool> { co_return co_await ready.wait_for_async(std::chrono::nanoseconds::max()); });
  waits.until_waiting(2);
  ready.pulse();
  EXPECT_TRUE(coroutine.get());
}

TEST(Event, AStopEndsTheWait) {
  const watchdog dog;
  for (const auto reset : {event_reset::manual, event_reset::automatic}) {
    const wait_counter waits;
    tutti::thread_pool pool(1);
    event down(reset, "down");
    std::jthread thread([&](const std::stop_token& stop) { EXPECT_THROW(down.wait(stop), tutti::cancelled); });
    auto coroutine = pool.submit([&]() -> task<> { co_await down.wait_async(); });
    waits.until_waiting(2);
    thread.request_stop();
    coroutine.cancel();
    EXPECT_EQ(end_of_future(std::move(coroutine)), "cancelled");
    thread.join();
    std::stop_source stopped;
    stopped.request_stop();
    EXPECT_THROW(down.wait(stopped.get_token()), tutti::cancelled);
    down.set();
    down.wait(stopped.get_token());  // need not wait
  }
}

TEST(Event, OnALoopItWouldBlock) {
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    for (const auto reset : {event_reset::manual, event_reset::automatic}) {
      event down(reset);
      EXPECT_FALSE(down.wait_for(0s));
      EXPECT_THROW(down.wait(), tutti::would_block);
      down.set();
      down.wait();
    }
    co_return;
  }());
}

TEST(EventDeathTest, MustOutliveItsWaiters) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto destroy_in_use = [] {
    const wait_counter waits;
    auto doomed = std::make_unique<event>(event_reset::manual, "doomed");
    std::jthread a([&] { doomed->wait(); }), b([&] { doomed->wait(); });
    waits.until_waiting(2);
    doomed.reset();
  };
  EXPECT_DEATH(destroy_in_use(), "tutti: fatal: event \"doomed\" destroyed while 2 wait for it");
}

TEST(EventStress, DestroyedByWhoPassed) {
  const watchdog dog;
  constexpr int rounds = tutti_test::sanitized ? 2'000 : 20'000;
  std::atomic<event*> current{nullptr};
  std::jthread setter([&] {
    for (int i = 0; i < rounds; ++i) {
      event* mine = nullptr;
      until([&] { return (mine = current.exchange(nullptr)) != nullptr; });
      mine->set();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    std::optional<event> done(std::in_place, i % 2 == 0 ? event_reset::manual : event_reset::automatic);
    current = &*done;
    if (i % 4 < 2) {
      done->wait();
    } else {
      until([&] { return done->try_wait(); });
    }
    done.reset();
  }
}

// The book's producer and consumer: the producer sets and clears for each item; the consumer waits with the list empty.
// Nothing is lost, as the consumer looks after it has begun to wait.
TEST(EventStress, NoItemIsLost) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 11U;
  std::printf("seed %u\n", seed);
  constexpr int items = tutti_test::sanitized ? 2'000 : 20'000;
  for (const auto reset : {event_reset::manual, event_reset::automatic}) {
    event added(reset);
    std::mutex mutex;
    std::vector<int> queue;
    std::jthread producer([&] {
      std::mt19937 random(seed);
      for (int i = 1; i <= items; ++i) {
        {
          const std::lock_guard lock(mutex);
          queue.push_back(i);
        }
        added.set();
        if (random() % 8 == 0) std::this_thread::yield();
      }
    });
    tutti::thread_pool pool(1);
    long long sum = 0;
    int count = 0;
    const auto take_all = [&] {
      const std::lock_guard lock(mutex);
      for (const int item : queue) sum += item;
      count += static_cast<int>(queue.size());
      queue.clear();
    };
    std::mt19937 random(seed + 1);
    while (count < items) {
      if (random() % 2 == 0) {
        added.wait();
        added.clear();
        take_all();
      } else {
        pool.submit([&]() -> task<> {
              co_await added.wait_async();
              added.clear();
              take_all();
            })
            .get();
      }
    }
    EXPECT_EQ(sum, static_cast<long long>(items) * (items + 1) / 2) << "seed " << seed;
  }
}

// Turns given and taken in every way there is: each turn of an automatic event is taken once.
TEST(EventStress, EachTurnIsTakenOnce) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 5U;
  std::printf("seed %u\n", seed);
  constexpr int turns = tutti_test::sanitized ? 3'000 : 20'000;
  event turn(event_reset::automatic);
  std::atomic<int> inside{0}, taken{0}, overlaps{0};
  const auto use = [&] {
    if (inside.fetch_add(1) != 0) ++overlaps;
    inside.fetch_sub(1);
    ++taken;
    turn.set();
  };
  turn.set();
  {
    tutti::thread_pool pool(2);
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed + t);
        while (taken < turns) {
          const auto way = random() % 3;
          if (way == 0) {
            if (!turn.try_wait()) continue;
          } else if (way == 1) {
            if (!turn.wait_for(std::chrono::microseconds(random() % 100))) continue;
          } else {
            std::stop_source stop;
            const auto late = tutti::call_later(100us, [stop]() mutable { stop.request_stop(); });
            bool got = true;
            try {
              turn.wait(stop.get_token());
            } catch (const tutti::cancelled&) {
              got = false;
            }
            late.cancel();
            if (!got) continue;
          }
          use();
        }
      });
    }
    std::vector<tutti::future<void>> tasks;
    for (unsigned t = 0; t < 3; ++t) {
      tasks.push_back(pool.submit([&, t]() -> task<> {
        std::mt19937 random(seed + 10 + t);
        while (taken < turns) {
          const bool got = co_await turn.wait_for_async(std::chrono::microseconds(random() % 100));
          if (got) use();
        }
      }));
    }
    for (auto& one : tasks) one.get();
  }
  EXPECT_TRUE(turn.is_set()) << "seed " << seed;
  EXPECT_EQ(overlaps, 0) << "seed " << seed;
}

}  // namespace
