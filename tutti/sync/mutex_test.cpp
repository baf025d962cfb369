// mutex: coroutines and their guards, in what order the lock goes round, locking twice.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/mutex.hpp>
#include <utility>

namespace {

using namespace std::chrono_literals;
using tutti::mutex;
using tutti::sync_wait;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

// Its coroutines run when the test says so.
class mutex_in_loop : public testing::Test {
  watchdog dog_;

 protected:
  ~mutex_in_loop() override { loop.shutdown(); }
  void run_all() { loop.run(tutti_test::some_turns()); }
  bool is_free() {
    if (!m.try_lock()) return false;
    m.unlock();
    return true;
  }
  // Takes the lock, leaves a mark, gives it up.
  task<> pass(char mark) {
    const auto guard = co_await m.lock_async();
    order += mark;
  }
  mutex m{"accounts"};
  std::string order;
  tutti::run_loop loop;
};

TEST_F(mutex_in_loop, lock_async_gives_a_guard) {
  auto body = [&]() -> task<> {
    auto guard = co_await m.lock_async();
    EXPECT_TRUE(guard.owns_lock());
    EXPECT_TRUE(guard);
    EXPECT_EQ(guard.mutex(), &m);
    EXPECT_FALSE(is_free());
    guard.unlock();
    EXPECT_FALSE(guard);
    EXPECT_EQ(guard.mutex(), &m);
    EXPECT_TRUE(is_free());
    EXPECT_THROW(guard.unlock(), tutti::not_owner);
    co_await guard.relock_async();
    EXPECT_TRUE(guard);
    EXPECT_THROW(static_cast<void>(guard.relock_async()), tutti::deadlock);
  };
  loop.run(body());
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, an_empty_guard_guards_nothing) {
  mutex::async_guard none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.mutex(), nullptr);
  EXPECT_THROW(none.unlock(), tutti::not_owner);
  EXPECT_THROW(static_cast<void>(none.relock_async()), tutti::not_owner);
}

TEST_F(mutex_in_loop, a_guard_moves_and_is_unlocked_by_whoever_has_it) {
  mutex::async_guard kept;
  auto body = [&]() -> task<> {
    auto guard = co_await m.lock_async();
    mutex::async_guard second = std::move(guard);
    EXPECT_TRUE(second);
    kept = std::move(second);
    auto& self = kept;
    kept = std::move(self);
  };
  loop.run(body());
  EXPECT_TRUE(kept);
  EXPECT_FALSE(is_free());
  EXPECT_THROW(m.unlock(), tutti::not_owner) << "it is the guard's";
  std::thread([&] { kept.unlock(); }).join();
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, assigning_to_a_guard_gives_up_what_it_had) {
  mutex other;
  auto body = [&]() -> task<> {
    auto guard = co_await m.lock_async();
    guard = co_await other.lock_async();
    EXPECT_TRUE(is_free());
    EXPECT_EQ(guard.mutex(), &other);
    guard = {};
    EXPECT_FALSE(guard);
  };
  loop.run(body());
}

TEST_F(mutex_in_loop, coroutines_come_in_in_order) {
  m.lock();
  for (const char mark : {'a', 'b', 'c'}) loop.submit(pass(mark)).on_done([] {});
  run_all();
  EXPECT_EQ(order, "");
  m.unlock();
  run_all();
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, threads_and_coroutines_wait_in_one_queue) {
  m.lock();
  auto first = loop.submit(pass('a'));
  run_all();
  std::jthread second([&] {
    const std::lock_guard guard(m);
    order += 'b';
  });
  until([] { return waiting_for("mutex::lock") == 1; });
  m.unlock();  // wakes the coroutine, and while that has not tried, nobody else
  EXPECT_EQ(waiting_for("mutex::lock"), 1);
  run_all();
  second.join();
  EXPECT_EQ(order, "ab");
}

TEST_F(mutex_in_loop, who_lost_twice_is_handed_the_lock) {
  m.lock();
  auto slow = loop.submit(pass('s'));
  run_all();
  for (int losses = 0; losses < 2; ++losses) {
    m.unlock();  // wakes it, but
    ASSERT_TRUE(m.try_lock()) << "a newcomer is quicker";
    run_all();
    EXPECT_EQ(order, "");
  }
  m.unlock();
  EXPECT_FALSE(m.try_lock()) << "it is the coroutine's, which does not know yet";
  EXPECT_THROW(m.unlock(), tutti::not_owner);
  run_all();
  EXPECT_EQ(order, "s");
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, of_many_unlocks_one_wakes) {
  m.lock();
  for (const char mark : {'a', 'b', 'c'}) loop.submit(pass(mark)).on_done([] {});
  run_all();
  // While the first has been woken and has not tried, the others sleep on: none of them loses a turn.
  for (int i = 0; i < 10; ++i) {
    m.unlock();
    ASSERT_TRUE(m.try_lock());
  }
  run_all();  // only one has lost, once
  m.unlock();
  ASSERT_TRUE(m.try_lock()) << "nobody has lost twice yet";
  m.unlock();
  run_all();
  EXPECT_EQ(order, "abc");
}

TEST_F(mutex_in_loop, a_limit_of_nothing_is_a_try) {
  auto body = [&]() -> task<> {
    m.lock();
    EXPECT_FALSE(co_await m.lock_for_async(0s));
    EXPECT_FALSE(co_await m.lock_for_async(-1s));
    m.unlock();
    EXPECT_TRUE(co_await m.lock_for_async(0s));
    EXPECT_TRUE(co_await m.lock_for_async(std::chrono::nanoseconds::min()));
    EXPECT_TRUE(co_await m.lock_for_async(std::chrono::nanoseconds::max()));
  };
  loop.run(body());
}

