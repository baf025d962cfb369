// Exceptions nobody can be given: told once, to the handler.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using tutti::unhandled_origin;
using tutti_test::watchdog;

struct report {
  std::string what, task;
  unhandled_origin origin;
};
std::mutex mutex;
std::vector<report> reports;

void collect(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept {
  std::string what = "?";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  const std::lock_guard lock(mutex);
  reports.push_back({what, task, origin});
}

struct silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};

struct Unhandled : testing::Test {
  Unhandled() { reports.clear(); }
  ~Unhandled() override { tutti::on_unhandled(before); }
  tutti::unhandled_handler before = tutti::on_unhandled(collect);
  watchdog dog;
  tutti::inline_executor here;
  static int fail() { throw std::runtime_error("nobody looks"); }
};

TEST_F(Unhandled, ADroppedFuture) {
  {
    auto dropped = here.with({.name = "failing"}).submit(fail);
  }
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].what, "nobody looks");
  EXPECT_EQ(reports[0].task, "failing");
  EXPECT_EQ(reports[0].origin, unhandled_origin::dropped_future);
}

TEST_F(Unhandled, ADroppedFutureThatFailsLater) {
  std::atomic<bool> open{false};
  {
    tutti::thread_pool pool(1);
    {
      auto dropped = pool.submit([&] {
        while (!open) std::this_thread::yield();
        fail();
      });
    }
    open = true;
  }
  EXPECT_EQ(reports.size(), 1U);
}

TEST_F(Unhandled, SeenIsHandled) {
  auto got = here.submit(fail);
  EXPECT_THROW(got.get(), std::runtime_error);
  {
    int seen = 0;
    auto told = here.submit(fail);
    told.on_done([&](const std::exception_ptr& error) { seen += error != nullptr; });
    EXPECT_EQ(seen, 1);
  }
  {
    auto shared = here.submit(fail).share();
    auto copy = shared;
    EXPECT_THROW(shared.get(), std::runtime_error);
  }
  EXPECT_TRUE(reports.empty());
}

TEST_F(Unhandled, OnlyWhoIsGivenTheErrorHasSeenIt) {
  const auto error = std::make_exception_ptr(std::domain_error("lost"));
  {
    tutti::promise<int> promise;
    auto future = promise.get_future();
    future.on_done([] {});
    promise.set_exception(error);
  }
  EXPECT_EQ(reports.size(), 1U);
  {
    tutti::promise<int> promise;
    auto future = promise.get_future();
    future.on_done([](const std::exception_ptr&) {});
    promise.set_exception(error);
  }
  EXPECT_EQ(reports.size(), 1U);
  {
    tutti::promise<int> promise;
    auto whole = tutti::when_all(promise.get_future());
    promise.set_exception(error);
    EXPECT_THROW(whole.get(), std::domain_error);
  }
  EXPECT_EQ(reports.size(), 1U);
}

TEST_F(Unhandled, PassedOnIsReportedOnceByTheLast) {
  {
    auto last = here.submit(fail).then([](int i) { return i; }).then([](int i) { return i; });
  }
  EXPECT_EQ(reports.size(), 1U);
  reports.clear();
  {
    std::vector<tutti::future<int>> futures;
    for (int i = 0; i < 3; ++i) futures.push_back(here.submit(fail));
    auto dropped = tutti::when_all(std::move(futures));
  }
  EXPECT_EQ(reports.size(), 1U);
}

TEST_F(Unhandled, WaitingIsNotLooking) {
  {
    auto waited = here.submit(fail);
    waited.wait();
    EXPECT_TRUE(waited.done());
  }
  EXPECT_EQ(reports.size(), 1U);
}

TEST_F(Unhandled, CancelledIsNeverUnhandled) {
  {
    auto cancelled_one = here.submit([] { throw tutti::cancelled("by itself"); });
    tutti::promise<int> promise;
    auto dropped = promise.get_future();
    dropped.cancel();
  }
  {
    tutti::thread_pool pool(1);
    pool.post([] { throw tutti::cancelled("posted"); });
  }
  EXPECT_TRUE(reports.empty());
}

TEST_F(Unhandled, ABrokenPromise) {
  {
    tutti::promise<int> promise;
    auto dropped = promise.get_future();
  }
  {
    const tutti::promise<int> nobody_asked;
  }
  EXPECT_LE(reports.size(), 1U);
}

TEST_F(Unhandled, APostedFunctionAndThePoolGoesOn) {
  tutti::thread_pool pool(1);
  pool.with({.name = "posted task"}).post([] { fail(); });
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].task, "posted task");
  EXPECT_EQ(reports[0].origin, unhandled_origin::post);
}

TEST_F(Unhandled, AnOnDoneCallbackAndTheOthersAreCalled) {
  int called = 0;
  auto future = here.submit([] { return 1; });
  future.on_done([] { fail(); });
  future.on_done([&] { ++called; });
  EXPECT_EQ(called, 1);
  tutti::promise<int> promise;
  auto pending = promise.get_future();
  pending.on_done([] { fail(); });
  pending.on_done([&] { ++called; });
  promise.set_value(3);
  EXPECT_EQ(called, 2);
  EXPECT_EQ(pending.get(), 3);
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[1].origin, unhandled_origin::callback);
}

TEST_F(Unhandled, ObjectsThatAreNoStdExceptions) {
  {
    auto dropped = here.submit([] { throw 5; });
  }
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].what, "?");
}

TEST_F(Unhandled, TheDefaultLogs) {
  tutti::on_unhandled(nullptr);
  const tutti::log_capture log;
  {
    auto dropped = here.with({.name = "failing"}).submit(fail);
  }
  {
    auto dropped = here.submit([] { throw 5; });
  }
  EXPECT_TRUE(log.contains("error: exception of a dropped future task=failing"));
  EXPECT_TRUE(log.contains("what=\"nobody looks\""));
  EXPECT_TRUE(log.contains("not a std::exception"));
  {
    auto dropped = here.submit([] { throw silent(); });
  }
  EXPECT_TRUE(log.contains("silent"));
  EXPECT_NE(tutti::on_unhandled(collect), nullptr);
  EXPECT_EQ(tutti::on_unhandled(nullptr), &collect) << "gives the one before";
}

struct UnhandledDeathTest : testing::Test {
  UnhandledDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(UnhandledDeathTest, PostTerminatesByDefault) {
  EXPECT_DEATH(
      {
        tutti::thread_pool pool(1);
        pool.with({.name = "fatal task"}).post([] { throw std::runtime_error("nobody to tell"); });
        pool.shutdown();
      },
      "exception of a posted function.*fatal task.*nobody to tell");
}

}  // namespace
