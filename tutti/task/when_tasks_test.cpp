// when_all, when_all_settled and when_any over tasks: results in order, the first error, nobody left behind.
#include <gtest/gtest.h>

#include <atomic>
#include <concepts>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::when_all;
using tutti::when_all_settled;
using tutti::when_any;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::fail_after;
using tutti_test::give;
using tutti_test::give_after;
using tutti_test::give_later;
using tutti_test::live_for_ever;
using tutti_test::live_until_stopped_and;
using tutti_test::living;
using tutti_test::nothing;
using tutti_test::sleep_for_ever;
using tutti_test::sleeper;
using tutti_test::unhandled_counter;

using when_tasks = tutti_test::virtual_time;

template <class T>
using awaited = decltype(sync_wait(std::declval<T>()));
static_assert(
    std::same_as<awaited<decltype(when_all(give(1), nothing(), give(2.0)))>, std::tuple<int, std::monostate, double>>);
static_assert(std::same_as<awaited<decltype(when_all(nothing(), nothing()))>, void>);
static_assert(std::same_as<awaited<decltype(when_all(std::declval<std::vector<task<int>>>()))>, std::vector<int>>);
static_assert(std::same_as<awaited<decltype(when_all(std::declval<std::vector<task<>>>()))>, void>);
static_assert(std::same_as<awaited<decltype(when_any(give(1), nothing()))>,
                           tutti::first_done<std::variant<int, std::monostate>>>);
static_assert(
    std::same_as<awaited<decltype(when_any(std::declval<std::vector<task<int>>>()))>, tutti::first_done<int>>);

// ---- when_all

TEST_F(when_tasks, results_in_the_order_of_the_arguments) {
  auto body = []() -> task<> {
    auto all = co_await when_all(give_after(2s, 1), give(std::string("two")), nothing(), give_later(4.0));
    EXPECT_EQ(std::get<0>(all), 1);
    EXPECT_EQ(std::get<1>(all), "two");
    EXPECT_EQ(std::get<3>(all), 4.0);
    auto [a, b] = co_await when_all(give_after(1s, 5), give(std::make_unique<int>(6)));
    EXPECT_EQ(a + *b, 11);
    const auto one = co_await when_all(give(7));
    EXPECT_EQ(std::get<0>(one), 7);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 3s);
}

TEST_F(when_tasks, results_in_the_order_of_the_range) {
  auto body = []() -> task<> {
    std::vector<task<int>> all;
    for (int i = 0; i < 100; ++i) all.push_back(i % 3 == 0 ? give(i) : give_after((100 - i) * 1ms, i));
    const std::vector<int> results = co_await when_all(std::move(all));
    EXPECT_EQ(results.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i);
    std::vector<task<std::unique_ptr<int>>> owned;
    for (int i = 0; i < 3; ++i) owned.push_back(give_later(std::make_unique<int>(i)));
    const auto pointers = co_await when_all(std::move(owned));
    EXPECT_EQ(*pointers[2], 2);
    std::vector<task<bool>> flags;  // vector<bool> is a trap of its own
    for (int i = 0; i < 3; ++i) flags.push_back(give_later(i == 1));
    const std::vector<bool> set = co_await when_all(std::move(flags));
    EXPECT_EQ(set, (std::vector{false, true, false}));
  };
  sync_wait(body());
}

TEST_F(when_tasks, of_a_lazy_range) {
  auto body = []() -> task<> {
    int made = 0;
    const auto make = [&](int i) {
      ++made;
      return give_later(i * i);
    };
    const std::vector<int> squares = co_await when_all(std::views::iota(1, 6) | std::views::transform(make));
    EXPECT_EQ(squares, (std::vector{1, 4, 9, 16, 25}));
    EXPECT_EQ(made, 5);
  };
  sync_wait(body());
}

TEST_F(when_tasks, of_nothing) {
  auto body = []() -> task<> {
    const std::vector<int> none = co_await when_all(std::vector<task<int>>());
    EXPECT_TRUE(none.empty());
    co_await when_all(std::vector<task<>>());
    const auto settled = co_await when_all_settled(std::vector<task<int>>());
    EXPECT_TRUE(settled.empty());
  };
  sync_wait(body());
}

