// guard and lock_async: several locks at once cannot deadlock, and are given up in reverse.
#include <gtest/gtest.h>

#include <array>
#include <mutex>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/async_guards.hpp>
#include <tutti/sync/guard.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <utility>
#include <vector>

namespace {

using tutti::guard;
using tutti::lock_async;
using tutti::mutex;
using tutti::task;
using tutti_test::watchdog;

template <class Lock>
bool is_free(Lock& m) {
  bool got = false;
  std::thread([&] {
    got = m.try_lock();
    if (got) m.unlock();
  }).join();
  return got;
}

// Writes down who locks and unlocks it.
struct noted {
  void lock() {
    if (fails) throw std::runtime_error("on purpose");
    log += "+" + std::to_string(this - first);
  }
  void unlock() { log += "-" + std::to_string(this - first); }
  bool fails = false;
  static inline std::string log;
  static inline const noted* first = nullptr;
};

TEST(Guard, LocksInTheOrderOfAddressesAndUnlocksInReverse) {
  std::array<noted, 3> locks;
  noted::first = locks.data();
  noted::log.clear();
  {
    const guard g(locks[2], locks[0], locks[1]);
    EXPECT_EQ(noted::log, "+0+1+2");
  }
  EXPECT_EQ(noted::log, "+0+1+2-2-1-0");
}

TEST(Guard, GivesUpWhatItHasWhenOneFails) {
  std::array<noted, 3> locks;
  noted::first = locks.data();
  noted::log.clear();
  locks[1].fails = true;
  EXPECT_THROW(static_cast<void>(guard(locks[2], locks[0], locks[1])), std::runtime_error);
  EXPECT_EQ(noted::log, "+0-0");
}

TEST(Guard, TakesAllKindsOfLocks) {
  mutex a;
  tutti::recursive_mutex b;
  tutti::shared_mutex c;
  std::mutex d;
  {
    const guard g(d, c, b, a);
    EXPECT_FALSE(is_free(a));
    EXPECT_FALSE(is_free(b));
    EXPECT_FALSE(is_free(c));
    EXPECT_FALSE(is_free(d));
  }
  const guard one(a);
  EXPECT_FALSE(is_free(a));
  EXPECT_TRUE(is_free(b) && is_free(c) && is_free(d));
}

TEST(Guard, TheSameLockTwiceIsADeadlock) {
  mutex a, b;
  std::string error;
  try {
    const guard g(a, b, a);
  } catch (const tutti::deadlock& e) {
    error = e.what();
  }
  EXPECT_NE(error.find("guard_test.cpp"), std::string::npos) << error;
  EXPECT_NE(error.find("the same lock twice"), std::string::npos) << error;
  EXPECT_TRUE(is_free(a) && is_free(b));
}

TEST(Guard, WhatTheCallerHoldsAlreadyIsADeadlock) {
  std::array<mutex, 2> m;
  m[1].lock();
  EXPECT_THROW(static_cast<void>(guard(m[0], m[1])), tutti::deadlock);
  EXPECT_TRUE(is_free(m[0]));
  m[1].unlock();
}

TEST(Guard, ThreadsAndCoroutinesInAnyOrder) {
  const watchdog dog;
  constexpr int rounds = tutti_test::sanitized ? 200 : 2000;
  std::array<mutex, 3> m;
  std::array<int, 3> counts{};
  const auto add = [&] {
    for (int& c : counts) ++c;
  };
  tutti::thread_pool pool(2);
  const auto coroutine = [&](std::size_t i) -> task<> {
    for (int round = 0; round < rounds; ++round) {
      const auto held = co_await lock_async(m[i], m[(i + 1) % 3], m[(i + 2) % 3]);
      add();
    }
  };
  std::vector<tutti::future<void>> all;
  for (std::size_t i = 0; i < 3; ++i) all.push_back(pool.submit(coroutine(i)));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < rounds; ++round) {
          const guard g(m[(i + 2) % 3], m[i], m[(i + 1) % 3]);
          add();
        }
      });
    }
  }
  for (auto& f : all) f.get();
  for (const int c : counts) EXPECT_EQ(c, 6 * rounds);
}

