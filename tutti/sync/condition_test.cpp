// The condition: waiting under a mutex until a predicate holds; no notification and no item is lost.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_counter.hpp>
#include <thread>
#include <tutti/sync/condition.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::condition;
using tutti::task;
using tutti_test::after_an_hour;
using tutti_test::end_of_future;
using tutti_test::until;
using tutti_test::wait_counter;
using tutti_test::watchdog;

using lock_type = std::unique_lock<tutti::mutex>;

// A number under a mutex, and a condition that tells of its changes.
struct shared_number {
  tutti::mutex mutex;
  condition changed{"changed"};
  int value = 0;

  void set(int to) {
    const std::lock_guard lock(mutex);
    value = to;
  }
  void wait_for(int wanted) {
    lock_type lock(mutex);
    changed.wait(lock, [&] { return value == wanted; });
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_EQ(value, wanted);
  }
  task<> wait_for_async(int wanted) {
    auto guard = co_await mutex.lock_async();
    co_await changed.wait_async(guard, [&] { return value == wanted; });
    EXPECT_TRUE(guard.owns_lock());
    EXPECT_EQ(value, wanted);
  }
};

TEST(Condition, WhatHoldsIsNotWaitedFor) {
  shared_number n;
  n.wait_for(0);
  tutti::sync_wait(n.wait_for_async(0));
  n.changed.notify_one();
  n.changed.notify_all();
  lock_type lock(n.mutex);
  EXPECT_TRUE(n.changed.wait_for(lock, 0s, [] { return true; }));
  EXPECT_TRUE(lock.owns_lock());
}

TEST(Condition, NotifyAllHasEverybodyLook) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(2);
  shared_number n;
  {
    std::vector<std::jthread> threads;
    std::vector<tutti::future<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] { n.wait_for(1); });
      tasks.push_back(pool.submit(n.wait_for_async(1)));
    }
    waits.until_waiting(6);
    n.changed.notify_all();  // nothing has changed
    n.set(1);
    n.changed.notify_all();
    for (auto& one : tasks) one.get();
  }
  EXPECT_EQ(waits.now(), 0);
}

TEST(Condition, NotifyOneIsEnoughForOne) {
  const watchdog dog;
  const wait_counter waits;
  std::atomic<int> got{0};
  tutti::thread_pool pool(2);
  shared_number n;
  {
    std::vector<std::jthread> threads;
    std::vector<tutti::future<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        lock_type lock(n.mutex);
        n.changed.wait(lock, [&] { return n.value > 0; });
        --n.value;
        ++got;
      });
      tasks.push_back(pool.submit([&]() -> task<> {
        auto guard = co_await n.mutex.lock_async();
        co_await n.changed.wait_async(guard, [&] { return n.value > 0; });
        --n.value;
        ++got;
      }));
    }
    waits.until_waiting(6);
    for (int i = 1; i <= 6; ++i) {
      n.set(1);
      n.changed.notify_one();
      until([&] { return got == i; });
    }
    for (auto& one : tasks) one.get();
  }
  EXPECT_EQ(n.value, 0);
}

TEST(Condition, NotifiedUnderTheLock) {
  const watchdog dog;
  const wait_counter waits;
  shared_number n;
  std::jthread thread([&] { n.wait_for(1); });
  waits.until_waiting(1);
  const std::lock_guard lock(n.mutex);
  n.value = 1;
  n.changed.notify_one();
}

TEST(Condition, TimeRunsOut) {
  const watchdog dog;
  shared_number n;
  const auto never = [] { return false; };
  {
    lock_type lock(n.mutex);
    EXPECT_FALSE(n.changed.wait_for(lock, 0s, never));
    EXPECT_FALSE(n.changed.wait_for(lock, std::chrono::nanoseconds::min(), never));
    EXPECT_FALSE(n.changed.wait_for(lock, 1ms, never));
    EXPECT_TRUE(lock.owns_lock());
  }
  EXPECT_FALSE(after_an_hour([&] {
    lock_type lock(n.mutex);
    return n.changed.wait_for(lock, 1h, never);
  }));
  const auto in_coroutine = [&]() -> task<bool> {
    auto guard = co_await n.mutex.lock_async();
    const bool at_once = co_await n.changed.wait_for_async(guard, 0s, never);
    const bool before = co_await n.changed.wait_for_async(guard, -1s, never);
    const bool later = co_await n.changed.wait_for_async(guard, 1h, never);
    EXPECT_TRUE(guard.owns_lock());
    co_return at_once || before || later;
  };
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  EXPECT_FALSE(tutti::sync_wait(in_coroutine()));
}