TEST_F(when_tasks, they_interleave_on_the_caller_s_thread) {
  const auto here = std::this_thread::get_id();
  std::string order;
  auto part = [&](char c) -> task<> {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(std::this_thread::get_id(), here);
      order += c;
      co_await yield_now();
    }
  };
  auto body = [&]() -> task<> { co_await when_all(part('a'), part('b'), part('c')); };
  sync_wait(body());
  EXPECT_EQ(order, "abcabcabc");
}

TEST_F(when_tasks, nothing_runs_before_the_await) {
  std::atomic<int> alive{0};
  bool ran = false;
  auto part = [&](living) -> task<> {
    ran = true;
    co_return;
  };
  {
    auto both = when_all(part(living(alive)), part(living(alive)));
    std::vector<task<>> more;
    more.push_back(part(living(alive)));
    auto range = when_any(std::move(more));
    EXPECT_EQ(alive, 3);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(ran);
}

TEST_F(when_tasks, the_first_error_stops_the_others_and_waits_for_them) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string at_once = co_await end_of(
        [&] { return when_all(live_for_ever(alive), fail_after(1s, "the first"), live_for_ever(alive)); });
    EXPECT_EQ(at_once, "the first");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 1s);
    const std::string slowly = co_await end_of(
        [&] { return when_all(live_until_stopped_and(alive, 3s), fail_after(1s, "the second"), give(1)); });
    EXPECT_EQ(slowly, "the second");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 5s);
    std::vector<task<int>> range;
    for (int i = 0; i < 5; ++i) range.push_back(give_after(1h, i));
    auto fails = []() -> task<int> {
      co_await sleep_for(1s);
      throw std::runtime_error("in a range");
    };
    range.push_back(fails());
    const std::string in_range = co_await end_of([&] { return when_all(std::move(range)); });
    EXPECT_EQ(in_range, "in a range");
    EXPECT_EQ(passed(), 6s);
  };
  sync_wait(body());
}

TEST_F(when_tasks, the_first_in_time_counts_and_the_rest_go_to_on_unhandled) {
  const unhandled_counter counter;
  auto stubborn = [](nanoseconds cleanup, std::string text) -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    co_await tutti::shield(sleeper(cleanup));
    throw std::runtime_error(text);
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of(
        [&] { return when_all(stubborn(1s, "later"), stubborn(2s, "last"), fail_after(1s, "first")); });
  };
  EXPECT_EQ(sync_wait(body()), "first");
  EXPECT_EQ(counter.all(), 2);
}

TEST_F(when_tasks, an_error_before_the_others_have_begun) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string end =
        co_await end_of([&] { return when_all(tutti_test::fail("at once"), live_for_ever(alive), sleeper(1h)); });
    EXPECT_EQ(end, "at once");
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

TEST_F(when_tasks, one_that_cancels_itself_is_an_error_like_others) {
  auto gives_up = []() -> task<> {
    co_await yield_now();
    throw tutti::cancelled("gives up");
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] { return when_all(gives_up(), sleep_for_ever()); });
  };
  EXPECT_EQ(sync_wait(body()), "cancelled");
  EXPECT_EQ(passed(), 0s);
}

