// for_each_async: every element once, never more than the limit at a time, read when needed.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <forward_list>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::for_each_async;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::living;
using tutti_test::sleeper;

class for_each : public tutti_test::virtual_time {
 protected:
  std::atomic<int> running{0}, most{0}, ran{0};

  // Work on one element, which notes how many are at it.
  task<> work(int i) {
    const living me(running);
    most = std::max(most.load(), running.load());
    co_await sleep_for((i % 7) * 1ms);
    most = std::max(most.load(), running.load());
    ++ran;
  }
};

TEST_F(for_each, every_element_within_the_limit) {
  std::vector<int> range(100);
  std::iota(range.begin(), range.end(), 0);
  for (const std::size_t limit : {1U, 2U, 7U, 100U, 1000U}) {
    ran = 0;
    most = 0;
    auto body = [&]() -> task<> { co_await for_each_async(range, limit, [this](int i) { return work(i); }); };
    sync_wait(body());
    EXPECT_EQ(ran, 100);
    EXPECT_EQ(most, static_cast<int>(std::min<std::size_t>(limit, 100))) << "all places are used";
    EXPECT_EQ(running, 0);
  }
}

TEST_F(for_each, the_next_begins_when_one_ends) {
  // Not in batches: three places, of which one is held for long.
  auto body = [&]() -> task<> {
    const std::vector<int> seconds{10, 1, 1, 1, 1, 1, 1};
    co_await for_each_async(seconds, 3, [](int n) { return tutti_test::sleeper(n * 1s); });
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 10s);
}

TEST_F(for_each, one_at_a_time_is_in_order) {
  std::vector<int> order;
  auto body = [&]() -> task<> {
    co_await for_each_async(std::views::iota(0, 20), 1, [&](int i) -> task<> {
      co_await sleep_for((20 - i) * 1ms);
      order.push_back(i);
    });
  };
  sync_wait(body());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 20U);
}

TEST_F(for_each, begins_in_order) {
  std::vector<int> begun;
  auto body = [&]() -> task<> {
    co_await for_each_async(std::views::iota(0, 50), 5, [&](int i) -> task<> {
      begun.push_back(i);
      co_await sleep_for((i * 7 % 5) * 1ms);
    });
  };
  sync_wait(body());
  EXPECT_TRUE(std::is_sorted(begun.begin(), begun.end()));
  EXPECT_EQ(begun.size(), 50U);
}

TEST_F(for_each, nothing_to_do) {
  auto body = [&]() -> task<> {
    co_await for_each_async(std::vector<int>(), 3, [this](int i) { return work(i); });
    co_await for_each_async(std::views::empty<int>, 3, [this](int i) { return work(i); });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 0);
}

TEST_F(for_each, a_limit_of_nothing_is_an_error) {
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of(
        [&] { return for_each_async(std::views::iota(0, 3), 0, [this](int i) { return work(i); }); });
  };
  EXPECT_EQ(sync_wait(body()), "invalid_argument");
  EXPECT_EQ(ran, 0);
}

// ---- the range

TEST_F(for_each, reads_as_needed) {
  int read = 0;
  const auto numbers = std::views::iota(0, 1000) | std::views::transform([&](int i) {
                         ++read;
                         return i;
                       });
  auto body = [&]() -> task<> {
    co_await for_each_async(numbers, 4, [&](int i) -> task<> {
      co_await sleep_for(1ms);
      EXPECT_LE(read, i + 1 + 4) << "not far ahead of what is being done";
      ++ran;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 1000);
}

TEST_F(for_each, of_a_range_without_end) {
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return tutti::with_timeout(for_each_async(std::views::iota(0), 4,
                                                [this](int) -> task<> {
                                                  co_await sleep_for(1s);
                                                  ++ran;
                                                }),
                                 10500ms);
    });
  };
  EXPECT_EQ(sync_wait(body()), "timed_out");
  EXPECT_EQ(ran, 40);
}

TEST_F(for_each, elements_of_lvalues_by_reference) {
  std::vector<int> range(10, 1);
  auto body = [&]() -> task<> {
    co_await for_each_async(range, 3, [](int& i) -> task<> {
      co_await yield_now();
      i *= 2;
    });
  };
  sync_wait(body());
  EXPECT_EQ(range, std::vector(10, 2));
}

TEST_F(for_each, owns_rvalues) {
  auto make = [this] {
    std::list<std::string> range(10, std::string(100, 'x'));
    return for_each_async(std::move(range), 3, [this](const std::string& text) -> task<> {
      co_await sleep_for(1ms);
      ran += static_cast<int>(text.size());
    });
  };
  auto whole = make();
  sync_wait(std::move(whole));
  EXPECT_EQ(ran, 1000);
}

