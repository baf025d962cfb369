// What dump() tells about pools, tasks and waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <iomanip>
#include <sstream>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/dump.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using testing::HasSubstr;
using testing::Not;
using tutti_test::count_waiting;
using tutti_test::until;
using tutti_test::watchdog;

std::string dumped() {
  std::ostringstream out;
  tutti::dump(out);
  return out.str();
}
void until_dumped(const std::string& part) {
  while (dumped().find(part) == std::string::npos) std::this_thread::yield();
}

TEST(Dump, PoolsWhileTheyLive) {
  const watchdog dog;
  {
    const tutti::thread_pool pool({.threads = 3, .name = "dump-pool"});
    EXPECT_THAT(dumped(), HasSubstr("pool \"dump-pool\": 3 threads, 0 queued"));
    until_dumped("worker 0: idle");
  }
  EXPECT_THAT(dumped(), Not(HasSubstr("dump-pool")));
}

TEST(Dump, WhatRunsAndWhatIsQueued) {
  const watchdog dog;
  tutti::thread_pool pool({.threads = 1, .name = "dump-busy"});
  std::atomic<bool> open{false};
  auto busy = pool.with({.name = "digging"}).submit([&] {
    while (!open) std::this_thread::yield();
  });
  until_dumped("runs digging");
  auto other = pool.submit([] {}), third = pool.submit([] {});
  EXPECT_THAT(dumped(), HasSubstr("pool \"dump-busy\": 1 threads, 2 queued; submitted 3, run 1,"));
  open = true;
  third.get();
  EXPECT_THAT(dumped(), Not(HasSubstr("digging")));
}

TEST(Dump, WhoWaitsForWhatAndWhere) {
  const watchdog dog;
  tutti::thread_pool pool({.threads = 1, .name = "dump-wait"});
  tutti::promise<int> promise;
  auto shared = promise.get_future().share();
  auto task = pool.with({.name = "the waiter"}).submit([shared] { return shared.get(); });
  std::jthread outside([shared] { EXPECT_EQ(shared.get(), 3); });
  const auto waits = [] {
    return count_waiting(
        [](const auto& one) { return std::string(one.where.file).find("dump_test") != std::string::npos; });
  };
  until([&] { return waits() == 2; });
  const std::string text = dumped();
  EXPECT_THAT(text, HasSubstr("in task the waiter waits in future::wait at "));
  EXPECT_THAT(text, HasSubstr("dump_test.cpp:"));
  EXPECT_THAT(text, HasSubstr("(dump-wait/0)"));
  promise.set_value(3);
  EXPECT_EQ(task.get(), 3);
  outside.join();
  EXPECT_EQ(waits(), 0);
}

TEST(Dump, LeavesTheStreamAsItWas) {
  std::ostringstream out;
  out << std::setprecision(9);
  tutti::dump(out);
  EXPECT_EQ(out.precision(), 9);
}

TEST(Dump, AtAnyTimeFromAnyThread) {
  const watchdog dog;
  std::atomic<bool> over{false};
  std::jthread looking([&] {
    while (!over) dumped();
  });
  for (int round = 0; round < 30; ++round) {
    tutti::thread_pool pool(2);
    std::vector<tutti::future<int>> futures;
    for (int i = 0; i < 50; ++i) {
      futures.push_back(
          pool.with({.name = "short"}).submit([&pool, i] { return pool.submit([i] { return i; }).get(); }));
    }
    for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
  }
  over = true;
}

}  // namespace