TEST(Condition, NoLimitIsNoLimit) {
  const watchdog dog;
  const wait_counter waits;
  constexpr auto ever = std::chrono::nanoseconds::max();
  tutti::thread_pool pool(1);
  shared_number n;
  std::jthread thread([&] {
    lock_type lock(n.mutex);
    EXPECT_TRUE(n.changed.wait_for(lock, ever, [&] { return n.value == 1; }));
  });
  auto coroutine = pool.submit([&]() -> task<bool> {
    auto guard = co_await n.mutex.lock_async();
    const bool ready = co_await n.changed.wait_for_async(guard, ever, [&] { return n.value == 1; });
    co_return ready;
  });
  waits.until_waiting(2);
  n.set(1);
  n.changed.notify_all();
  EXPECT_TRUE(coroutine.get());
}

TEST(Condition, AStopEndsTheWait) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(1);
  shared_number n;
  std::string text;
  bool held = false;
  std::jthread thread([&](const std::stop_token& stop) {
    lock_type lock(n.mutex);
    try {
      n.changed.wait(lock, stop, [] { return false; });
    } catch (const tutti::cancelled& e) {
      text = e.what();
      held = lock.owns_lock();
    }
  });
  bool held_in_coroutine = false;
  auto coroutine = pool.submit([&]() -> task<> {
    auto guard = co_await n.mutex.lock_async();
    try {
      co_await n.changed.wait_async(guard, [] { return false; });
    } catch (const tutti::cancelled&) {
      held_in_coroutine = guard.owns_lock();
      throw;
    }
  });
  waits.until_waiting(2);
  thread.request_stop();
  coroutine.cancel();
  EXPECT_EQ(end_of_future(std::move(coroutine)), "cancelled");
  thread.join();
  EXPECT_TRUE(held);
  EXPECT_TRUE(held_in_coroutine);
  EXPECT_NE(text.find("condition \"changed\": wait at "), std::string::npos) << text;
  std::stop_source stopped;
  stopped.request_stop();
  lock_type lock(n.mutex);
  n.changed.wait(lock, stopped.get_token(), [] { return true; });
  EXPECT_THROW(n.changed.wait(lock, stopped.get_token(), [] { return false; }), tutti::cancelled);
}

TEST(Condition, WhatThePredicateThrows) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  shared_number n;
  lock_type lock(n.mutex);
  EXPECT_THROW(n.changed.wait(lock, []() -> bool { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_TRUE(lock.owns_lock());
  lock.unlock();
  auto coroutine = pool.submit([&]() -> task<> {
    auto guard = co_await n.mutex.lock_async();
    co_await n.changed.wait_async(guard, []() -> bool { throw std::runtime_error("no"); });
  });
  EXPECT_EQ(end_of_future(std::move(coroutine)), "no");
  EXPECT_TRUE(n.mutex.try_lock());
  n.mutex.unlock();
}

// Whoever is notified and then gives up has the next one look.
TEST(Condition, ANotificationIsPassedOn) {
  const watchdog dog;
  const wait_counter waits;
  shared_number n;
  std::jthread gives_up([&] {
    lock_type lock(n.mutex);
    bool first = true;
    EXPECT_THROW(n.changed.wait(lock,
                                [&]() -> bool {
                                  if (!std::exchange(first, false)) throw std::runtime_error("no");
                                  return false;
                                }),
                 std::runtime_error);
  });
  waits.until_waiting(1);
  std::jthread next([&] { n.wait_for(1); });
  waits.until_waiting(2);
  n.set(1);
  n.changed.notify_one();
  next.join();
}

TEST(Condition, OnALoopItWouldBlock) {
  shared_number n;
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    lock_type lock(n.mutex);
    EXPECT_FALSE(n.changed.wait_for(lock, 0s, [] { return false; }));
    EXPECT_THROW(n.changed.wait(lock, [] { return false; }), tutti::would_block);
    EXPECT_TRUE(lock.owns_lock());
    co_return;
  }());
}