TEST_F(for_each, ranges_to_be_read_once) {
  std::istringstream in("1 2 3 4 5");
  auto body = [&]() -> task<> {
    co_await for_each_async(std::views::istream<int>(in), 2, [this](int i) -> task<> {
      co_await yield_now();
      ran += i;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 15);
}

TEST_F(for_each, elements_made_on_the_way_and_elements_that_only_move) {
  auto body = [&]() -> task<> {
    const auto texts = std::views::iota(0, 5) |
                       std::views::transform([](int i) { return std::string(50, static_cast<char>('a' + i)); });
    co_await for_each_async(texts, 2, [this](std::string text) -> task<> {
      co_await sleep_for(1ms);
      ran += static_cast<int>(text.size());
    });
    std::vector<std::unique_ptr<int>> owned;
    for (int i = 0; i < 5; ++i) owned.push_back(std::make_unique<int>(i));
    co_await for_each_async(owned, 2, [this](std::unique_ptr<int>& p) -> task<> {
      co_await sleep_for(1ms);
      ran += *p;
    });
    const auto moved = std::views::iota(0, 5) | std::views::transform([](int i) { return std::make_unique<int>(i); });
    co_await for_each_async(moved, 2, [this](std::unique_ptr<int> p) -> task<> {
      co_await sleep_for(1ms);
      ran += *p;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 250 + 10 + 10);
}

TEST_F(for_each, a_range_that_throws) {
  const auto numbers = std::views::iota(0, 10) | std::views::transform([](int i) {
                         if (i == 5) throw std::runtime_error("no more");
                         return i;
                       });
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] { return for_each_async(numbers, 2, [this](int i) { return work(i); }); });
  };
  EXPECT_EQ(sync_wait(body()), "no more");
  EXPECT_EQ(running, 0);
}

// ---- errors

TEST_F(for_each, the_first_error_stops_it) {
  int read = 0;
  const auto numbers = std::views::iota(0, 1000) | std::views::transform([&](int i) {
                         ++read;
                         return i;
                       });
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return for_each_async(numbers, 4, [this](int i) -> task<> {
        const living me(running);
        if (i == 3) {
          co_await sleep_for(1s);
          throw std::runtime_error("the fourth");
        }
        co_await tutti_test::live_until_stopped_and(running, 2s);
      });
    });
    EXPECT_EQ(end, "the fourth");
    EXPECT_EQ(running, 0);
    EXPECT_EQ(passed(), 3s) << "thrown when all have ended";
    EXPECT_LE(read, 5);
  };
  sync_wait(body());
}

TEST_F(for_each, the_other_errors_go_to_on_unhandled) {
  const tutti_test::unhandled_counter counter;
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return for_each_async(std::views::iota(0, 3), 3, [](int i) -> task<> {
        if (i == 0) {
          co_await sleep_for(1s);
        } else {
          static_cast<void>(co_await end_of(tutti_test::sleep_for_ever));
        }
        throw std::runtime_error(std::to_string(i));
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "0");
  EXPECT_EQ(counter.all(), 2);
}

TEST_F(for_each, an_error_beside_one_of_its_function_goes_to_on_unhandled) {
  const tutti_test::unhandled_counter counter;
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return for_each_async(std::vector{0, 1, 2}, 2, [](int i) {
        if (i == 2) throw std::runtime_error("no task");
        return i == 1 ? sleeper(1s) : tutti_test::fail_when_stopped("clean-up failed");
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "no task");
  EXPECT_EQ(counter.all(), 1);
}

TEST_F(for_each, an_error_at_once) {
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return for_each_async(std::views::iota(0, 100), 4, [this](int i) -> task<> {
        ++ran;
        if (i == 10) throw std::runtime_error("the eleventh");
        co_return;
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "the eleventh");
  EXPECT_LE(ran, 10 + 1 + 4);
}

// ---- many

TEST_F(for_each, a_hundred_thousand_that_need_not_wait) {
  auto body = [&]() -> task<> {
    co_await for_each_async(std::views::iota(0, 100'000), 8, [this](int) -> task<> {
      ++ran;
      co_return;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 100'000);
  tutti::thread_pool pool(2);
  pool.submit(body()).get();
  EXPECT_EQ(ran, 200'000);
}

TEST_F(for_each, on_a_pool_within_the_limit) {
  std::atomic<int> now_running{0}, too_many{0};
  tutti::thread_pool pool(2);
  auto body = [&]() -> task<> {
    co_await for_each_async(std::views::iota(0, 5000), 3, [&](int i) -> task<> {
      const living me(now_running);
      if (now_running > 3) ++too_many;
      if (i % 2 == 0) co_await yield_now();
      if (now_running > 3) ++too_many;
      ++ran;
    });
  };
  pool.submit(body()).get();
  EXPECT_EQ(ran, 5000);
  EXPECT_EQ(too_many, 0);
}

}  // namespace
