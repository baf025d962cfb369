// A wait runs what it waits for and what descends from that; never a stranger's task.
#include <gtest/gtest.h>

#include <atomic>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti_test::task_waits;
using tutti_test::watchdog;

// One worker has strangers in its ring when it begins the awaited task, which submits `own` tasks and waits for each at
// once. The waiter, on the other worker, must not run a stranger, however full the ring was meanwhile.
void no_stranger_while_waiting(int own) {
  std::atomic<bool> waiter_runs{false}, ready{false}, waiting{false};
  std::atomic<int> violations{0};
  tutti::thread_pool pool(2);
  std::thread::id waiter_id;
  tutti::future<void> awaited;
  std::vector<tutti::future<void>> strangers;

  auto waiter = pool.with({.name = "the waiter"}).submit([&] {
    waiter_id = std::this_thread::get_id();
    waiter_runs = true;
    while (!ready) std::this_thread::yield();
    waiting = true;
    awaited.wait();
    waiting = false;
  });
  while (!waiter_runs) std::this_thread::yield();
  auto maker = pool.submit([&] {
    awaited = pool.submit([&] {
      for (int i = 0; i < own; ++i) pool.submit([] {}).get();
      ready = true;
      // Until the waiter has found nothing to do and sleeps, or has done what it must not.
      while (!task_waits("the waiter") && violations == 0) std::this_thread::yield();
    });
    for (int i = 0; i < 50; ++i) {
      strangers.push_back(pool.submit([&] { violations += waiting && std::this_thread::get_id() == waiter_id; }));
    }
  });
  maker.get();
  waiter.get();
  for (auto& one : strangers) one.get();
  EXPECT_EQ(violations, 0) << own;
}

TEST(Leapfrog, NoStrangersTask) {
  const watchdog dog;
  no_stranger_while_waiting(0);
  no_stranger_while_waiting(10);
}

TEST(Leapfrog, NorAfterTheRingWasFull) {
  const watchdog dog;
  no_stranger_while_waiting(300);
  no_stranger_while_waiting(1000);
}

}  // namespace
