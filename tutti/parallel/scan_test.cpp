#include <tutti/core/core.hpp>
#include <tutti/parallel/scan.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

std::vector<long> some_numbers(std::size_t n) {
  std::mt19937 random(42);
  std::vector<long> x(n);
  for (long& v : x) v = static_cast<long>(random() % 1000);
  return x;
}

TEST(parallel_scan, as_the_standard_ones) {
  for (const int threads : {1, 2, 3, 8}) {
    tutti::thread_pool pool(threads);
    for (const std::size_t n : {0u, 1u, 2u, 3u, 100u, 10'000u, 1'000'000u}) {
      const auto x = some_numbers(n);
      std::vector<long> expected(n), got(n);
      std::inclusive_scan(x.begin(), x.end(), expected.begin());
      EXPECT_EQ(tutti::parallel_inclusive_scan(pool, x, got.begin()), got.end());
      ASSERT_EQ(got, expected) << n;
      std::exclusive_scan(x.begin(), x.end(), expected.begin(), 5L);
      EXPECT_EQ(tutti::parallel_exclusive_scan(pool, x, got.begin(), 5L), got.end());
      ASSERT_EQ(got, expected) << n;
    }
  }
}

TEST(parallel_scan, in_place) {
  auto x = some_numbers(300'000), y = x;
  std::vector<long> expected(x.size());
  std::inclusive_scan(x.begin(), x.end(), expected.begin());
  tutti::parallel_inclusive_scan(x, x.begin());
  EXPECT_EQ(x, expected);
  std::exclusive_scan(y.begin(), y.end(), expected.begin(), 0L);
  tutti::parallel_exclusive_scan(y, y.begin(), 0L);
  EXPECT_EQ(y, expected);
}

// Not commutative, and long enough for pieces to be added up ahead.
TEST(parallel_scan, order_is_kept) {
  tutti::thread_pool pool(4);
  struct affine {
    std::uint32_t a, b;
    bool operator==(const affine&) const = default;
  };
  const auto then = [](affine f, affine g) { return affine{g.a * f.a, g.a * f.b + g.b}; };
  std::mt19937 random(7);
  std::vector<affine> x(400'000);
  for (affine& f : x) f = {static_cast<std::uint32_t>(random() | 1u), static_cast<std::uint32_t>(random())};
  std::vector<affine> expected(x.size()), got(x.size());
  std::inclusive_scan(x.begin(), x.end(), expected.begin(), then);
  for (int round = 0; round < 5; ++round) {
    tutti::parallel_inclusive_scan(pool, x, got.begin(), then);
    ASSERT_TRUE(got == expected);
  }
}

TEST(parallel_scan, the_general_form) {
  tutti::thread_pool pool(2);
  std::vector<int> text(200'000, 1), line(text.size());
  for (std::size_t i = 0; i < text.size(); i += 7) text[i] = 0;  // 0 is a line's end
  const auto number = [&](std::size_t first, std::size_t last, int lines, bool final) {
    for (std::size_t i = first; i < last; ++i) {
      if (final) line[i] = lines;
      if (text[i] == 0) ++lines;
    }
    return lines;
  };
  const int lines = tutti::parallel_scan(pool, std::size_t{0}, text.size(), 0, number, std::plus<>());
  EXPECT_EQ(lines, std::count(text.begin(), text.end(), 0));
  int expected = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    ASSERT_EQ(line[i], expected);
    if (text[i] == 0) ++expected;
  }
}

// Until a piece has been added up ahead, which only a second worker does.
TEST(parallel_scan, is_shared_with_idle_workers) {
  std::atomic<bool> ahead{false};
  tutti::thread_pool pool(2);
  const auto body = [&](int first, int last, int sum, bool final) {
    if (!final) ahead = true;
    return sum + (last - first);
  };
  while (!ahead) {
    ASSERT_EQ(tutti::parallel_scan(pool, 0, 1'000'000, 0, body, std::plus<>(), {.grain = 100}), 1'000'000);
  }
}

TEST(parallel_scan, a_told_grain_is_kept) {
  for (const int threads : {1, 2, 5}) {
    tutti::thread_pool pool(threads);
    for (int round = 0; round < 20; ++round) {
      const auto body = [&](int first, int last, int sum, bool) {
        EXPECT_EQ(first % 100, 0);
        EXPECT_TRUE(last - first == 100 || last == 25'030) << first << ' ' << last;
        return sum + (last - first);
      };
      ASSERT_EQ(tutti::parallel_scan(pool, 0, 25'030, 0, body, std::plus<>(), {.grain = 100}), 25'030);
    }
  }
}

TEST(parallel_scan, of_strings_and_of_optionals_need_no_neutral_element) {
  std::vector<std::string> words(300, "a"), got(words.size());
  tutti::parallel_inclusive_scan(words, got.begin());
  EXPECT_EQ(got.back(), std::string(300, 'a'));
  tutti::parallel_exclusive_scan(words, got.begin(), std::string("<"));
  EXPECT_EQ(got.back(), "<" + std::string(299, 'a'));
}

TEST(parallel_scan, exceptions_and_stops_arrive) {
  tutti::thread_pool pool(3);
  std::vector<int> x(100'000, 1), out(x.size());
  const auto fails = [](int a, int b) {
    if (a + b == 70'000) throw std::domain_error("70000");
    return a + b;
  };
  for (int round = 0; round < 10; ++round)
    EXPECT_THROW(tutti::parallel_inclusive_scan(pool, x, out.begin(), fails), std::domain_error);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(tutti::parallel_inclusive_scan(pool, x, out.begin(), std::plus<>(), {.stop = stop.get_token()}),
               tutti::cancelled);
}

}  // namespace
