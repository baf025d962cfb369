// stall_watch: a coroutine that blocks its worker is reported by name; one that waits is not.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/base/log.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::stall_watch;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::until;
using tutti_test::watchdog;

// What was reported.
std::mutex mutex;
std::vector<std::string> names;

struct stalls : testing::Test {
  const watchdog dog;
  stalls() {
    const std::lock_guard lock(mutex);
    names.clear();
  }
  static void note(const tutti::stall& report) {
    const std::lock_guard lock(mutex);
    names.emplace_back(report.task);
  }
  static bool reported(const std::string& name) {
    const std::lock_guard lock(mutex);
    for (const auto& one : names) {
      if (one == name) return true;
    }
    return false;
  }
};

TEST_F(stalls, who_blocks_is_named) {
  const stall_watch watch({.limit = 1ms}, note);
  thread_pool pool(1);
  auto blocking = []() -> task<> {
    co_await yield_now();
    until([] { return reported("the blocker"); });  // as a blocking call would
  };
  pool.with({.name = "the blocker"}).submit(blocking()).get();
  EXPECT_TRUE(reported("the blocker"));
}

TEST_F(stalls, in_a_blocking_wait) {
  const stall_watch watch({.limit = 1ms}, note);
  thread_pool pool(1), other(1);
  auto blocking = [&]() -> task<> {
    co_await yield_now();
    other.submit([] { until([] { return reported("the one that waits"); }); }).get();
  };
  pool.with({.name = "the one that waits"}).submit(blocking()).get();
}

TEST_F(stalls, in_something_it_awaits) {
  const stall_watch watch({.limit = 1ms}, note);
  thread_pool pool(1);
  auto inner = []() -> task<> {
    until([] { return reported("the outer one"); });
    co_return;
  };
  auto outer = [&]() -> task<> {
    co_await yield_now();
    co_await inner();
  };
  pool.with({.name = "the outer one"}).submit(outer()).get();
}

TEST_F(stalls, who_waits_properly_is_not) {
  const stall_watch watch({.limit = 1ms}, note);
  thread_pool pool(2);
  auto waiting = [&]() -> task<> { co_await tutti_test::sleep_for_ever(); };
  auto f = pool.with({.name = "the sleeper"}).submit(waiting());
  // Until somebody else has been found blocking, twice: by then the sleeper would have been, too.
  for (const std::string name : {"first", "second"}) {
    auto blocking = [&]() -> task<> {
      until([&] { return reported(name); });
      co_return;
    };
    pool.with({.name = name}).submit(blocking()).get();
  }
  EXPECT_FALSE(reported("the sleeper"));
  f.cancel();
  EXPECT_EQ(tutti_test::end_of_future(std::move(f)), "cancelled");
}

TEST_F(stalls, nothing_is_reported_within_the_limit) {
  const stall_watch watch({.limit = 1h}, note);
  thread_pool pool(2);
  std::vector<tutti::future<int>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(pool.submit(tutti_test::give_later(i)));
  for (auto& f : all) f.get();
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(names.empty());
}

TEST_F(stalls, comes_and_goes) {
  for (int i = 0; i < 20; ++i) {
    thread_pool pool(1);
    auto f = pool.submit(tutti_test::give_later(i));
    {
      const stall_watch watch({.limit = 1ms}, note);
      EXPECT_EQ(f.get(), i);
    }
    EXPECT_EQ(pool.submit(tutti_test::give_later(i)).get(), i);
  }
}

TEST_F(stalls, a_report_says_where_for_how_long_and_in_what) {
  std::atomic<bool> seen{false};
  tutti::stall found;
  thread_pool pool({.threads = 1, .name = "stalling"});
  tutti::promise<void> p;
  const auto blocking = [&]() -> task<> {
    p.get_future().get();
    co_return;
  };
  auto blocked = pool.with({.name = "the getter"}).submit(blocking());
  // A stretch is reported once: it must wait before anybody looks.
  until([] {
    std::ostringstream text;
    tutti::dump(text);
    return text.str().find("in task the getter waits in future") != std::string::npos;
  });
  {
    const stall_watch watch({.limit = 1ms}, [&](const tutti::stall& report) {
      if (seen) return;
      found = report;
      seen = true;
    });
    until([&] { return seen.load(); });
  }
  p.set_value();
  blocked.get();
  EXPECT_EQ(found.task, "the getter");
  EXPECT_EQ(found.pool, "stalling");
  EXPECT_EQ(found.worker, 0U);
  EXPECT_GE(found.held, 1ms);
  EXPECT_NE(found.waits_in.find("future"), std::string::npos) << found.waits_in;
  EXPECT_NE(found.waits_in.find("stall_watch_test.cpp"), std::string::npos) << found.waits_in;
}

TEST_F(stalls, each_stretch_once) {
  std::atomic<int> reports{0}, others{0};
  const stall_watch watch({.limit = 1ms},
                          [&](const tutti::stall& report) { ++(report.task == "the counted one" ? reports : others); });
  thread_pool pool(2);
  const auto blocks_until_others_are_reported = [&]() -> task<> {
    // Long enough to be looked at many more times: until another that begins later has been reported, again and again.
    until([&] { return reports > 0; });
    for (int i = 0; i < 5; ++i) {
      const int before = others;
      auto f = pool.with({.name = "another"}).submit([&]() -> task<> {
        until([&] { return others > before; });
        co_return;
      });
      until([&] { return f.done(); });
      f.get();
    }
    co_return;
  };
  pool.with({.name = "the counted one"}).submit(blocks_until_others_are_reported()).get();
  EXPECT_EQ(reports, 1);
}

TEST_F(stalls, ordinary_calls_may_take_their_time) {
  const stall_watch watch({.limit = 1ms}, note);
  std::atomic<bool> over{false};
  thread_pool pool(2);
  auto f = pool.with({.name = "a call"}).submit([&] { until([&] { return over.load(); }); });
  auto blocking = []() -> task<> {
    until([] { return reported("a coroutine"); });
    co_return;
  };
  pool.with({.name = "a coroutine"}).submit(blocking()).get();
  over = true;
  f.get();
  EXPECT_FALSE(reported("a call"));
}

TEST_F(stalls, a_limit_that_is_none_is_an_error) {
  EXPECT_THROW(stall_watch({.limit = 0ms}), std::invalid_argument);
  EXPECT_THROW(stall_watch({.limit = -1ms}), std::invalid_argument);
}

TEST_F(stalls, writes_to_the_log_by_default) {
  const tutti::log_capture log;
  const stall_watch watch({.limit = 1ms});
  thread_pool pool(1);
  auto blocking = [&]() -> task<> {
    until([&] { return log.contains("the logged one"); });
    co_return;
  };
  pool.with({.name = "the logged one"}).submit(blocking()).get();
}

}  // namespace
