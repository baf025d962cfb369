// What observers of waits are told of locks, and what a refused wait leaves behind.
#include <gtest/gtest.h>

#include <array>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_recorder.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/async_guards.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/once.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <utility>

namespace {

using namespace std::chrono_literals;
using tutti::mutex;
using tutti::shared_mutex;
using tutti::task;
using tutti_test::wait_recorder;
using tutti_test::watchdog;

const void* self() { return tutti::wait_graph::self_id(); }

TEST(LockWatch, AHoldIsToldWithItsPlace) {
  mutex m("accounts");
  wait_recorder seen;
  const unsigned line = __LINE__ + 1;
  m.lock();
  m.unlock();
  const auto events = seen.events();
  ASSERT_EQ(seen.kinds(), "holds releases");
  EXPECT_EQ(events[0].who, self());
  EXPECT_EQ(events[0].what, "mutex");
  EXPECT_EQ(events[0].name, "accounts");
  EXPECT_EQ(events[0].rule, tutti::wait_rule::all_release);
  EXPECT_EQ(events[0].here.line, line);
  EXPECT_TRUE(events[0].flag) << "it would have waited";
  EXPECT_EQ(events[1].who, self());
  EXPECT_EQ(events[1].resource, events[0].resource);
}

TEST(LockWatch, ATryWouldNotHaveWaited) {
  mutex m;
  shared_mutex s;
  wait_recorder seen;
  EXPECT_TRUE(m.try_lock());
  EXPECT_TRUE(s.try_lock_shared());
  m.unlock();
  s.unlock_shared();
  ASSERT_EQ(seen.kinds(), "holds holds releases releases");
  EXPECT_FALSE(seen.events()[0].flag);
  EXPECT_FALSE(seen.events()[1].flag);
}

TEST(LockWatch, AWaitIsForTheLock) {
  const watchdog dog;
  mutex m("accounts");
  wait_recorder seen;
  m.lock();
  std::jthread other([&] { const std::lock_guard guard(m); });
  seen.wait_for("begin", 1);
  m.unlock();
  other.join();
  const auto events = seen.events();
  ASSERT_GE(events.size(), 6U);
  EXPECT_EQ(events[1].kind, "begin");
  EXPECT_EQ(events[1].what, "mutex::lock");
  EXPECT_EQ(events[1].name, "accounts");
  EXPECT_EQ(events[1].rule, tutti::wait_rule::all_release);
  EXPECT_EQ(events[1].resource, events[0].resource);
  EXPECT_NE(events[1].who, self());
  EXPECT_FALSE(events[1].flag) << "nothing else ends it";
  EXPECT_EQ(seen.count("begin"), seen.count("end"));
  EXPECT_EQ(seen.count("holds"), seen.count("releases"));
}

TEST(LockWatch, EachLockOfARecursiveMutexIsOneHold) {
  tutti::recursive_mutex m;
  wait_recorder seen;
  m.lock();
  m.lock();
  m.unlock();
  m.unlock();
  EXPECT_EQ(seen.kinds(), "holds releases") << "it is held, or it is not";
}

TEST(LockWatch, ReadersHoldTogether) {
  shared_mutex m("config");
  wait_recorder seen;
  m.lock_shared();
  std::thread([&] { const std::shared_lock lock(m); }).join();
  m.unlock_shared();
  ASSERT_EQ(seen.kinds(), "holds holds releases releases");
  const auto events = seen.events();
  EXPECT_NE(events[0].who, events[1].who);
  EXPECT_EQ(events[1].who, events[2].who);
  EXPECT_EQ(events[0].resource, events[1].resource);
  EXPECT_EQ(events[0].what, "shared_mutex");
}

TEST(LockWatch, WhatIsRefusedIsNotTold) {
  mutex m;
  shared_mutex s;
  wait_recorder seen;
  EXPECT_THROW(m.unlock(), tutti::not_owner);
  EXPECT_THROW(s.unlock(), tutti::not_owner);
  EXPECT_THROW(s.unlock_shared(), tutti::not_owner);
  EXPECT_EQ(seen.kinds(), "");
}

TEST(LockWatch, AGuardThatMovesIsHeldBySomebody) {
  mutex m;
  wait_recorder seen;
  const void* task_id = nullptr;
  auto body = [&]() -> task<> {
    task_id = self();
    auto guard = co_await m.lock_async();
    auto moved = std::move(guard);
    auto again = std::move(moved);  // still somebody
  };
  tutti::run_loop loop;
  loop.run(body());
  std::vector<tutti_test::wait_event> events;
  for (const auto& one : seen.events()) {
    if (one.kind == "holds" || one.kind == "releases") events.push_back(one);
  }
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].who, task_id);
  EXPECT_EQ(events[1].kind, "holds");
  EXPECT_EQ(events[1].who, nullptr);
  EXPECT_EQ(events[2].kind, "releases");
  EXPECT_EQ(events[2].who, task_id);
  EXPECT_EQ(events[3].kind, "releases");
  EXPECT_EQ(events[3].who, nullptr);
}

TEST(LockWatch, LockAsyncTellsOfEachWhenItHasIt) {
  const watchdog dog;
  std::array<mutex, 2> m;
  m[1].lock();
  wait_recorder seen;
  const void* task_id = nullptr;
  auto body = [&]() -> task<> {
    task_id = self();
    const auto all = co_await tutti::lock_async(m[0], m[1]);
  };
  tutti::thread_pool pool(1);
  auto f = pool.submit(body());
  seen.wait_for("begin", 1);
  ASSERT_EQ(seen.kinds(), "holds begin");
  EXPECT_EQ(seen.events()[0].who, task_id);
  EXPECT_EQ(seen.events()[1].who, task_id);
  EXPECT_EQ(seen.events()[1].what, "lock_async");
  m[1].unlock();
  while (!f.done()) std::this_thread::yield();
  EXPECT_EQ(seen.count("holds"), 2U);
  EXPECT_EQ(seen.count("releases"), 3U);
}

TEST(LockWatch, ARefusedWaitLeavesNothingBehind) {
  const watchdog dog;
  mutex m;
  shared_mutex s;
  tutti::thread_pool pool(1);
  m.lock();
  s.lock();
  {
    wait_recorder seen;
    const void* const lock = &tutti::detail::lock_access::core(m);
    seen.refuse(lock);
    std::thread([&] { EXPECT_THROW(m.lock(), tutti::deadlock); }).join();
    auto body = [&]() -> task<> { const auto guard = co_await m.lock_async(); };
    auto f = pool.submit(body());
    while (!f.done()) std::this_thread::yield();
    EXPECT_THROW(f.get(), tutti::deadlock);
    seen.refuse(&tutti::detail::lock_access::core(s));
    std::thread([&] {
      EXPECT_THROW(s.lock(), tutti::deadlock);
      EXPECT_THROW(s.lock_shared(), tutti::deadlock);
    }).join();
  }
  m.unlock();
  s.unlock();
  std::thread([&] {
    EXPECT_TRUE(m.try_lock());
    EXPECT_TRUE(s.try_lock());
    m.unlock();
    s.unlock();
  }).join();
}

TEST(LockWatch, OnceIsHeldWhileItCalls) {
  tutti::once o("setup");
  wait_recorder seen;
  o.call([&] { EXPECT_EQ(seen.kinds(), "holds"); });
  EXPECT_EQ(seen.kinds(), "holds releases");
  EXPECT_EQ(seen.events()[0].what, "once");
  o.call([] {});
  EXPECT_EQ(seen.kinds(), "holds releases");
}

}  // namespace
