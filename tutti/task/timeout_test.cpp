// with_timeout: the result in time, or timed_out after the end of what took too long.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::future;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::with_timeout;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::give;
using tutti_test::give_after;
using tutti_test::give_later;
using tutti_test::live_for_ever;
using tutti_test::live_until_stopped_and;
using tutti_test::sleep_for_ever;
using tutti_test::sleeper;

using timeout = tutti_test::virtual_time;

TEST_F(timeout, results_in_time) {
  auto body = []() -> task<> {
    const int a = co_await with_timeout(give(1), 1s);
    const int b = co_await with_timeout(give_later(2), 1s);
    const int c = co_await with_timeout(give_after(999ms, 3), 1s);
    EXPECT_EQ(a + b + c, 6);
    const auto owned = co_await with_timeout(give_later(std::make_unique<int>(4)), 1s);
    EXPECT_EQ(*owned, 4);
    co_await with_timeout(sleeper(1ms), 1s);
    const std::string end = co_await end_of([] { return with_timeout(tutti_test::fail_after(1ms, "told"), 1s); });
    EXPECT_EQ(end, "told");
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1001ms);
}

TEST_F(timeout, too_late) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return with_timeout(live_for_ever(alive), 2s); });
    EXPECT_EQ(end, "timed_out");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 2s);
    EXPECT_FALSE(tutti::this_task::stop_requested()) << "only what took too long was stopped";
    co_await sleep_for(1s);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 3s);
}

TEST_F(timeout, its_end_is_awaited) {
  std::atomic<int> alive{0};
  const auto too_long = [&]() -> task<> {
    co_await live_until_stopped_and(alive, 3s);
    throw tutti::cancelled("after cleaning up");
  };
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return with_timeout(too_long(), 2s); });
    EXPECT_EQ(end, "timed_out");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 5s);
  };
  sync_wait(body());
}

TEST_F(timeout, a_result_that_came_all_the_same) {
  const auto stubborn = []() -> task<int> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    co_return 7;
  };
  auto body = [&]() -> task<> {
    const int n = co_await with_timeout(stubborn(), 2s);
    EXPECT_EQ(n, 7);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 2s);
}

TEST_F(timeout, an_error_on_the_way_out_is_not_lost) {
  const tutti_test::unhandled_counter counter;
  const auto failing = []() -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    throw std::runtime_error("while cleaning up");
  };
  std::string end;
  auto body = [&]() -> task<> { end = co_await end_of([&] { return with_timeout(failing(), 2s); }); };
  sync_wait(body());
  EXPECT_EQ((std::pair(end, counter.all())), (std::pair(std::string("while cleaning up"), 0)));
}

TEST_F(timeout, of_futures) {
  tutti::promise<int> in_time, never;
  auto first = in_time.get_future(), second = never.get_future();
  tutti::thread_pool pool(1);
  auto body = [&]() -> task<> {
    auto setter = tutti::call_later(500ms, [&] { in_time.set_value(3); });
    const int n = co_await with_timeout(std::move(first), 1s);
    EXPECT_EQ(n, 3);
    const std::string end = co_await end_of([&] { return with_timeout(std::move(second), 1s); });
    EXPECT_EQ(end, "timed_out");
    EXPECT_TRUE(never.stop_requested());
    auto call = pool.submit(give_later(4));
    const int called = co_await with_timeout(std::move(call), 1s);
    EXPECT_EQ(called, 4);
    auto slow = pool.submit(sleep_for_ever());
    const std::string of_task = co_await end_of([&] { return with_timeout(std::move(slow), 1s); });
    EXPECT_EQ(of_task, "timed_out");
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 2500ms);
}

TEST_F(timeout, zero_and_less) {
  const auto limits = {nanoseconds(0), nanoseconds(-1), nanoseconds(-1h), nanoseconds::min()};
  for (const nanoseconds limit : limits) {
    std::atomic<int> alive{0};
    auto body = [&]() -> task<std::string> {
      co_return co_await end_of([&] { return with_timeout(live_for_ever(alive), limit); });
    };
    EXPECT_EQ(sync_wait(body()), "timed_out");
    EXPECT_EQ(alive, 0);
  }
  EXPECT_EQ(passed(), 0s);
}

TEST_F(timeout, huge) {
  auto body = []() -> task<> {
    const int a = co_await with_timeout(give_after(1h, 1), nanoseconds::max());
    const int b = co_await with_timeout(give_after(1h, 2), std::chrono::hours::max());
    const int c = co_await with_timeout(give_after(1h, 3), std::chrono::hours(24 * 365 * 1000));
    EXPECT_EQ(a + b + c, 6);
    auto f = spawn(with_timeout(sleep_for_ever(), nanoseconds::max()));
    co_await sleep_for(std::chrono::hours(24 * 365 * 100));
    EXPECT_FALSE(f.done());
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
  };
  sync_wait(body());
}