// ---------------------------------------------------------------- awaited

class lock_async_in_loop : public testing::Test {
  watchdog dog_;

 protected:
  ~lock_async_in_loop() override { loop.shutdown(); }
  void run_all() { loop.run(tutti_test::some_turns()); }
  std::array<mutex, 3> m;
  tutti::run_loop loop;
};

TEST_F(lock_async_in_loop, gives_one_guard_of_all) {
  auto body = [&]() -> task<> {
    auto all = co_await lock_async(m[1], m[2], m[0]);
    EXPECT_TRUE(all);
    for (auto& one : m) EXPECT_FALSE(is_free(one));
    auto moved = std::move(all);
    EXPECT_FALSE(all.owns_locks());  // NOLINT(bugprone-use-after-move): what is left
    moved.unlock();
    for (auto& one : m) EXPECT_TRUE(is_free(one));
    EXPECT_THROW(moved.unlock(), tutti::not_owner);
    moved = co_await lock_async(m[0], m[1], m[2]);
    EXPECT_FALSE(is_free(m[2]));
  };
  loop.run(body());
  for (auto& one : m) EXPECT_TRUE(is_free(one));
}

TEST_F(lock_async_in_loop, waits_for_each_in_turn) {
  bool in = false;
  m[0].lock();
  m[2].lock();
  auto body = [&]() -> task<> {
    const auto all = co_await lock_async(m[2], m[1], m[0]);
    in = true;
  };
  auto f = loop.submit(body());
  run_all();
  EXPECT_TRUE(is_free(m[1])) << "it waits for the first one, and holds nothing";
  m[0].unlock();
  run_all();
  EXPECT_FALSE(is_free(m[0]));
  EXPECT_FALSE(is_free(m[1]));
  EXPECT_FALSE(in);
  m[2].unlock();
  run_all();
  EXPECT_TRUE(in);
  for (auto& one : m) EXPECT_TRUE(is_free(one));
}

TEST_F(lock_async_in_loop, a_stopped_one_gives_up_what_it_has) {
  m[2].lock();
  auto body = [&]() -> task<> { const auto all = co_await lock_async(m[0], m[1], m[2]); };
  auto f = loop.submit(body());
  run_all();
  EXPECT_FALSE(is_free(m[0]));
  f.cancel();
  run_all();
  EXPECT_EQ(tutti_test::end_of_future(std::move(f)), "cancelled");
  EXPECT_TRUE(is_free(m[0]) && is_free(m[1]));
  m[2].unlock();
}

TEST_F(lock_async_in_loop, misuse_is_a_deadlock) {
  auto twice = [&]() -> task<> { const auto all = co_await lock_async(m[0], m[1], m[0]); };
  EXPECT_THROW(loop.run(twice()), tutti::deadlock);
  auto held = [&]() -> task<> {
    const std::lock_guard mine(m[2]);
    const auto all = co_await lock_async(m[0], m[2]);
  };
  EXPECT_THROW(loop.run(held()), tutti::deadlock);
  for (auto& one : m) EXPECT_TRUE(is_free(one));
}

TEST_F(lock_async_in_loop, a_slow_one_is_handed_each) {
  m[0].lock();
  bool in = false;
  auto body = [&]() -> task<> {
    const auto all = co_await lock_async(m[0], m[1]);
    in = true;
  };
  auto f = loop.submit(body());
  run_all();
  for (int losses = 0; losses < 2; ++losses) {
    m[0].unlock();
    ASSERT_TRUE(m[0].try_lock());
    run_all();
  }
  m[1].lock();
  m[0].unlock();
  EXPECT_FALSE(m[0].try_lock());
  run_all();
  EXPECT_FALSE(in);
  m[1].unlock();
  run_all();
  EXPECT_TRUE(in);
}

}  // namespace