TEST(Condition, MisuseIsNamed) {
  shared_number n;
  lock_type lock(n.mutex, std::defer_lock);
  std::string text;
  try {
    n.changed.wait(lock, [] { return true; });
  } catch (const tutti::not_owner& e) {
    text = e.what();
  }
  EXPECT_NE(text.find("condition \"changed\": condition::wait at "), std::string::npos) << text;
  EXPECT_NE(text.find("with a lock that is not held"), std::string::npos) << text;
  tutti::mutex::async_guard empty;
  EXPECT_THROW(tutti::sync_wait(n.changed.wait_async(empty, [] { return true; })), tutti::not_owner);
}

TEST(ConditionDeathTest, MustOutliveItsWaiters) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto destroy_in_use = [] {
    const wait_counter waits;
    tutti::mutex mutex;
    auto doomed = std::make_unique<condition>("doomed");
    std::jthread thread([&] {
      lock_type lock(mutex);
      doomed->wait(lock, [] { return false; });
    });
    waits.until_waiting(1);
    doomed.reset();
  };
  EXPECT_DEATH(destroy_in_use(), "tutti: fatal: condition \"doomed\" destroyed while 1 waits for it");
}

// The book's bounded buffer: producers and consumers, threads and coroutines, in every form; notify_one for each item.
TEST(ConditionStress, NoItemIsLost) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 41U;
  std::printf("seed %u\n", seed);
  constexpr int each = tutti_test::sanitized ? 1'000 : 10'000;
  constexpr std::size_t capacity = 3;
  tutti::mutex mutex;
  condition not_empty, not_full;
  std::deque<int> buffer;
  std::atomic<long long> sum{0};
  std::atomic<int> taken{0};
  const auto some_left = [&] { return !buffer.empty(); };
  const auto some_room = [&] { return buffer.size() < capacity; };
  const auto put = [&](int item) {
    buffer.push_back(item);
    not_empty.notify_one();
  };
  const auto take = [&] {
    sum += buffer.front();
    ++taken;
    buffer.pop_front();
    not_full.notify_one();
  };
  {
    tutti::thread_pool pool(2);
    std::vector<tutti::future<void>> tasks;
    tasks.push_back(pool.submit([&]() -> task<> {
      for (int i = 1; i <= each; ++i) {
        auto guard = co_await mutex.lock_async();
        co_await not_full.wait_async(guard, some_room);
        put(i);
      }
    }));
    tasks.push_back(pool.submit([&]() -> task<> {
      std::mt19937 random(seed);
      for (int i = 0; i < each;) {
        auto guard = co_await mutex.lock_async();
        const bool ready =
            co_await not_empty.wait_for_async(guard, std::chrono::microseconds(random() % 100), some_left);
        if (!ready) continue;
        take();
        ++i;
      }
    }));
    std::jthread producer([&] {
      for (int i = 1; i <= each; ++i) {
        lock_type lock(mutex);
        not_full.wait(lock, some_room);
        put(i);
      }
    });
    std::jthread consumer([&] {
      std::mt19937 random(seed + 1);
      for (int i = 0; i < each;) {
        lock_type lock(mutex);
        std::stop_source stop;
        const auto late =
            tutti::call_later(std::chrono::microseconds(random() % 200), [stop]() mutable { stop.request_stop(); });
        try {
          not_empty.wait(lock, stop.get_token(), some_left);
          take();
          ++i;
        } catch (const tutti::cancelled&) {
        }
        late.cancel();
      }
    });
    producer.join();
    consumer.join();
    for (auto& one : tasks) one.get();
  }
  EXPECT_EQ(taken, 2 * each) << "seed " << seed;
  EXPECT_EQ(sum, 1LL * each * (each + 1)) << "seed " << seed;
}

}  // namespace