TEST_F(mutex_in_loop, a_limit_ends_the_wait) {
  tutti::virtual_clock clock;
  m.lock();
  auto limited = [&](std::chrono::nanoseconds limit) -> task<bool> {
    const auto guard = co_await m.lock_for_async(limit);
    co_return guard.owns_lock();
  };
  auto late = loop.submit(limited(10s)), early = loop.submit(limited(20s)),
       endless = loop.submit(limited(std::chrono::nanoseconds::max()));
  run_all();
  clock.advance(10s);
  run_all();
  ASSERT_TRUE(late.done());
  EXPECT_FALSE(late.get());
  EXPECT_FALSE(early.done());
  m.unlock();
  run_all();
  EXPECT_TRUE(early.get());
  EXPECT_TRUE(endless.get());
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, a_stopped_task_leaves_the_queue) {
  m.lock();
  auto stopped = loop.submit(pass('x')), next = loop.submit(pass('n'));
  run_all();
  stopped.cancel();
  run_all();
  EXPECT_EQ(tutti_test::end_of_future(std::move(stopped)), "cancelled");
  m.unlock();
  run_all();
  EXPECT_EQ(order, "n");
}

TEST_F(mutex_in_loop, a_task_stopped_after_it_was_woken_passes_nothing_up) {
  m.lock();
  auto woken = loop.submit(pass('w')), next = loop.submit(pass('n'));
  run_all();
  m.unlock();
  woken.cancel();  // too late
  run_all();
  EXPECT_EQ(order, "wn");
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, relocking_is_not_stopped) {
  bool relocked = false;
  mutex::async_guard other;
  auto body = [&]() -> task<> {
    auto guard = co_await m.lock_async();
    guard.unlock();
    other = co_await m.lock_async();
    co_await guard.relock_async();
    relocked = guard.owns_lock();
  };
  auto f = loop.submit(body());
  run_all();
  f.cancel();
  run_all();
  EXPECT_FALSE(f.done());
  other.unlock();
  run_all();
  EXPECT_TRUE(relocked);
  EXPECT_TRUE(is_free());
}

TEST_F(mutex_in_loop, an_exception_releases_the_guard) {
  auto body = [&]() -> task<> {
    const auto guard = co_await m.lock_async();
    throw std::runtime_error("on purpose");
  };
  EXPECT_THROW(loop.run(body()), std::runtime_error);
  EXPECT_TRUE(is_free());
}

// ---------------------------------------------------------------- locking twice

std::string relock_error(mutex& m) {
  try {
    m.lock();
  } catch (const tutti::deadlock& e) {
    return e.what();
  }
  return "no deadlock";
}

TEST(Mutex, LockingTwiceIsADeadlock) {
  mutex m("accounts");
  m.lock();
  const std::string error = relock_error(m);
  EXPECT_NE(error.find("mutex \"accounts\": mutex::lock at "), std::string::npos) << error;
  EXPECT_NE(error.find("mutex_test.cpp"), std::string::npos) << error;
  EXPECT_NE(error.find("this thread"), std::string::npos) << error;
  EXPECT_THROW(static_cast<void>(m.lock_for(1h)), tutti::deadlock);
  EXPECT_THROW(m.lock(std::stop_token()), tutti::deadlock);
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.lock_for(0s));
  m.unlock();
}

TEST(Mutex, ATaskThatLocksTwiceIsNamed) {
  mutex m("accounts");
  tutti::thread_pool pool(1);
  pool.with({.name = "transfer"})
      .submit([&] {
        m.lock();
        const std::string error = relock_error(m);
        EXPECT_NE(error.find("transfer"), std::string::npos) << error;
        m.unlock();
      })
      .get();
}

TEST(Mutex, AwaitingWhatTheTaskHoldsIsADeadlock) {
  mutex m;
  auto body = [&]() -> task<> {
    const std::lock_guard held(m);
    const std::string end = co_await tutti_test::end_of([&]() -> task<> { const auto g = co_await m.lock_async(); });
    EXPECT_NE(end.find("holds it already"), std::string::npos) << end;
    EXPECT_FALSE(co_await m.lock_for_async(0s));
  };
  sync_wait(body());
}

TEST(Mutex, AnotherTaskOfTheSameThreadWaits) {
  const watchdog dog;
  mutex m;
  tutti::thread_pool pool(1);
  m.lock();
  auto f = pool.submit([&] {
    const std::lock_guard guard(m);
    return 1;
  });
  until([] { return waiting_for("mutex::lock") == 1; });
  m.unlock();
  EXPECT_EQ(f.get(), 1);
}

// The last user may free it: who unlocked before is done with it then.
TEST(Mutex, MayBeDestroyedOnceItsLastUserHasUnlocked) {
  const watchdog dog;
  struct counted {
    mutex m;
    int users = 2;
  };
  for (int i = 0; i < (tutti_test::sanitized ? 300 : 3000); ++i) {
    auto* const shared = new counted;
    const auto use = [shared] {
      shared->m.lock();
      const bool last = --shared->users == 0;
      shared->m.unlock();
      if (last) delete shared;
    };
    const std::jthread a(use), b(use);
  }
}

}  // namespace
