// docs_parallel_test: what docs/parallel.md shows, compiled and run.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>
#include <stop_token>
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

TEST(docs_parallel, boxes) {
  constexpr std::ptrdiff_t rows = 300, columns = 400;
  std::vector<float> from(rows * columns, 1), to(rows * columns);

  tutti::parallel_for(tutti::box(rows, columns), [&](const tutti::box<2>& tile) {
    for (auto r = tile.first(0); r < tile.last(0); ++r)
      for (auto c = tile.first(1); c < tile.last(1); ++c)
        to[static_cast<std::size_t>(c * rows + r)] = from[static_cast<std::size_t>(r * columns + c)];
  });

  tutti::parallel_for(tutti::box({1, 1}, {rows - 1, columns - 1}), [&](std::ptrdiff_t r, std::ptrdiff_t c) {
    from[static_cast<std::size_t>(r * columns + c)] = 0;  // all but the edge
  });

  EXPECT_EQ(std::accumulate(to.begin(), to.end(), 0.0F), 300 * 400);
  EXPECT_EQ(std::accumulate(from.begin(), from.end(), 0.0F), 2 * (300 + 400) - 4);
}

struct node {
  int value;
  std::vector<node> children;
};

TEST(docs_parallel, a_range_that_grows) {
  node root{1, {{2, {{3, {}}, {4, {}}}}, {5, {}}}};
  std::atomic<int> sum = 0;

  tutti::parallel_for_each(std::vector{&root}, [&](node* n, tutti::feeder<node*>& feed) {
    sum += n->value;
    for (node& child : n->children) feed.add(&child);
  });

  EXPECT_EQ(sum, 15);
}

TEST(docs_parallel, for_each) {
  std::map<std::string, double> prices{{"bread", 2}, {"milk", 1}};

  tutti::parallel_for_each(prices, [](auto& entry) { entry.second *= 1.1; });

  EXPECT_DOUBLE_EQ(prices["milk"], 1.1);
}

TEST(docs_parallel, transform_reduce) {
  std::vector<std::string> words{"all", "together", "now"};
  std::vector<double> x(1000, 0.5), y(1000, 4);

  std::size_t letters = tutti::parallel_transform_reduce(words, std::size_t{0}, std::plus<>(), &std::string::size);
  double product = tutti::parallel_transform_reduce(x, y, 0.0);  // x[0]*y[0] + x[1]*y[1] + ...

  EXPECT_EQ(letters, 14u);
  EXPECT_EQ(product, 2000);
}

TEST(docs_parallel, scans) {
  std::vector<std::size_t> lengths{3, 0, 2, 5}, offsets(lengths.size());

  tutti::parallel_exclusive_scan(lengths, offsets.begin(), std::size_t{0});  // 0 3 3 5: where each part begins
  tutti::parallel_inclusive_scan(lengths, lengths.begin());                  // 3 3 5 10: where it ends, in place

  EXPECT_EQ(offsets, (std::vector<std::size_t>{0, 3, 3, 5}));
  EXPECT_EQ(lengths, (std::vector<std::size_t>{3, 3, 5, 10}));
}

TEST(docs_parallel, a_scan_that_is_no_plain_sum) {
  const std::vector<int> prices{7, 5, 6, 3, 4};
  std::vector<char> cheapest_yet(prices.size());

  auto least = [](int a, int b) { return std::min(a, b); };
  auto block = [&](std::size_t first, std::size_t last, int before, bool final) {
    for (; first < last; ++first) {
      if (final) cheapest_yet[first] = prices[first] < before;
      before = least(before, prices[first]);
    }
    return before;
  };
  int all = tutti::parallel_scan(std::size_t{0}, prices.size(), INT_MAX, block, least);

  EXPECT_EQ(cheapest_yet, (std::vector<char>{1, 1, 0, 1, 0}));
  EXPECT_EQ(all, 3);
}

TEST(docs_parallel, the_same_bits) {
  std::vector<float> x(100'000, 0.1F);

  float sum = tutti::parallel_deterministic_reduce(
      std::size_t{0}, x.size(), 0.0F, [&](std::size_t i) { return x[i]; }, std::plus<>());

  tutti::inline_executor serial;
  float again = tutti::parallel_deterministic_reduce(
      serial, std::size_t{0}, x.size(), 0.0F, [&](std::size_t i) { return x[i]; }, std::plus<>());
  EXPECT_EQ(sum, again);
}

TEST(docs_parallel, a_pipeline) {
  std::istringstream in("tutti means\nall together\n");
  std::string out;

  tutti::pipeline(
      {.tokens = 8},
      [&] {
        std::string line;
        return std::getline(in, line) ? std::optional(line) : std::nullopt;
      },
      tutti::in_parallel([](std::string line) {
        std::ranges::reverse(line);
        return line;
      }),
      tutti::serial_in_order([&](const std::string& line) { out += line + "\n"; }));

  EXPECT_EQ(out, "snaem ittut\nrehtegot lla\n");
}

TEST(docs_parallel, stopping) {
  std::stop_source stop;
  std::vector<int> squares(1'000);
  const auto user_presses_escape = [&] { stop.request_stop(); };
  user_presses_escape();

  try {
    tutti::parallel_for(0, 1'000, [&](int i) { squares[static_cast<std::size_t>(i)] = i * i; },
                        {.stop = stop.get_token()});
  } catch (const tutti::cancelled&) {
    // some of it was left out
  }

  EXPECT_EQ(squares[999], 0);
}

struct song {
  std::string title;
  int year;
};

TEST(docs_parallel, sorting) {
  std::vector<double> x{3, 1, 2};
  std::vector<song> songs{{"c", 1990}, {"a", 1970}, {"b", 1990}, {"d", 1970}};

  tutti::parallel_sort(x);
  tutti::parallel_sort(x, std::greater<>());
  tutti::parallel_stable_sort(songs, {}, &song::year);  // songs of a year stay in their order

  EXPECT_EQ(x, (std::vector<double>{3, 2, 1}));
  EXPECT_EQ(songs[0].title + songs[1].title + songs[2].title + songs[3].title, "adcb");
}

TEST(docs_parallel, groups) {
  std::vector<int> x{5, 2, 8, 1, 6};

  auto odd = [](int v) { return v % 2 != 0; };
  std::vector<int> found = tutti::parallel_filter(x, odd);  // copies, in order
  auto even = tutti::parallel_partition(x, odd);            // in place: first the odd ones, in any order

  EXPECT_EQ(found, (std::vector<int>{5, 1}));
  EXPECT_EQ(even - x.begin(), 2);
  EXPECT_TRUE(std::all_of(x.begin(), even, odd));
}

}  // namespace docs_parallel