TEST_F(when_tasks, a_hundred_thousand) {
  auto body = []() -> task<> {
    for (int how = 0; how < 3; ++how) {
      std::vector<task<int>> all;
      for (int i = 0; i < 100'000; ++i) {
        all.push_back(how == 0 ? give(i) : how == 1 ? give_later(i) : give_after((i % 100) * 1ms, i));
      }
      const std::vector<int> results = co_await when_all(std::move(all));
      std::int64_t sum = 0;
      for (const int n : results) sum += n;
      EXPECT_EQ(sum, std::int64_t{100'000} * 99'999 / 2);
    }
  };
  sync_wait(body());
  tutti::thread_pool pool(2);
  pool.submit([&] { sync_wait(body()); }).get();
}

TEST_F(when_tasks, on_a_pool) {
  tutti::thread_pool pool(2);
  auto body = []() -> task<std::int64_t> {
    std::vector<task<int>> all;
    for (int i = 0; i < 10'000; ++i) all.push_back(give_later(i));
    std::int64_t sum = 0;
    for (const int n : co_await when_all(std::move(all))) sum += n;
    co_return sum;
  };
  EXPECT_EQ(pool.submit(body()).get(), 10'000 * 9'999 / 2);
}

TEST_F(when_tasks, nested_deeply) {
  struct tree {
    static task<int> sum(int depth) {
      if (depth == 0) co_return co_await give_later(1);
      auto both = co_await when_all(sum(depth - 1), sum(depth - 1));
      co_return std::get<0>(both) + std::get<1>(both);
    }
    static task<int> line(int depth) {
      if (depth == 0) co_return 0;
      auto one = co_await when_all(line(depth - 1));
      co_return std::get<0>(one) + 1;
    }
  };
  EXPECT_EQ(sync_wait(tree::sum(10)), 1024);
  EXPECT_EQ(sync_wait(tree::line(10'000)), 10'000);
}

TEST_F(when_tasks, with_futures_among_them) {
  tutti::thread_pool pool(1);
  auto as_task = [](tutti::future<int> f) -> task<int> { co_return co_await std::move(f); };
  auto body = [&]() -> task<int> {
    auto call = pool.submit([] { return 1; });
    auto both = co_await when_all(as_task(std::move(call)), give_later(2));
    co_return std::get<0>(both) + std::get<1>(both);
  };
  EXPECT_EQ(sync_wait(body()), 3);
}

// ---- when_all_settled

TEST_F(when_tasks, settled_keeps_results_and_errors_apart) {
  auto body = []() -> task<> {
    auto all = co_await when_all_settled(give_after(1s, 1), fail_after(2s, "told"), give(std::make_unique<int>(3)),
                                         sleeper(3s));
    const auto& first = std::get<0>(all);
    EXPECT_TRUE(first.has_value());
    EXPECT_EQ(first.value(), 1);
    EXPECT_EQ(first.error(), nullptr);
    const auto& second = std::get<1>(all);
    EXPECT_FALSE(second.has_value());
    EXPECT_NE(second.error(), nullptr);
    EXPECT_EQ(tutti_test::kind_of(second.error()), "told");
    EXPECT_THROW(second.value(), std::runtime_error);
    auto owned = std::move(std::get<2>(all)).value();
    EXPECT_EQ(*owned, 3);
    EXPECT_TRUE(std::get<3>(all).has_value());
    std::get<3>(all).value();  // void, and no error
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 3s);
}

TEST_F(when_tasks, settled_of_a_range) {
  const unhandled_counter counter;
  auto maybe = [](int i) -> task<int> {
    co_await sleep_for(i * 1ms);
    if (i % 2 == 1) throw std::runtime_error(std::to_string(i));
    co_return i;
  };
  auto body = [&]() -> task<> {
    std::vector<task<int>> all;
    for (int i = 0; i < 10; ++i) all.push_back(maybe(i));
    const auto outcomes = co_await when_all_settled(std::move(all));
    EXPECT_EQ(outcomes.size(), 10U);
    for (int i = 0; i < 10; ++i) {
      const auto& outcome = outcomes[static_cast<std::size_t>(i)];
      EXPECT_EQ(outcome.has_value(), i % 2 == 0);
      if (outcome.has_value()) {
        EXPECT_EQ(outcome.value(), i);
      } else {
        EXPECT_EQ(tutti_test::kind_of(outcome.error()), std::to_string(i));
      }
    }
    std::vector<task<>> none_fails;
    none_fails.push_back(nothing());
    none_fails.push_back(fail_after(1s, "but this"));
    const auto of_void = co_await when_all_settled(std::move(none_fails));
    EXPECT_TRUE(of_void[0].has_value());
    EXPECT_FALSE(of_void[1].has_value());
  };
  sync_wait(body());
  EXPECT_EQ(counter.all(), 0) << "errors that were handed over are seen";
}

// ---- when_any

TEST_F(when_tasks, the_first_to_end_wins) {
  auto body = [&]() -> task<> {
    const auto first = co_await when_any(give_after(2s, 1), give_after(1s, std::string("one second")), sleeper(3s));
    EXPECT_EQ(first.index, 1U);
    EXPECT_EQ(std::get<1>(first.value), "one second");
    EXPECT_EQ(passed(), 1s) << "the losers were stopped";
    const auto of_void = co_await when_any(sleep_for_ever(), nothing());
    EXPECT_EQ(of_void.index, 1U);
    EXPECT_EQ(of_void.value.index(), 1U);
    const auto same_type = co_await when_any(give_after(2s, 1), give_after(1s, 2));
    EXPECT_EQ(same_type.index, 1U);
    EXPECT_EQ(std::get<1>(same_type.value), 2);
    const auto alone = co_await when_any(give(std::make_unique<int>(4)));
    EXPECT_EQ(*std::get<0>(alone.value), 4);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 2s);
}

TEST_F(when_tasks, the_first_of_a_range) {
  auto body = []() -> task<> {
    std::vector<task<int>> all;
    for (int i = 0; i < 100; ++i) all.push_back(give_after((100 - i) * 1s, i));
    const auto first = co_await when_any(std::move(all));
    EXPECT_EQ(first.index, 99U);
    EXPECT_EQ(first.value, 99);
    std::vector<task<>> of_void;
    of_void.push_back(sleep_for_ever());
    of_void.push_back(sleeper(1s));
    const auto second = co_await when_any(std::move(of_void));
    EXPECT_EQ(second.index, 1U);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 2s);
}

TEST_F(when_tasks, of_those_that_are_ready_the_earliest_argument) {
  auto body = []() -> task<> {
    const auto first = co_await when_any(give(1), give(2), give(3));
    EXPECT_EQ(first.index, 0U);
    const auto second = co_await when_any(sleep_for_ever(), give_later(2), give_later(3));
    EXPECT_EQ(second.index, 1U);
  };
  sync_wait(body());
}

TEST_F(when_tasks, the_first_of_none_is_an_error) {
  auto body = []() -> task<std::string> {
    co_return co_await end_of([] { return when_any(std::vector<task<int>>()); });
  };
  EXPECT_EQ(sync_wait(body()), "invalid_argument");
}

TEST_F(when_tasks, losers_are_stopped_and_awaited) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const auto first = co_await when_any(live_for_ever(alive), live_until_stopped_and(alive, 3s), sleeper(1s));
    EXPECT_EQ(first.index, 2U);
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 4s);
  };
  sync_wait(body());
}

TEST_F(when_tasks, an_error_may_come_first) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return when_any(live_for_ever(alive), fail_after(1s, "first")); });
    EXPECT_EQ(end, "first");
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(when_tasks, an_error_of_a_loser_reaches_on_unhandled) {
  const unhandled_counter counter;
  auto stubborn = []() -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    throw std::runtime_error("lost");
  };
  auto body = [&]() -> task<std::size_t> {
    const auto first = co_await when_any(stubborn(), sleeper(1s));
    co_return first.index;
  };
  EXPECT_EQ(sync_wait(body()), 1U);
  EXPECT_EQ(counter.of(tutti::unhandled_origin::sibling), 1);
  EXPECT_EQ(counter.all(), 1);
}

