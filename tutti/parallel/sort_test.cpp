#include <tutti/core/core.hpp>
#include <tutti/parallel/for.hpp>
#include <tutti/parallel/sort.hpp>
#include <tutti/parallel/stable_sort.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

// What both sorts promise is tested for both.
struct unstable {
  template <class... A>
  static void sort(A&&... a) {
    tutti::parallel_sort(std::forward<A>(a)...);
  }
};

struct stable {
  template <class... A>
  static void sort(A&&... a) {
    tutti::parallel_stable_sort(std::forward<A>(a)...);
  }
};

template <class Sort>
class both_sorts : public testing::Test {};
using sorts = testing::Types<unstable, stable>;
TYPED_TEST_SUITE(both_sorts, sorts);

// Owns memory, so that what is lost leaks and what is doubled is freed twice; neither copied nor made from nothing.
struct owner {
  explicit owner(int value) : key(std::make_unique<int>(value)) {}
  int get() const { return *key; }
  std::unique_ptr<int> key;
};
struct wide {
  std::int64_t key;
  std::array<char, 56> rest;
};

template <class T>
T make(std::int64_t key) {
  if constexpr (std::is_same_v<T, std::string>) {
    return "a key that is longer than the buffer in a string " + std::to_string(key);
  } else if constexpr (std::is_same_v<T, owner>) {
    return owner(static_cast<int>(key));
  } else if constexpr (std::is_same_v<T, wide>) {
    return {key, {}};
  } else {
    return static_cast<T>(key);
  }
}
template <class T>
auto key_of(const T& x) {
  if constexpr (std::is_same_v<T, owner>) {
    return x.get();
  } else if constexpr (std::is_same_v<T, wide>) {
    return x.key;
  } else {
    return x;
  }
}
constexpr auto by_key = [](const auto& x) { return key_of(x); };

// The orders in which sorts have been slow or wrong.
std::vector<std::vector<std::int64_t>> patterns(std::int64_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::function<std::int64_t(std::int64_t)>> shapes = {
      [&](std::int64_t) { return static_cast<std::int64_t>(random() >> 34); },
      [](std::int64_t i) { return i; },
      [n](std::int64_t i) { return n - i; },
      [](std::int64_t) { return std::int64_t{7}; },
      [&](std::int64_t) { return static_cast<std::int64_t>(random() % 5); },
      [n](std::int64_t i) { return std::min(i, n - i); },  // organ pipe
      [](std::int64_t i) { return i % 1000; },             // sawtooth
      [&](std::int64_t i) {
        return random() % 50 == 0 ? static_cast<std::int64_t>(random() >> 34) : i;
      },  // nearly sorted
      [n](std::int64_t i) { return i + 1 == n ? 0 : i; },
      [n](std::int64_t i) { return n - i / 3; },
  };
  std::vector<std::vector<std::int64_t>> all;
  for (const auto& shape : shapes) {
    auto& keys = all.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) keys.push_back(shape(i));
  }
  return all;
}

template <class Sort, class T>
void expect_sorts(tutti::local_executor& pool, std::int64_t n) {
  constexpr std::uint64_t seed = 20'240;
  for (const auto& keys : patterns(n, seed)) {
    std::vector<T> v;
    v.reserve(keys.size());
    for (const std::int64_t key : keys) v.push_back(make<T>(key));
    std::vector<decltype(by_key(v[0]))> expected;
    expected.reserve(v.size());
    for (const T& x : v) expected.push_back(by_key(x));
    std::ranges::sort(expected);
    Sort::sort(pool, v, std::ranges::less(), by_key);
    ASSERT_TRUE(std::ranges::equal(v, expected, {}, by_key)) << "n " << n << ", seed " << seed;
  }
}

TYPED_TEST(both_sorts, every_pattern_and_type) {
  tutti::inline_executor alone;
  tutti::thread_pool one(1), three(3);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&one),
        static_cast<tutti::local_executor*>(&three)}) {
    for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 65, 300, 6000}) {
      expect_sorts<TypeParam, double>(*pool, n);
      expect_sorts<TypeParam, wide>(*pool, n);
      expect_sorts<TypeParam, std::string>(*pool, n);
      expect_sorts<TypeParam, owner>(*pool, n);
    }
    expect_sorts<TypeParam, int>(*pool, 150'000);
  }
}

