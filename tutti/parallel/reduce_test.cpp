#include <tutti/core/core.hpp>
#include <tutti/parallel/reduce.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

TEST(parallel_reduce, sums) {
  for (const int threads : {1, 2, 8}) {
    tutti::thread_pool pool(threads);
    for (const std::int64_t n : {0, 1, 2, 1000, 1'000'000}) {
      EXPECT_EQ(tutti::parallel_reduce(
                    pool, std::int64_t{0}, n, std::int64_t{0}, [](std::int64_t i) { return i; }, std::plus<>()),
                n * (n - 1) / 2);
    }
  }
}

TEST(parallel_reduce, keeps_the_order_of_operands) {
  tutti::thread_pool pool(4);
  std::string expected;
  for (int i = 0; i < 20'000; ++i) expected += static_cast<char>('a' + i % 26);
  const auto text = tutti::parallel_reduce(
      pool, 0, 20'000, std::string(), [](int i) { return std::string(1, static_cast<char>('a' + i % 26)); },
      std::plus<>());
  EXPECT_EQ(text, expected);
}

TEST(parallel_reduce, takes_blocks) {
  const auto sum = tutti::parallel_reduce(
      0, 1'000'000, std::int64_t{0},
      [](int first, int last) {
        std::int64_t part = 0;
        for (int i = first; i < last; ++i) part += i;
        return part;
      },
      std::plus<>());
  EXPECT_EQ(sum, 999'999LL * 1'000'000 / 2);
}

TEST(parallel_reduce, an_exception_of_body_or_op_arrives) {
  tutti::thread_pool pool(2);
  const auto identity = [](int i) { return i; };
  EXPECT_THROW(tutti::parallel_reduce(
                   pool, 0, 10'000, 0,
                   [](int i) {
                     if (i == 9'999) throw std::domain_error("body");
                     return i;
                   },
                   std::plus<>()),
               std::domain_error);
  EXPECT_THROW(tutti::parallel_reduce(pool, 0, 10'000, 0, identity,
                                      [](int a, int b) {
                                        if (b == 5'000) throw std::length_error("op");
                                        return a > b ? a : b;
                                      }),
               std::length_error);
}

TEST(parallel_reduce, inside_a_task) {
  tutti::thread_pool pool(2);
  const int result =
      pool.submit([] { return tutti::parallel_reduce(0, 1000, 0, [](int i) { return i % 2; }, std::plus<>()); }).get();
  EXPECT_EQ(result, 500);
}

// Blocks of floating-point numbers are folded in four chains at once.
TEST(parallel_reduce, folds_floating_point_numbers_in_order_and_once_each) {
  const auto later_one = [](double a, double b) { return b < 0 ? a : b; };  // associative, not commutative
  for (const int n : {0, 1, 15, 16, 17, 100, 1000, 100'003}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
    const auto body = [&](int i) {
      ++calls[static_cast<std::size_t>(i)];
      return static_cast<double>(i);
    };
    tutti::inline_executor here;  // alone, its blocks are largest
    EXPECT_EQ(tutti::parallel_reduce(here, 0, n, -1.0, body, later_one), n - 1);
    EXPECT_EQ(tutti::parallel_reduce(0, n, -1.0, body, later_one), n - 1);
    for (const auto& c : calls) ASSERT_EQ(c, 2) << n;
  }
}

TEST(parallel_reduce, over_iterators_and_blocks_of_a_told_grain) {
  std::vector<int> data(10'000, 3);
  const auto value = [](std::vector<int>::const_iterator at) { return *at; };
  EXPECT_EQ(tutti::parallel_reduce(data.cbegin(), data.cend(), 0, value, std::plus<>()), 30'000);
  EXPECT_EQ(tutti::parallel_reduce(data.cbegin(), data.cend(), 0, value, std::plus<>(), {.grain = 7}), 30'000);
  EXPECT_THROW(tutti::parallel_reduce(data.cbegin(), data.cend(), 0, value, std::plus<>(), {.grain = 0}),
               std::invalid_argument);
}

TEST(parallel_reduce, can_be_stopped) {
  std::stop_source stop;
  const auto body = [&](int i) {
    if (i == 1000) stop.request_stop();
    return i;
  };
  EXPECT_THROW(tutti::parallel_reduce(0, 1'000'000, 0, body, [](int a, int b) { return a ^ b; },
                                      {.grain = 1, .stop = stop.get_token()}),
               tutti::cancelled);
}

// 1/i in floats: any other grouping gives other bits.
float harmonic(tutti::local_executor& pool, int n, tutti::loop_options options = {}) {
  return tutti::parallel_deterministic_reduce(
      pool, 1, n + 1, 0.0F, [](int i) { return 1.0F / static_cast<float>(i); }, std::plus<>(), options);
}

TEST(parallel_deterministic_reduce, has_the_same_bits_on_any_number_of_workers) {
  tutti::inline_executor serial;
  for (const int n : {0, 1, 2, 63, 64, 65, 1000, 100'000, 3'000'000}) {
    for (const auto grain : {std::optional<std::size_t>(), std::optional<std::size_t>(1000)}) {
      const float expected = harmonic(serial, n, {.grain = grain});
      for (const int threads : {1, 2, 3, 8}) {
        tutti::thread_pool pool(threads);
        for (int round = 0; round < 3; ++round) ASSERT_EQ(harmonic(pool, n, {.grain = grain}), expected);
      }
    }
  }
}

TEST(parallel_deterministic_reduce, keeps_the_order_of_operands) {
  std::string expected;
  for (int i = 0; i < 5000; ++i) expected += static_cast<char>('a' + i % 26);
  const auto letter = [](int i) { return std::string(1, static_cast<char>('a' + i % 26)); };
  EXPECT_EQ(tutti::parallel_deterministic_reduce(0, 5000, std::string(), letter, std::plus<>()), expected);
}

TEST(parallel_deterministic_reduce, leaves_are_blocks_of_the_told_grain) {
  const auto block = [](int first, int last) {
    EXPECT_EQ(first % 10, 0);
    EXPECT_TRUE(last - first == 10 || last == 95);
    return last - first;
  };
  EXPECT_EQ(tutti::parallel_deterministic_reduce(0, 95, 0, block, std::plus<>(), {.grain = 10}), 95);
}

TEST(parallel_deterministic_reduce, exceptions_and_stops_arrive) {
  tutti::thread_pool pool(2);
  const auto fails = [](int i) -> int { return i == 777 ? throw std::domain_error("777") : i; };
  EXPECT_THROW(tutti::parallel_deterministic_reduce(pool, 0, 1000, 0, fails, std::plus<>()), std::domain_error);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(tutti::parallel_deterministic_reduce(pool, 0, 1000, 0, std::identity(), std::plus<>(),
                                                    {.stop = stop.get_token()}),
               tutti::cancelled);
}

TEST(parallel_deterministic_reduce, is_shared_with_idle_workers) {
  std::atomic<bool> shared{false};
  tutti::thread_pool pool(2);
  const auto caller = std::this_thread::get_id();
  const auto body = [&](int i) {
    if (std::this_thread::get_id() != caller) shared = true;
    return i;
  };
  while (!shared) {
    ASSERT_EQ(tutti::parallel_deterministic_reduce(pool, 0, 10'000, 0, body, std::plus<>()), 49'995'000);
  }
}

TEST(parallel_deterministic_reduce, stays_on_the_caller_of_a_serial_executor) {
  tutti::thread_pool pool(2);
  pool.submit([&] {
        tutti::inline_executor serial;
        const auto caller = std::this_thread::get_id();
        const auto body = [&](int) { return std::this_thread::get_id() == caller ? 0 : 1; };
        EXPECT_EQ(tutti::parallel_deterministic_reduce(serial, 0, 50'000, 0, body, std::plus<>()), 0);
      })
      .get();
}

}  // namespace
