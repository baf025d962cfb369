// once: one call is made to the end, the others wait for it.
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/once.hpp>
#include <utility>
#include <vector>

namespace {

using tutti::once;
using tutti::sync_wait;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

TEST(Once, CallsOnce) {
  static constinit once o;
  int calls = 0;
  EXPECT_FALSE(o.done());
  for (int i = 0; i < 3; ++i) o.call([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(o.done());
}

TEST(Once, OthersWaitForTheCall) {
  const watchdog dog;
  once o("setup");
  std::atomic<bool> go{false}, inside{false};
  std::atomic<int> calls{0}, passed{0};
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    o.call([&] {
      inside = true;
      until([&] { return go.load(); });
      ++calls;
    });
  });
  until([&] { return inside.load(); });
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      o.call([&] { ++calls; });
      EXPECT_EQ(calls, 1);
      ++passed;
    });
  }
  until([] { return waiting_for("once::call") == 3; });
  EXPECT_EQ(passed, 0);
  go = true;
  threads.clear();
  EXPECT_EQ(passed, 3);
}

TEST(Once, AFailedCallIsNone) {
  const watchdog dog;
  once o;
  std::atomic<int> calls{0};
  std::jthread other;
  EXPECT_THROW(o.call([&] {
    other = std::jthread([&] { o.call([&] { ++calls; }); });
    until([] { return waiting_for("once::call") == 1; });
    throw std::runtime_error("on purpose");
  }),
               std::runtime_error);
  other.join();
  EXPECT_EQ(calls, 1) << "the one who waited called its own";
  o.call([&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Once, RecursionIsADeadlock) {
  once o("setup");
  std::string error;
  o.call([&] {
    try {
      o.call([] {});
    } catch (const tutti::deadlock& e) {
      error = e.what();
    }
  });
  EXPECT_NE(error.find("once \"setup\""), std::string::npos) << error;
  EXPECT_NE(error.find("once_test.cpp"), std::string::npos) << error;
  EXPECT_TRUE(o.done());
}

TEST(Once, WaitingOnALoopsThreadIsRefused) {
  const watchdog dog;
  once o;
  tutti::run_loop loop;
  o.call([&] {
    loop.post([&] { EXPECT_THROW(o.call([] {}), tutti::would_block); });
    std::thread([&] { loop.shutdown(); }).join();
  });
}

TEST(Once, CoroutinesCallAndWait) {
  const watchdog dog;
  once o;
  std::atomic<int> calls{0};
  tutti::thread_pool pool(2);
  const auto setup = [&]() -> task<> {
    co_await tutti_test::some_turns();
    ++calls;
  };
  const auto user = [&]() -> task<> {
    co_await o.call_async(setup);
    EXPECT_EQ(calls, 1);
  };
  std::vector<tutti::future<void>> all;
  for (int i = 0; i < 20; ++i) all.push_back(pool.submit(user()));
  std::thread([&] {
    o.call([&] { ++calls; });
    EXPECT_EQ(calls, 1);
  }).join();
  for (auto& f : all) f.get();
}

TEST(Once, CoroutinesThatFailOrAreStoppedLeaveItToOthers) {
  const watchdog dog;
  once o;
  tutti::run_loop loop;
  int calls = 0;
  const auto failing = [&]() -> task<> {
    co_await tutti_test::some_turns();
    co_await tutti_test::some_turns();
    throw std::runtime_error("on purpose");
  };
  const auto counting = [&]() -> task<> {
    ++calls;
    co_return;
  };
  auto first = loop.submit(o.call_async(failing)), stopped = loop.submit(o.call_async(counting)),
       second = loop.submit(o.call_async(counting)), third = loop.submit(o.call_async(counting));
  loop.run(tutti_test::some_turns());
  EXPECT_EQ(calls, 0);
  stopped.cancel();
  for (int i = 0; i < 5; ++i) loop.run(tutti_test::some_turns());
  EXPECT_EQ(tutti_test::end_of_future(std::move(first)), "on purpose");
  EXPECT_EQ(tutti_test::end_of_future(std::move(stopped)), "cancelled");
  second.get();
  third.get();
  EXPECT_EQ(calls, 1);
  loop.shutdown();
}

TEST(Once, RecursionOfACoroutineIsADeadlock) {
  once o;
  std::string end;
  const auto inner = [&]() -> task<> { co_return; };
  const auto outer = [&]() -> task<> { end = co_await tutti_test::end_of([&] { return o.call_async(inner); }); };
  sync_wait(o.call_async(outer));
  EXPECT_NE(end.find("from inside the function it calls"), std::string::npos) << end;
}

TEST(Once, MayBeDestroyedOnceItIsDone) {
  const watchdog dog;
  for (int i = 0; i < (tutti_test::sanitized ? 300 : 3000); ++i) {
    auto* const o = new once;
    std::jthread caller([o] { o->call([] {}); });
    until([o] { return o->done(); });
    delete o;
  }
}

}  // namespace