TYPED_TEST(both_sorts, comparators_projections_and_iterators) {
  std::vector<int> v{3, 1, 2};
  TypeParam::sort(v);
  EXPECT_EQ(v, (std::vector{1, 2, 3}));
  TypeParam::sort(v, std::greater<>());
  EXPECT_EQ(v, (std::vector{3, 2, 1}));
  TypeParam::sort(v.begin(), v.begin() + 2);
  EXPECT_EQ(v, (std::vector{2, 3, 1}));
  TypeParam::sort(v.begin(), v.end(), std::ranges::less(), std::negate<>());
  EXPECT_EQ(v, (std::vector{3, 2, 1}));

  std::deque<wide> queue;
  for (int i = 0; i < 5000; ++i) queue.push_back({i * 37 % 5000, {}});
  TypeParam::sort(queue, std::ranges::greater(), &wide::key);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(queue[static_cast<std::size_t>(i)].key, 4999 - i);

  int array[] = {2, 1};
  TypeParam::sort(array);
  EXPECT_EQ(array[0], 1);
  TypeParam::sort(std::span(v).subspan(1));
  EXPECT_EQ(v, (std::vector{3, 1, 2}));

  std::vector<owner> owners;
  owners.reserve(100);
  for (int i = 0; i < 100; ++i) owners.emplace_back(i * 7 % 100);
  tutti::thread_pool pool(2);
  auto uncopied = [token = std::make_unique<int>(1)](const owner& a, const owner& b) {
    return *a.key * *token < *b.key;
  };
  TypeParam::sort(pool, owners.begin(), owners.end(), std::ref(uncopied));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(owners[static_cast<std::size_t>(i)].get(), i);
}

// Sorts keys 0..n-1, shuffled, with a comparator that misbehaves; expects the same keys afterwards.
template <class Sort, class T, class Less>
void expect_no_loss(tutti::local_executor& pool, int n, Less less, const char* what) {
  std::vector<int> keys(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) keys[static_cast<std::size_t>(i)] = i;
  std::ranges::shuffle(keys, std::mt19937(static_cast<unsigned>(n)));
  std::vector<T> v;
  v.reserve(keys.size());
  for (const int key : keys) v.push_back(make<T>(key));
  try {
    Sort::sort(pool, v, [&](const T& a, const T& b) { return less(a, b); });
  } catch (const std::domain_error&) {
  }
  std::vector<decltype(by_key(v[0]))> left, expected;
  for (const T& x : v) left.push_back(by_key(x));
  for (int i = 0; i < n; ++i) expected.push_back(by_key(make<T>(i)));
  std::ranges::sort(left);
  std::ranges::sort(expected);
  ASSERT_EQ(left, expected) << what << ", n " << n;
}

template <class Sort, class T>
void expect_survives(tutti::local_executor& pool, int n) {
  const auto key_less = [](const T& a, const T& b) { return by_key(a) < by_key(b); };
  expect_no_loss<Sort, T>(pool, n, [](const T&, const T&) { return true; }, "always true");
  expect_no_loss<Sort, T>(pool, n, [](const T&, const T&) { return false; }, "always false");
  expect_no_loss<Sort, T>(pool, n, [](const T& a, const T& b) { return by_key(a) <= by_key(b); }, "<=");
  expect_no_loss<Sort, T>(pool, n, [](const T& a, const T& b) { return by_key(a) != by_key(b); }, "!=");
  for (unsigned seed = 0; seed < 3; ++seed) {
    std::atomic<unsigned> calls{seed * 77'777};
    const auto dice = [&](const T&, const T&) { return (calls.fetch_add(1) * 2654435761u >> 16) % 2 == 0; };
    expect_no_loss<Sort, T>(pool, n, dice, "random");
  }
  // An exception at any of the comparisons, in whatever stage of the sort that is.
  for (int at = 0; at < 20 * n; at += 1 + at / 2) {
    std::atomic<int> calls{0};
    expect_no_loss<Sort, T>(
        pool, n,
        [&](const T& a, const T& b) {
          if (calls.fetch_add(1) == at) throw std::domain_error("at");
          return key_less(a, b);
        },
        "throwing");
  }
}

TYPED_TEST(both_sorts, no_comparator_makes_them_lose_an_element) {
  tutti::inline_executor alone;
  tutti::thread_pool three(3);
  for (const int n : {2, 3, 7, 16, 32, 33, 50, 500, 9000}) {
    for (tutti::local_executor* pool :
         {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&three)}) {
      expect_survives<TypeParam, int>(*pool, n);
      expect_survives<TypeParam, wide>(*pool, n);
      expect_survives<TypeParam, owner>(*pool, n);
    }
  }
}

