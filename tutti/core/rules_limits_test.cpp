// Timeouts and retries.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>

namespace {

using namespace std::chrono_literals;
using tutti::thread_pool;
using tutti_test::held_pool;
using tutti_test::until_stopped;

// ---- timeouts

TEST(rules_timeout, fails_the_future_at_once_and_drops_the_result) {
  tutti::virtual_clock clock;
  std::latch started(1), gate(1);
  std::atomic<bool> ended{false};
  bool was_stopped = false;
  thread_pool pool{1};
  auto f = pool.with({.timeout = 10s}).submit([&] {
    EXPECT_EQ(tutti::this_task::deadline(), tutti::now() + 10s);
    started.count_down();
    gate.wait();
    was_stopped = tutti::this_task::stop_requested();
    ended = true;
    return 1;
  });
  started.wait();
  clock.advance(9s);
  EXPECT_FALSE(f.done());
  clock.advance(2s);
  EXPECT_THROW(f.get(), tutti::timed_out);  // while the task still runs
  EXPECT_FALSE(ended);
  gate.count_down();
  pool.shutdown();
  EXPECT_TRUE(ended);
  EXPECT_TRUE(was_stopped);
}

TEST(rules_timeout, the_error_names_the_task_and_the_limit) {
  tutti::virtual_clock clock;
  const auto text_of = [&](const tutti::call_options& options) {
    std::latch started(1);
    thread_pool pool{1};
    auto f = pool.with(options).submit([&] {
      started.count_down();
      until_stopped();
    });
    started.wait();
    clock.advance(1s);
    try {
      f.get();
    } catch (const tutti::timed_out& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(text_of({.name = "load", .timeout = 20ms}), "task \"load\" ran longer than its timeout of 20 ms");
  EXPECT_EQ(text_of({.timeout = 1500us}), "a task without a name ran longer than its timeout of 1.5 ms");
}

TEST(rules_timeout, counts_from_the_start_of_execution) {
  tutti::virtual_clock clock;
  held_pool b;
  auto f = b.pool.with({.timeout = 1s}).submit([] { return 1; });
  clock.advance(1h);  // in the queue
  b.open();
  EXPECT_EQ(f.get(), 1);
}

TEST(rules_timeout, a_result_in_time_counts) {
  tutti::virtual_clock clock;
  thread_pool pool{1};
  auto f = pool.with({.timeout = 1s}).submit([] { return 1; });
  f.wait();
  clock.advance(1h);
  EXPECT_EQ(f.get(), 1);
}

TEST(rules_timeout, holds_when_the_waiter_runs_the_task_itself) {
  tutti::virtual_clock clock;
  std::latch started(1);
  thread_pool pool{1};
  auto f = pool.submit([&] {
    auto inner = pool.with({.timeout = 1s}).submit([&] {
      started.count_down();
      until_stopped();  // the timeout asks
      return 1;
    });
    EXPECT_THROW(inner.get(), tutti::timed_out);
  });
  started.wait();
  clock.advance(2s);
  f.get();
}

TEST(rules_timeout, a_late_error_is_dropped_too) {
  const tutti_test::unhandled_counter counter;
  {
    tutti::virtual_clock clock;
    std::latch started(1), gate(1);
    thread_pool pool{1};  // it ends first: the function runs on after its limit
    auto f = pool.with({.timeout = 1s}).submit([&] {
      started.count_down();
      gate.wait();
      throw std::runtime_error("too late");
    });
    started.wait();
    clock.advance(2s);
    EXPECT_THROW(f.get(), tutti::timed_out);
    gate.count_down();
  }
  EXPECT_EQ(counter.all(), 0);
}

// ---- retries

struct flaky : tutti::retryable {
  using retryable::retryable;
};

TEST(rules_retries, run_again_after_what_is_retryable) {
  std::atomic<int> runs{0};
  thread_pool pool{1};
  EXPECT_EQ(pool.with({.retries = 3}).submit([&] { return ++runs < 4 ? throw flaky("again") : 5; }).get(), 5);
  EXPECT_EQ(runs, 4);
  runs = 0;
  EXPECT_THROW(pool.with({.retries = 2}).submit([&] { ++runs, throw flaky("again"); }).get(), flaky);
  EXPECT_EQ(runs, 3);
  runs = 0;
  EXPECT_THROW(pool.with({.retries = 2}).submit([&] { ++runs, throw tutti::worker_lost("gone"); }).get(),
               tutti::worker_lost);
  EXPECT_EQ(runs, 3);
}

TEST(rules_retries, not_after_anything_else) {
  std::atomic<int> runs{0};
  thread_pool pool{1};
  EXPECT_THROW(pool.with({.retries = 5}).submit([&] { ++runs, throw std::runtime_error("no"); }).get(),
               std::runtime_error);
  EXPECT_EQ(runs, 1);
  runs = 0;
  EXPECT_THROW(pool.with({.retries = 5}).submit([&] { ++runs, throw tutti::cancelled("no"); }).get(), tutti::cancelled);
  EXPECT_EQ(runs, 1);
  runs = 0;
  EXPECT_THROW(pool.submit([&] { ++runs, throw flaky("none left"); }).get(), flaky);
  EXPECT_EQ(runs, 1);
}

TEST(rules_retries, not_once_cancelled) {
  std::atomic<int> runs{0};
  std::latch started(1);
  thread_pool pool{1};
  auto f = pool.with({.retries = 1'000'000'000}).submit([&] {
    if (++runs == 1) started.count_down();
    until_stopped();
    throw flaky("again");
  });
  started.wait();
  f.cancel();
  EXPECT_ANY_THROW(f.get());
  pool.shutdown();
  EXPECT_EQ(runs, 1);
}

TEST(rules_retries, not_once_the_pool_is_cancelled) {
  std::atomic<int> runs{0};
  std::latch started(1);
  thread_pool pool{1};
  auto f = pool.with({.retries = 1000}).submit([&] {
    if (++runs == 1) started.count_down();
    until_stopped();
    throw flaky("again");
  });
  started.wait();
  pool.shutdown(tutti::cancel);
  EXPECT_ANY_THROW(f.get());
  EXPECT_EQ(runs, 1);
}

std::atomic<int> take_calls{0};
std::string take(std::string text, int fail_until) {
  if (++take_calls < fail_until) throw flaky("again");
  return text;
}

TEST(rules_retries, arguments_are_whole_each_time) {
  take_calls = 0;
  thread_pool pool{1};
  EXPECT_EQ((pool.with({.retries = 3}).submit<take>(std::string(100, 'a'), 3).get()), std::string(100, 'a'));
}

int use_up(std::unique_ptr<int> n) { return *n; }

TEST(rules_retries, need_arguments_that_can_be_copied) {
  thread_pool pool{1};
  EXPECT_THROW(static_cast<void>(pool.with({.retries = 1}).submit<use_up>(std::make_unique<int>(1))),
               std::invalid_argument);
  EXPECT_EQ(pool.submit<use_up>(std::make_unique<int>(1)).get(), 1);
}

}  // namespace
