// contract_sorts_test: what sorts and partitions promise, as properties of seeded random inputs: each element exactly
// once, whatever comparators answer or throw.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <tests/support/contracts.hpp>
#include <tutti/parallel/parallel.hpp>
#include <utility>
#include <vector>

namespace contract {

// It can only be moved; the number it was made with tells who it is.
struct card {
  std::unique_ptr<std::size_t> id;
  int key = 0;
};
std::vector<card> some_cards(std::mt19937& random, std::size_t n) {
  const std::size_t keys = std::array<std::size_t, 4>{1, 3, 300, 1'000'000}[random() % 4];
  std::vector<int> drawn(n);
  for (int& key : drawn) key = static_cast<int>(random() % keys);
  if (random() % 4 == 0) std::ranges::sort(drawn);
  if (random() % 8 == 0) std::ranges::reverse(drawn);
  std::vector<card> cards;
  for (std::size_t i = 0; i < n; ++i) cards.push_back({std::make_unique<std::size_t>(i), drawn[i]});
  return cards;
}
bool each_once(const std::vector<card>& cards) {
  counters seen(cards.size());
  for (const card& c : cards) {
    if (c.id == nullptr || *c.id >= cards.size() || ++seen[*c.id] != 1) return false;
  }
  return true;
}
bool by_key(const card& a, const card& b) { return dawdle(), a.key < b.key; }
bool by_key_and_id(const card& a, const card& b) { return std::pair(a.key, *a.id) < std::pair(b.key, *b.id); }
using order = std::function<bool(const card&, const card&)>;  // one type, so that each sort is compiled once
void sort_cards(bool stable, local_executor& pool, std::vector<card>& cards, order comp, loop_options options = {}) {
  if (stable) {
    parallel_stable_sort(pool, cards, std::move(comp), {}, options);
  } else {
    parallel_sort(pool, cards, std::move(comp), {}, options);
  }
}

TEST(contract_sorts, sorts_and_partitions_rearrange_as_the_standard_ones) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (const bool stable : {false, true}) {
      std::vector<card> cards = some_cards(random, some_size(random));
      sort_cards(stable, some_executor(random), cards, by_key);
      EXPECT_TRUE(each_once(cards) && std::ranges::is_sorted(cards, stable ? by_key_and_id : by_key));
    }
    std::deque<std::int64_t> numbers(some_size(random));  // no memory in one piece
    for (auto& v : numbers) v = static_cast<std::int64_t>(random()) - (std::int64_t{1} << 31U);
    std::deque<std::int64_t> expected = numbers;
    std::ranges::sort(expected, std::ranges::greater());
    parallel_stable_sort(some_executor(random), numbers, std::ranges::greater());
    EXPECT_EQ(numbers, expected);

    std::vector<card> cards = some_cards(random, some_size(random));
    counters asked(cards.size());
    const bool fails = random() % 3 == 0;
    call_counter call{fails ? 1 + static_cast<long>(random() % (cards.size() + 1)) : never};
    const auto odd = [](const card& c) { return c.key % 2 != 0; };
    const auto wanted = [&](const card& c) { return call(), ++asked[*c.id], odd(c); };
    const auto count = std::ranges::count_if(cards, odd);
    EXPECT_TRUE(call.judges([&] {
      EXPECT_EQ(parallel_partition(some_executor(random), cards, wanted) - cards.begin(), count);
      EXPECT_TRUE(std::ranges::is_partitioned(cards, odd) && all_are(asked, 1));
    }));
    EXPECT_TRUE(each_once(cards));
  }
}

TEST(contract_sorts, no_comparator_loses_an_element) {
  for (unsigned seed = 0; seed < 160; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const bool stable = random() % 2 == 0;
    std::vector<card> cards = some_cards(random, some_size(random, 10'000));
    std::stop_source stop;
    const std::stop_token token = stop.get_token();
    std::atomic<unsigned> calls{seed};
    const long when = 1 + static_cast<long>(random() % (cards.size() * 14 + 1));
    call_counter throws{seed % 6 == 4 ? when : never}, stops{seed % 6 == 5 ? when : never};
    const std::array<order, 6> orders{
        [](const card&, const card&) { return true; },
        [](const card& a, const card& b) { return a.key <= b.key; },
        [&](const card&, const card&) { return (calls++ * 2'654'435'761U >> 30U) == 0; },
        [](const card& a, const card& b) { return (a.key + 1) % 3 == b.key % 3; },  // rock, paper, scissors
        [&](const card& a, const card& b) { return throws(), by_key(a, b); },
        [&](const card& a, const card& b) {
          if (--stops.left == 0) stop.request_stop();
          return by_key(a, b);
        }};
    bool was_stopped = false;
    EXPECT_TRUE(throws.judges([&] {
      try {
        sort_cards(stable, some_executor(random), cards, orders[seed % 6], {.stop = token});
      } catch (const cancelled&) {
        was_stopped = true;
      }
    }));
    EXPECT_TRUE(!was_stopped || stop.stop_requested());
    EXPECT_TRUE(each_once(cards)) << "stable " << stable;
    EXPECT_TRUE(seed % 6 != 5 || was_stopped || std::ranges::is_sorted(cards, by_key));
  }
}

}  // namespace contract