TYPED_TEST(both_sorts, nan_among_numbers) {
  tutti::thread_pool pool(2);
  std::mt19937_64 random(5);
  std::vector<double> v;
  v.reserve(200'000);
  for (int i = 0; i < 200'000; ++i) {
    v.push_back(random() % 10 == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(random() % 1000));
  }
  const auto numbers = [&] {
    std::vector<double> found;
    std::ranges::copy_if(v, std::back_inserter(found), [](double x) { return !std::isnan(x); });
    std::ranges::sort(found);
    return found;
  };
  const auto before = numbers();
  TypeParam::sort(pool, v);
  EXPECT_EQ(numbers(), before);
}

TYPED_TEST(both_sorts, the_exception_arrives_and_the_pool_lives_on) {
  tutti::thread_pool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<int> v;
    v.reserve(50'000);
    for (int i = 0; i < 50'000; ++i) v.push_back(i * 7919 % 50'000);
    std::atomic<int> calls{0};
    EXPECT_THROW(TypeParam::sort(pool, v,
                                 [&](int a, int b) {
                                   if (calls.fetch_add(1) == 20'000 * round) throw std::domain_error("comparison");
                                   return a < b;
                                 }),
                 std::domain_error);
    TypeParam::sort(pool, v);
    for (int i = 0; i < 50'000; ++i) ASSERT_EQ(v[static_cast<std::size_t>(i)], i);
  }
}

// Every move may throw: values are unspecified then, but each element is alive, and nothing leaks.
struct risky {
  explicit risky(int k) : key(std::make_unique<int>(k)) {}
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): what the test is about
  risky(risky&& other) : key((may_throw(), std::move(other.key))) {}
  risky& operator=(risky&& other) {  // NOLINT(performance-noexcept-move-constructor)
    may_throw();
    key = std::move(other.key);
    return *this;
  }
  static void may_throw() {
    if (left.fetch_sub(1) == 0) throw std::domain_error("move");
  }
  int get() const { return key ? *key : -1; }
  static inline std::atomic<int> left{0};
  std::unique_ptr<int> key;
};

TYPED_TEST(both_sorts, a_move_that_throws) {
  tutti::thread_pool pool(2);
  for (int at = 0; at < 40'000; at += 1 + at / 5) {
    risky::left = std::numeric_limits<int>::max();
    std::vector<risky> v;
    v.reserve(2000);
    for (int i = 0; i < 2000; ++i) v.emplace_back(i * 7 % 2000);
    risky::left = at;
    try {
      TypeParam::sort(pool, v, std::ranges::less(), &risky::get);
    } catch (const std::domain_error&) {
    }
    std::set<int> keys;
    for (const risky& x : v) {
      if (x.key == nullptr) continue;
      EXPECT_TRUE(keys.insert(x.get()).second);
    }
  }
  risky::left = std::numeric_limits<int>::max();
}

TYPED_TEST(both_sorts, in_each_other_and_in_tasks) {
  tutti::thread_pool pool(3);
  std::vector<std::vector<int>> rows(200);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (int i = 0; i < 300; ++i)
      rows[r].push_back(static_cast<int>((static_cast<std::size_t>(i) * 31 + r * 77) % 1009));
  }
  const auto expected = [&] {
    auto copy = rows;
    for (auto& row : copy) std::ranges::sort(row);
    std::ranges::sort(copy);
    return copy;
  }();
  std::vector<std::unique_ptr<int>> outer;
  outer.reserve(500);
  for (int i = 0; i < 500; ++i) outer.push_back(std::make_unique<int>(i * 7 % 500));
  pool.submit([&] {
        tutti::parallel_for(std::size_t{0}, rows.size(), [&](std::size_t r) { TypeParam::sort(rows[r]); });
        TypeParam::sort(rows);
        TypeParam::sort(outer, [](const auto& a, const auto& b) {
          std::vector<int> both{*b, *a, *a};  // a sort in the comparator of a sort
          TypeParam::sort(both);
          return both[0] == *a && *a != *b;
        });
      })
      .get();
  EXPECT_EQ(rows, expected);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(*outer[static_cast<std::size_t>(i)], i);
}

TYPED_TEST(both_sorts, can_be_stopped) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(2);
  std::vector<std::string> v;
  v.reserve(30'000);
  for (int i = 0; i < 30'000; ++i) v.push_back(make<std::string>(i * 7919 % 30'000));
  auto expected = v;
  std::ranges::sort(expected);

  std::stop_source before;
  before.request_stop();
  const std::stop_token stopped = before.get_token();
  EXPECT_THROW(TypeParam::sort(pool, v, std::ranges::less(), std::identity(), tutti::loop_options{.stop = stopped}),
               tutti::cancelled);

  std::stop_source during;
  const std::stop_token token = during.get_token();
  const auto less = [&](const std::string& a, const std::string& b) {
    if (calls.fetch_add(1) == 50'000) during.request_stop();
    return a < b;
  };
  EXPECT_THROW(TypeParam::sort(pool, v, less, std::identity(), tutti::loop_options{.stop = token}), tutti::cancelled);
  EXPECT_LT(calls.load(), 200'000);  // all of it is about 450,000
  std::ranges::sort(v);
  EXPECT_EQ(v, expected);
}

TYPED_TEST(both_sorts, is_shared_with_idle_workers) {
  tutti::thread_pool pool(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  while (seen.size() < 2) {
    std::vector<int> v;
    v.reserve(100'000);
    for (int i = 0; i < 100'000; ++i) v.push_back(static_cast<int>(i * 7919LL % 100'000));
    TypeParam::sort(pool, v, [&](int a, int b) {
      if (a % 1000 == 0) {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      }
      return a < b;
    });
  }
}

TYPED_TEST(both_sorts, comparisons_are_few_when_there_is_order) {
  tutti::thread_pool pool(2);
  const auto comparisons = [&](std::vector<int> v) {
    std::atomic<int> calls{0};
    TypeParam::sort(pool, v, [&](int a, int b) {
      calls.fetch_add(1, std::memory_order_relaxed);
      return a < b;
    });
    EXPECT_TRUE(std::ranges::is_sorted(v));
    return calls.load();
  };
  constexpr int n = 100'000;
  std::vector<int> up, down, random;
  std::mt19937 generator(3);
  for (int i = 0; i < n; ++i) {
    up.push_back(i);
    down.push_back(-i);
    random.push_back(static_cast<int>(generator()));
  }
  EXPECT_LT(comparisons(up), n);
  EXPECT_LT(comparisons(down), n + 10);
  EXPECT_LT(comparisons(random), 30 * n);  // n log2 n is 17 n
}

TEST(parallel_stable_sort, equal_elements_keep_their_order) {
  tutti::inline_executor alone;
  tutti::thread_pool three(3);
  struct numbered {
    int key, number;
  };
  struct named {
    std::string key;
    int number;
  };
  const auto expect_stable = [](tutti::local_executor& pool, auto v) {
    std::mt19937 random(11);
    for (const unsigned keys : {1u, 2u, 10u, 1000u}) {
      for (std::size_t i = 0; i < v.size(); ++i) {
        const auto key = static_cast<unsigned>(random() % keys);
        if constexpr (requires {
                        v[i].key += 'a';
                        v[i].key.size();
                      }) {
          v[i].key = std::to_string(key);
        } else {
          v[i].key = static_cast<int>(key);
        }
        v[i].number = static_cast<int>(i);
      }
      auto expected = v;
      std::ranges::sort(expected, {}, [](auto& x) { return std::pair(x.key, x.number); });
      tutti::parallel_stable_sort(pool, v, std::ranges::less(), [](auto& x) { return x.key; });
      for (std::size_t i = 0; i < v.size(); ++i) ASSERT_EQ(v[i].number, expected[i].number) << keys << " keys";
    }
  };
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&three)}) {
    for (const std::size_t n : {5u, 16u, 31u, 33u, 999u, 9'000u, 100'000u}) {
      expect_stable(*pool, std::vector<numbered>(n));
      if (n < 10'000) expect_stable(*pool, std::vector<named>(n));
    }
  }
}

TEST(parallel_stable_sort, a_zero_and_its_negative_are_equal) {
  std::vector<double> v;
  v.reserve(10'000);
  for (int i = 0; i < 10'000; ++i) v.push_back(i % 3 == 0 ? -0.0 : i % 3 == 1 ? 0.0 : -1.0);
  tutti::parallel_stable_sort(v);
  for (std::size_t i = 3333; i < v.size(); ++i) ASSERT_EQ(std::signbit(v[i]), (i - 3333) % 2 == 0) << i;
}

// What is left when too many pivots are bad.
TEST(parallel_sort, its_fallback_sorts) {
  for (const std::int64_t n : {0, 1, 2, 3, 10, 1001}) {
    for (auto keys : patterns(n, 4)) {
      auto expected = keys;
      std::ranges::sort(expected);
      tutti::detail::heap_sort(keys.begin(), keys.end(), std::less<>());
      ASSERT_EQ(keys, expected);
    }
  }
}

// McIlroy's adversary ("A killer adversary for quicksort", 1999): decides values as late as it can, so that every pivot
// is a bad one.
TEST(parallel_sort, an_adversary_does_not_make_it_quadratic) {
  tutti::inline_executor alone;
  constexpr int n = 20'000, gas = n;
  std::vector<int> value(n, gas), order(n);
  for (int i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  int solid = 0, candidate = 0;
  std::int64_t calls = 0;
  tutti::parallel_sort(alone, order, [&](int x, int y) {
    ++calls;
    int& vx = value[static_cast<std::size_t>(x)];
    int& vy = value[static_cast<std::size_t>(y)];
    if (vx == gas && vy == gas) (x == candidate ? vx : vy) = solid++;
    if (vx == gas) {
      candidate = x;
    } else if (vy == gas) {
      candidate = y;
    }
    return vx < vy;
  });
  EXPECT_LT(calls, 100LL * n);
}

}  // namespace
