#include <tutti/core/core.hpp>
#include <tutti/parallel/transform_reduce.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <string>
#include <vector>

namespace {

TEST(parallel_transform_reduce, init_counts_once) {
  tutti::thread_pool pool(4);
  std::vector<int> x(100'000);
  std::iota(x.begin(), x.end(), 0);
  for (int round = 0; round < 10; ++round) {
    const long sum = tutti::parallel_transform_reduce(pool, x, 1000L, std::plus<>(), [](int v) { return 2L * v; });
    ASSERT_EQ(sum, 1000 + 99'999L * 100'000);
  }
}

TEST(parallel_transform_reduce, inner_product) {
  const std::vector<double> a(5000, 0.5);
  const std::deque<int> b(6000, 4);
  EXPECT_DOUBLE_EQ(tutti::parallel_transform_reduce(a, b, 1.0), 10'001.0);
  EXPECT_THROW(static_cast<void>(tutti::parallel_transform_reduce(b, a, 1.0)), std::invalid_argument);
}

TEST(parallel_transform_reduce, empty_and_one) {
  EXPECT_EQ(tutti::parallel_transform_reduce(std::vector<int>(), 7, std::plus<>(), std::identity()), 7);
  EXPECT_EQ(tutti::parallel_transform_reduce(std::vector{5}, 7, std::minus<>(), std::identity()), 2);
}

TEST(parallel_transform_reduce, order_is_kept) {
  tutti::thread_pool pool(3);
  std::string letters, expected = ">";
  for (int i = 0; i < 20'000; ++i) letters += static_cast<char>('a' + i % 26);
  expected += letters;
  const std::string text = tutti::parallel_transform_reduce(pool, letters, std::string(">"), std::plus<>(),
                                                            [](char c) { return std::string(1, c); });
  EXPECT_EQ(text, expected);
}

struct named {
  int size;
};

TEST(parallel_transform_reduce, members_as_functions) {
  const std::vector<named> things(1000, named{3});
  EXPECT_EQ(tutti::parallel_transform_reduce(things, 0, std::plus<>(), &named::size), 3000);
}

TEST(parallel_transform_reduce, exceptions_arrive) {
  EXPECT_THROW(static_cast<void>(tutti::parallel_transform_reduce(std::vector<int>(1000), 0, std::plus<>(),
                                                                  [](int) -> int { throw std::domain_error("x"); })),
               std::domain_error);
}

}  // namespace