TEST_F(timeout, nested_ones) {
  // What the outer limit ends is stopped for the inner one, not timed out.
  std::string seen_inside;
  const auto inner = [&]() -> task<> {
    seen_inside = co_await end_of([] { return with_timeout(sleep_for_ever(), 10s); });
    if (seen_inside == "cancelled") throw tutti::cancelled("passed on");
  };
  auto body = [&]() -> task<> {
    const std::string outer_first = co_await end_of([&] { return with_timeout(inner(), 2s); });
    EXPECT_EQ(outer_first, "timed_out");
    EXPECT_EQ(seen_inside, "cancelled");
    EXPECT_EQ(passed(), 2s);
    const std::string inner_first = co_await end_of([&] { return with_timeout(inner(), 100s); });
    EXPECT_EQ(inner_first, "value");
    EXPECT_EQ(seen_inside, "timed_out");
    EXPECT_EQ(passed(), 12s);
  };
  sync_wait(body());
}

TEST_F(timeout, a_stop_of_the_caller_is_no_timeout) {
  std::atomic<int> alive{0};
  auto waiting = [&]() -> task<> { co_await with_timeout(live_for_ever(alive), 10s); };
  auto body = [&]() -> task<> {
    auto f = spawn(waiting());
    co_await sleep_for(1s);
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 1s);
  };
  sync_wait(body());
}

TEST_F(timeout, tells_the_deadline_inside) {
  const auto inside = []() -> task<std::optional<std::chrono::steady_clock::time_point>> {
    co_await yield_now();
    co_return tutti::this_task::deadline();
  };
  auto body = [&]() -> task<> {
    co_await sleep_for(1s);
    const auto deadline = co_await with_timeout(inside(), 5s);
    EXPECT_EQ(deadline, start + 6s);
    EXPECT_FALSE(tutti::this_task::deadline().has_value());
  };
  sync_wait(body());
}

TEST_F(timeout, counts_from_the_start_of_execution) {
  auto body = []() -> task<> {
    auto made_early = with_timeout(give_after(2s, 1), 3s);
    co_await sleep_for(10s);
    const int n = co_await std::move(made_early);
    EXPECT_EQ(n, 1);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 12s);
}

TEST_F(timeout, leaves_no_timer_behind) {
  auto body = []() -> task<> {
    for (int i = 0; i < 10'000; ++i) co_await with_timeout(give_later(1), 1h);
    co_await sleep_for(1s);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(timeout, ten_thousand_at_once) {
  auto body = []() -> task<> {
    std::vector<task<>> all;
    std::atomic<int> late{0};
    auto one = [&](int i) -> task<> {
      const std::string end = co_await end_of([&] { return with_timeout(sleeper(i * 1ms), 5s); });
      if (end == "timed_out") ++late;
    };
    for (int i = 1; i <= 10'000; ++i) all.push_back(one(i));
    co_await tutti::when_all(std::move(all));
    EXPECT_GE(late, 5000);
    EXPECT_LE(late, 5001) << "at the very moment, either";
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 5s);
}

TEST_F(timeout, never_awaited) {
  std::atomic<int> alive{0};
  auto body = [&](tutti_test::living) -> task<> { co_return; };
  {
    auto t = with_timeout(body(tutti_test::living(alive)), 1s);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

// A deadline for several, the slow one named.
TEST_F(timeout, a_budget_for_a_fan_out) {
  auto fetch = [](std::string name, nanoseconds takes) -> task<std::string> {
    co_await sleep_for(takes);
    co_return name;
  };
  auto body = [&]() -> task<std::vector<std::string>> {
    std::vector<task<std::string>> all;
    all.push_back(with_timeout(fetch("a", 1s), 5s));
    all.push_back(with_timeout(fetch("slow", 9s), 5s));
    all.push_back(with_timeout(fetch("b", 4s), 5s));
    const auto outcomes = co_await tutti::when_all_settled(std::move(all));
    std::vector<std::string> in_time;
    for (const auto& outcome : outcomes) in_time.push_back(outcome.has_value() ? outcome.value() : "late");
    co_return in_time;
  };
  EXPECT_EQ(sync_wait(body()), (std::vector<std::string>{"a", "late", "b"}));
  EXPECT_EQ(passed(), 5s);
}

}  // namespace
