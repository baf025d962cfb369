#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <vector>

namespace inline_executor_test {

int increment(int i) { return i + 1; }

}  // namespace inline_executor_test

namespace {

using namespace std::chrono_literals;
using inline_executor_test::increment;
using tutti::inline_executor;

struct InlineExecutor : testing::Test {
  inline_executor here;
};

TEST_F(InlineExecutor, RunsInsideSubmitOnThisThread) {
  auto future = here.submit([] { return std::this_thread::get_id(); });
  EXPECT_TRUE(future.done());
  EXPECT_EQ(future.get(), std::this_thread::get_id());
  EXPECT_EQ(here.concurrency(), 1);
  EXPECT_EQ(here.submit<increment>(4).get(), 5);
  int posted = 0;
  here.post([&] { ++posted; });
  EXPECT_EQ(posted, 1);
}

TEST_F(InlineExecutor, HasANumberOfItsOwnSharedByItsHandles) {
  const inline_executor other;
  EXPECT_NE(here.id(), other.id());
  EXPECT_EQ(here.share()->id(), here.id());
}

TEST_F(InlineExecutor, ErrorsArriveInTheFuture) {
  auto future = here.submit([]() -> int { throw std::runtime_error("inline"); });
  EXPECT_TRUE(future.done());
  EXPECT_THROW(future.get(), std::runtime_error);
}

TEST_F(InlineExecutor, CallsNest) {
  EXPECT_EQ(here.submit([&] { return here.submit([&] { return here.submit([] { return 3; }).get(); }).get(); }).get(),
            3);
}

TEST_F(InlineExecutor, ContinuationsRunAtOnceToo) {
  auto future = here.submit([] { return 1; }).then([](int i) { return i + 1; }).then([&](int i) {
    return here.submit([i] { return i * 10; });
  });
  EXPECT_TRUE(future.done());
  EXPECT_EQ(future.get(), 20);
}

// What runs inside somebody's completion may itself complete something, and wait for what comes of that.
int wait_for_a_continuation(int n) {
  tutti::promise<int> promise;
  auto after = promise.get_future().then([](int i) { return i + 1; });
  promise.set_value(n);
  return after.get();
}

TEST_F(InlineExecutor, AContinuationMayWaitForAnother) {
  const tutti_test::watchdog dog;
  tutti::promise<int> source;
  auto future = here.submit([] {}).then([&] { return source.get_future(); }).then(wait_for_a_continuation);
  source.set_value(1);
  EXPECT_EQ(future.get(), 2);
}

TEST_F(InlineExecutor, AContinuationMayWaitForAnotherOnAPoolsWorkerToo) {
  const tutti_test::watchdog dog;
  tutti_test::held_pool held;
  auto future = here.submit([] { return 1; })
                    .then([&](int i) { return held.pool.submit([i] { return i; }); })
                    .then(wait_for_a_continuation);
  held.open();
  EXPECT_EQ(future.get(), 2);
}

TEST_F(InlineExecutor, TheTaskKnowsItself) {
  EXPECT_EQ(here.with({.name = "inline task"}).submit([] { return std::string(tutti::this_task::name()); }).get(),
            "inline task");
  EXPECT_EQ(tutti::this_task::name(), "");
  EXPECT_FALSE(here.submit([] { return tutti::this_task::stop_requested(); }).get());
}

TEST_F(InlineExecutor, ATimeoutDropsTheResult) {
  const tutti_test::watchdog dog;
  tutti::virtual_clock clock;
  auto future = here.with({.name = "slow", .timeout = 1s}).submit([&] {
    EXPECT_EQ(tutti::this_task::deadline(), clock.now() + 1s);
    clock.advance(1s);
    tutti_test::until_stopped();
    return 1;
  });
  EXPECT_THROW(future.get(), tutti::timed_out);
}

TEST_F(InlineExecutor, RetriesWhatCanBeRetried) {
  int tries = 0;
  auto future = here.with({.retries = 2}).submit([&] {
    if (++tries < 3) throw tutti::retryable("again");
    return tries;
  });
  EXPECT_EQ(future.get(), 3);
}

TEST_F(InlineExecutor, StoppedBeforeItBegins) {
  std::stop_source stop;
  stop.request_stop();
  bool ran = false;
  auto future = here.with({.stop = stop.get_token()}).submit([&] { ran = true; });
  EXPECT_THROW(future.get(), tutti::cancelled);
  EXPECT_FALSE(ran);
}

TEST_F(InlineExecutor, ClosedAfterShutdownForAllItsHandles) {
  const auto other = here.share();
  EXPECT_EQ(other->submit<increment>(1).get(), 2);
  here.shutdown();
  here.shutdown(tutti::cancel);
  EXPECT_THROW((void)here.submit([] {}), tutti::closed);
  EXPECT_THROW(here.post([] {}), tutti::closed);
  EXPECT_THROW((void)other->submit<increment>(1), tutti::closed);
  EXPECT_EQ(inline_executor().submit<increment>(1).get(), 2) << "another one is not concerned";
}

TEST_F(InlineExecutor, MoveOnlyFunctionsAndResults) {
  auto future = here.submit([p = std::make_unique<int>(6)]() mutable { return std::move(p); });
  EXPECT_EQ(*future.get(), 6);
}

TEST_F(InlineExecutor, SideBySideOnSeveralThreads) {
  const tutti_test::watchdog dog;
  std::atomic<int> inside{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      here.submit([&] {
            ++inside;
            while (inside != 3) std::this_thread::yield();
          })
          .get();
    });
  }
}

}  // namespace
