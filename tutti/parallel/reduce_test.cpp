#include <tutti/core/core.hpp>
#include <tutti/parallel/reduce.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
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

}  // namespace
