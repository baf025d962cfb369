// docs_parallel_test: what docs/parallel.md shows, compiled and run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string>
#include <tutti/core/core.hpp>
#include <tutti/parallel/parallel.hpp>
#include <utility>
#include <vector>

namespace docs_parallel {

TEST(docs_parallel, first) {
  std::vector<double> x(100'000, 2.0);

  tutti::parallel_for(0, x.size(), [&](std::size_t i) { x[i] = std::sqrt(x[i]) * static_cast<double>(i); });
  double sum = tutti::parallel_reduce(0, x.size(), 0.0, [&](std::size_t i) { return x[i]; }, std::plus<>());

  EXPECT_NEAR(sum / (std::sqrt(2.0) * 99'999.0 * 50'000.0), 1.0, 1e-9);
}

TEST(docs_parallel, blocks) {
  std::vector<float> from(10'000, 1.5F), to(10'000);

  tutti::parallel_for(std::size_t{0}, from.size(), [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) to[i] = 2 * from[i];  // a plain inner loop, which compilers vectorise
  });

  EXPECT_EQ(to.front(), 3.0F);
  EXPECT_EQ(to.back(), 3.0F);
}

TEST(docs_parallel, reduce_of_blocks) {
  std::vector<float> x(10'000, 0.5F);

  auto sum_of = [&](std::size_t first, std::size_t last) { return std::accumulate(&x[first], &x[0] + last, 0.0); };
  double sum = tutti::parallel_reduce(std::size_t{0}, x.size(), 0.0, sum_of, std::plus<>());

  EXPECT_DOUBLE_EQ(sum, 5'000.0);
}

TEST(docs_parallel, order_is_kept) {
  std::string text = tutti::parallel_reduce(
      0, 26, std::string(), [](int i) { return std::string(1, static_cast<char>('a' + i)); }, std::plus<>());

  EXPECT_EQ(text, "abcdefghijklmnopqrstuvwxyz");
}

TEST(docs_parallel, position_of_the_largest) {
  std::vector<int> x(5'000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>((i * 7919) % 5'003);
  const auto expected = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());

  auto larger = [&](std::size_t a, std::size_t b) { return x[b] > x[a] ? b : a; };
  std::size_t at = tutti::parallel_reduce(std::size_t{1}, x.size(), std::size_t{0}, std::identity(), larger);

  EXPECT_EQ(at, expected);
}

TEST(docs_parallel, on_a_pool) {
  tutti::thread_pool pool{2};
  std::vector<int> squares(1'000);

  tutti::parallel_for(pool, 0, 1'000, [&](int i) { squares[static_cast<std::size_t>(i)] = i * i; });

  EXPECT_EQ(squares[999], 998'001);
}

TEST(docs_parallel, nests) {
  constexpr int rows = 50, columns = 60;
  std::vector<int> table(rows * columns);

  tutti::parallel_for(0, rows, [&](int r) {
    tutti::parallel_for(0, columns, [&](int c) { table[static_cast<std::size_t>(r * columns + c)] = r + c; });
  });

  EXPECT_EQ(table.back(), rows + columns - 2);
  EXPECT_EQ(std::accumulate(table.begin(), table.end(), 0), 50 * 60 * (49 + 59) / 2);
}

TEST(docs_parallel, sums_per_worker) {
  std::vector<int> x(20'000);
  std::iota(x.begin(), x.end(), 0);

  tutti::per_worker<std::vector<int>> found;  // a buffer for each thread: nothing is shared inside the loop
  tutti::parallel_for(std::size_t{0}, x.size(), [&](std::size_t i) {
    if (x[i] % 5'000 == 0) found.local().push_back(x[i]);
  });
  std::vector<int> all;
  found.for_each([&](const std::vector<int>& part) { all.insert(all.end(), part.begin(), part.end()); });

  std::ranges::sort(all);
  EXPECT_EQ(all, (std::vector<int>{0, 5'000, 10'000, 15'000}));
}

}  // namespace docs_parallel
