// mutex: every form of locking, who owns it, in what order it goes round, and what misuse says.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/sync/mutex.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::mutex;
using tutti::sync_wait;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

TEST(Mutex, LocksAndUnlocks) {
  mutex m;
  m.lock();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  std::thread([&] { EXPECT_FALSE(m.try_lock()); }).join();
  m.unlock();
  EXPECT_TRUE(m.lock_for(0s));
  m.unlock();
}

TEST(Mutex, AWaiterGetsItAfterTheUnlock) {
  const watchdog dog;
  mutex m;
  m.lock();
  std::atomic<bool> in{false};
  std::jthread other([&] {
    const std::lock_guard lock(m);
    in = true;
  });
  until([] { return waiting_for("mutex::lock") == 1; });
  EXPECT_FALSE(in);
  m.unlock();
  other.join();
  EXPECT_TRUE(in);
}

TEST(Mutex, ACoroutineWaitsForAThread) {
  const watchdog dog;
  mutex m;
  tutti::thread_pool pool(1);
  m.lock();
  std::atomic<bool> in{false}, began{false};
  auto body = [&]() -> task<> {
    began = true;
    const auto guard = co_await m.lock_async();
    in = true;
  };
  auto f = pool.submit(body());
  until([&] { return began.load(); });
  EXPECT_FALSE(in);
  m.unlock();
  f.get();
  EXPECT_TRUE(in);
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

}  // namespace