TEST_F(when_tasks, a_loser_that_has_a_result_too_is_dropped) {
  std::atomic<int> alive{0};
  auto stubborn = [&]() -> task<living> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    co_return living(alive);
  };
  auto body = [&]() -> task<> {
    const auto first = co_await when_any(stubborn(), give_after(1s, 2));
    EXPECT_EQ(first.index, 1U);
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
}

TEST_F(when_tasks, any_of_alls_of_anys) {
  auto body = []() -> task<> {
    auto slow = when_all(give_after(3s, 1), give_after(4s, 2));
    auto fast = when_all(when_any(give_after(1s, 3), sleep_for_ever()), give_after(2s, 4));
    const auto first = co_await when_any(std::move(slow), std::move(fast));
    EXPECT_EQ(first.index, 1U);
    EXPECT_EQ(std::get<1>(std::get<1>(first.value)), 4);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 2s);
}

TEST_F(when_tasks, ten_thousand_races) {
  tutti::thread_pool pool(2);
  auto body = []() -> task<int> {
    int sum = 0;
    for (int i = 0; i < 10'000; ++i) {
      const auto first = co_await when_any(give_later(1), give_later(1), sleep_for_ever());
      sum += first.index < 2 ? 1 : 0;
    }
    co_return sum;
  };
  EXPECT_EQ(pool.submit(body()).get(), 10'000);
}

}  // namespace
