// async_generator: values that have to be waited for, one after the other.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::async_generator;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::living;

using async_values = tutti_test::virtual_time;

static_assert(!std::is_copy_constructible_v<async_generator<int>>);
static_assert(std::is_nothrow_move_constructible_v<async_generator<int>>);

async_generator<int> tick(int n, nanoseconds period) {
  for (int i = 0; i < n; ++i) {
    co_await sleep_for(period);
    co_yield i;
  }
}
async_generator<int> count(int n) {
  for (int i = 0; i < n; ++i) co_yield i;
}

TEST_F(async_values, come_in_order_and_end) {
  auto body = []() -> task<std::vector<int>> {
    std::vector<int> seen;
    auto ticks = tick(4, 1s);
    while (const auto n = co_await ticks.next()) seen.push_back(*n);
    const auto after = co_await ticks.next();
    EXPECT_FALSE(after.has_value()) << "over is over";
    co_return seen;
  };
  EXPECT_EQ(sync_wait(body()), (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(passed(), 4s);
}

TEST_F(async_values, with_and_without_waiting) {
  auto mixed = []() -> async_generator<std::string> {
    co_yield "at once";
    co_await yield_now();
    co_yield "after a turn";
    co_yield "at once again";
    co_await sleep_for(1s);
  };
  auto body = [&]() -> task<> {
    auto texts = mixed();
    const std::optional<std::string> first = co_await texts.next();
    EXPECT_EQ(first, "at once");
    const auto second = co_await texts.next();
    EXPECT_EQ(second, "after a turn");
    const auto third = co_await texts.next();
    EXPECT_EQ(third, "at once again");
    EXPECT_EQ(passed(), 0s);
    const auto end = co_await texts.next();
    EXPECT_FALSE(end.has_value());
    EXPECT_EQ(passed(), 1s);
  };
  sync_wait(body());
}

TEST_F(async_values, none) {
  auto body = []() -> task<> {
    auto none = count(0);
    const auto first = co_await none.next();
    EXPECT_FALSE(first.has_value());
  };
  sync_wait(body());
}

TEST_F(async_values, are_made_when_asked_for) {
  int made = 0;
  auto noting = [&]() -> async_generator<int> {
    for (;;) {
      ++made;
      co_await yield_now();
      co_yield made;
    }
  };
  auto body = [&]() -> task<> {
    auto numbers = noting();
    co_await sleep_for(1s);
    EXPECT_EQ(made, 0);
    for (int i = 1; i <= 3; ++i) {
      const auto n = co_await numbers.next();
      EXPECT_EQ(n, i);
      co_await sleep_for(1s);
      EXPECT_EQ(made, i);
    }
  };
  sync_wait(body());
}

TEST_F(async_values, that_only_move) {
  auto owned = []() -> async_generator<std::unique_ptr<int>> {
    for (int i = 0; i < 3; ++i) {
      auto p = std::make_unique<int>(i);
      co_await yield_now();
      co_yield std::move(p);
    }
  };
  auto body = [&]() -> task<int> {
    int sum = 0;
    auto pointers = owned();
    while (const auto p = co_await pointers.next()) sum += **p;
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), 3);
}

TEST_F(async_values, are_the_reader_s_to_keep) {
  auto texts = []() -> async_generator<std::string> {
    std::string text(50, 'a');
    for (int i = 0; i < 3; ++i) {
      co_yield text;
      text += text;
    }
  };
  auto body = [&]() -> task<> {
    std::vector<std::string> kept;
    {
      auto reading = texts();
      while (auto text = co_await reading.next()) kept.push_back(std::move(*text));
    }
    EXPECT_EQ(kept[0].size(), 50U);
    EXPECT_EQ(kept[1].size(), 100U);
    EXPECT_EQ(kept[2].size(), 200U);
  };
  sync_wait(body());
}

TEST_F(async_values, errors_come_where_they_are_awaited) {
  auto failing = [](int at, bool late) -> async_generator<int> {
    for (int i = 0;; ++i) {
      if (late) co_await yield_now();
      if (i == at) throw std::runtime_error("at " + std::to_string(i));
      co_yield i;
    }
  };
  auto body = [&]() -> task<> {
    for (const bool late : {false, true}) {
      for (const int at : {0, 2}) {
        auto numbers = failing(at, late);
        for (int i = 0; i < at; ++i) {
          const auto n = co_await numbers.next();
          EXPECT_EQ(n, i);
        }
        std::string error;
        try {
          static_cast<void>(co_await numbers.next());
        } catch (const std::runtime_error& e) {
          error = e.what();
        }
        EXPECT_EQ(error, "at " + std::to_string(at));
        const auto after = co_await numbers.next();
        EXPECT_FALSE(after.has_value()) << "after its error it is over";
      }
    }
  };
  sync_wait(body());
}

TEST_F(async_values, frees_what_it_holds_however_far_it_came) {
  std::atomic<int> alive{0};
  auto holding = [&](living) -> async_generator<int> {
    const living local(alive);
    co_yield 1;
    const living another(alive);
    co_await yield_now();
    co_yield 2;
  };
  auto body = [&]() -> task<> {
    {
      auto unread = holding(living(alive));
      EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    {
      auto half_read = holding(living(alive));
      static_cast<void>(co_await half_read.next());
      EXPECT_EQ(alive, 2);
    }
    EXPECT_EQ(alive, 0);
    {
      auto read = holding(living(alive));
      while (co_await read.next()) {
      }
    }
    EXPECT_EQ(alive, 0);
    {
      auto from = holding(living(alive));
      static_cast<void>(co_await from.next());
      auto to = std::move(from);
      const auto n = co_await to.next();
      EXPECT_EQ(n, 2);
    }
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
}

TEST_F(async_values, a_moved_from_one_is_a_logic_error) {
  auto body = []() -> task<std::string> {
    auto from = count(3);
    auto to = std::move(from);
    static_cast<void>(co_await to.next());
    std::string end = "value";
    try {
      static_cast<void>(co_await from.next());
    } catch (const std::logic_error&) {
      end = "logic_error";
    }
    co_return end;
  };
  EXPECT_EQ(sync_wait(body()), "logic_error");
}

TEST_F(async_values, a_chain_of_them) {
  auto doubled = [](async_generator<int> from) -> async_generator<int> {
    while (const auto n = co_await from.next()) {
      co_yield *n;
      co_yield *n;
    }
  };
  auto summed = [](async_generator<int> from) -> async_generator<int> {
    int sum = 0;
    while (const auto n = co_await from.next()) co_yield sum += *n;
  };
  auto body = [&]() -> task<std::vector<int>> {
    std::vector<int> seen;
    auto numbers = summed(doubled(tick(3, 1s)));
    while (const auto n = co_await numbers.next()) seen.push_back(*n);
    co_return seen;
  };
  EXPECT_EQ(sync_wait(body()), (std::vector{0, 0, 1, 2, 4, 6}));
  EXPECT_EQ(passed(), 3s);
}

TEST_F(async_values, through_a_thousand_generators) {
  auto plus_one = [](async_generator<int> from) -> async_generator<int> {
    while (const auto n = co_await from.next()) co_yield *n + 1;
  };
  auto body = [&]() -> task<> {
    for (const bool late : {false, true}) {
      auto numbers = late ? tick(3, 1s) : count(3);
      for (int i = 0; i < 1000; ++i) numbers = plus_one(std::move(numbers));
      for (int i = 0; i < 3; ++i) {
        const auto n = co_await numbers.next();
        EXPECT_EQ(n, 1000 + i);
      }
      const auto end = co_await numbers.next();
      EXPECT_FALSE(end.has_value());
    }
  };
  sync_wait(body());
}

TEST_F(async_values, a_million) {
  auto body = []() -> task<std::int64_t> {
    std::int64_t sum = 0;
    auto numbers = count(1'000'000);
    while (const auto n = co_await numbers.next()) sum += *n;
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), std::int64_t{1'000'000} * 999'999 / 2);
  tutti::thread_pool pool(2);
  EXPECT_EQ(pool.submit(body()).get(), std::int64_t{1'000'000} * 999'999 / 2);
}

TEST_F(async_values, awaits_in_it_are_the_reader_s_task) {
  tutti::thread_pool pool(1);
  auto names = [&]() -> async_generator<std::string> {
    for (int i = 0; i < 3; ++i) {
      auto f = pool.submit([] {});
      co_await std::move(f);
      co_yield std::string(tutti::this_task::name());
    }
  };
  std::vector<std::thread::id> threads;
  auto reader = [&]() -> task<> {
    auto reading = names();
    while (const auto name = co_await reading.next()) {
      EXPECT_EQ(*name, "the reader");
      threads.push_back(std::this_thread::get_id());
    }
  };
  auto body = [&]() -> task<> {
    auto f = spawn(reader(), {.name = "the reader"});
    co_await std::move(f);
  };
  sync_wait(body());
  EXPECT_EQ(threads, std::vector(3, std::this_thread::get_id()));
}

TEST_F(async_values, read_by_one_task_after_the_other) {
  auto numbers = count(6);
  auto some = [&](int n) -> task<int> {
    int sum = 0;
    for (int i = 0; i < n; ++i) sum += (co_await numbers.next()).value_or(0);
    co_return sum;
  };
  EXPECT_EQ(sync_wait(some(3)), 0 + 1 + 2);
  tutti::thread_pool pool(1);
  EXPECT_EQ(pool.submit(some(3)).get(), 3 + 4 + 5);
}

task<std::optional<int>> next_of(async_generator<int>& from) { co_return co_await from.next(); }

TEST_F(async_values, a_limit_for_each_value) {
  auto slower_and_slower = []() -> async_generator<int> {
    for (int i = 1;; ++i) {
      co_await sleep_for(i * 1s);
      co_yield i;
    }
  };
  auto body = [&]() -> task<int> {
    auto numbers = slower_and_slower();
    int last = 0;
    const std::string end = co_await end_of([&]() -> task<> {
      return [](async_generator<int>& from, int& to) -> task<> {
        for (;;) to = (co_await tutti::with_timeout(next_of(from), 3500ms)).value_or(-1);
      }(numbers, last);
    });
    EXPECT_EQ(end, "timed_out");
    co_return last;
  };
  EXPECT_EQ(sync_wait(body()), 3);
  EXPECT_EQ(passed(), 9500ms);
}

}  // namespace
