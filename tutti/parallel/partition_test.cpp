#include <tutti/core/core.hpp>
#include <tutti/parallel/for.hpp>
#include <tutti/parallel/partition.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <ranges>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

struct wide {
  int key;
  char rest[92];
};

template <class T>
T make(int key) {
  if constexpr (std::is_same_v<T, std::unique_ptr<int>>) {
    return std::make_unique<int>(key);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a key that is longer than the buffer in a string " + std::to_string(key);
  } else if constexpr (std::is_same_v<T, wide>) {
    return {key, {}};
  } else {
    return static_cast<T>(key);
  }
}
template <class T>
int key_of(const T& x) {
  if constexpr (std::is_same_v<T, std::unique_ptr<int>>) {
    return *x;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return std::stoi(x.substr(x.rfind(' ')));
  } else if constexpr (std::is_same_v<T, wide>) {
    return x.key;
  } else {
    return static_cast<int>(x);
  }
}

// Keys 0..n-1; those below `border` satisfy. They come shuffled, in order, or with the wrong half first.
template <class T>
void expect_partitions(tutti::local_executor& pool, int n, int border) {
  for (const int shape : {0, 1, 2}) {
    std::vector<int> keys(static_cast<std::size_t>(n));
    std::iota(keys.begin(), keys.end(), 0);
    if (shape == 0) std::ranges::shuffle(keys, std::mt19937(static_cast<unsigned>(n)));
    if (shape == 2) std::ranges::reverse(keys);
    std::vector<T> v;
    v.reserve(keys.size());
    for (const int key : keys) v.push_back(make<T>(key));
    std::vector<std::atomic<int>> asked(static_cast<std::size_t>(n));
    const auto at = tutti::parallel_partition(pool, v, [&](const T& x) {
      ++asked[static_cast<std::size_t>(key_of(x))];
      return key_of(x) < border;
    });
    ASSERT_EQ(at - v.begin(), border) << "n " << n << ", shape " << shape;
    std::vector<int> left;
    left.reserve(v.size());
    for (const T& x : v) left.push_back(key_of(x));
    for (int i = 0; i < n; ++i) ASSERT_EQ(left[static_cast<std::size_t>(i)] < border, i < border);
    for (const auto& times : asked) ASSERT_EQ(times.load(), 1);
    std::ranges::sort(left);
    for (int i = 0; i < n; ++i) ASSERT_EQ(left[static_cast<std::size_t>(i)], i);
  }
}

TEST(parallel_partition, every_size_border_and_type) {
  tutti::inline_executor alone;
  tutti::thread_pool one(1), three(3);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&one),
        static_cast<tutti::local_executor*>(&three)}) {
    for (const int n : {0, 1, 2, 100, 16 * 1024 + 1, 40'000}) {
      for (const int border : {0, n / 10, n / 2, n}) {
        expect_partitions<int>(*pool, n, border);
        if (n <= 20'000 && border == n / 2) {
          expect_partitions<wide>(*pool, n, border);
          expect_partitions<std::unique_ptr<int>>(*pool, n, border);
        }
      }
    }
    expect_partitions<std::string>(*pool, 5'000, 1'234);
  }
}

TEST(parallel_partition, takes_iterators_and_borrowed_ranges) {
  std::deque<int> queue{1, 2, 3, 4};
  EXPECT_EQ(tutti::parallel_partition(queue.begin(), queue.end(), [](int x) { return x > 3; }) - queue.begin(), 1);
  EXPECT_EQ(queue[0], 4);
  std::vector<int> v(10);
  std::iota(v.begin(), v.end(), 0);
  const auto at = tutti::parallel_partition(std::ranges::subrange(v), [](int x) { return x % 2 != 0; });
  EXPECT_EQ(at - v.begin(), 5);
}

TEST(parallel_partition, no_predicate_makes_it_lose_an_element) {
  tutti::inline_executor alone;
  tutti::thread_pool three(3);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&three)}) {
    for (const int n : {10, 1000, 60'000}) {
      for (int throw_at = 0; throw_at < 2 * n; throw_at += 1 + n / 4) {
        std::vector<std::unique_ptr<int>> v;
        v.reserve(static_cast<std::size_t>(n));
        for (int i = 0; i < n; ++i) v.push_back(std::make_unique<int>(i));
        std::atomic<int> calls{0};
        const auto partition = [&] {
          tutti::parallel_partition(*pool, v, [&](const auto&) {
            const int call = calls.fetch_add(1);
            if (call == throw_at) throw std::domain_error("predicate");
            return (static_cast<unsigned>(call) * 2654435761u >> 16) % 2 == 0;  // no property of the element
          });
        };
        if (throw_at < n) {
          EXPECT_THROW(partition(), std::domain_error);
        } else {
          partition();
        }
        std::vector<int> left;
        left.reserve(v.size());
        for (const auto& x : v) left.push_back(*x);
        std::ranges::sort(left);
        for (int i = 0; i < n; ++i) ASSERT_EQ(left[static_cast<std::size_t>(i)], i);
      }
    }
  }
}

TEST(parallel_partition, can_be_stopped) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(2);
  std::vector<int> v(100'000);
  std::iota(v.begin(), v.end(), 0);
  std::stop_source source;
  const std::stop_token token = source.get_token();
  EXPECT_THROW(tutti::parallel_partition(pool, v,
                                         [&](int x) {
                                           if (calls.fetch_add(1) == 5'000) source.request_stop();
                                           return x % 2 == 0;
                                         },
                                         {.stop = token}),
               tutti::cancelled);
  EXPECT_LT(calls.load(), 50'000);
  std::ranges::sort(v);
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(v[static_cast<std::size_t>(i)], i);
}

// Work that is long enough is given away: two threads meet in the predicate.
TEST(parallel_partition, is_shared_with_idle_workers) {
  tutti::thread_pool pool(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  while (seen.size() < 2) {
    std::vector<int> v(1'000'000);
    std::iota(v.begin(), v.end(), 0);
    tutti::parallel_partition(pool, v, [&](int x) {
      if (x % 1000 == 0) {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      }
      return x % 3 == 0;
    });
  }
}

TEST(parallel_filter, keeps_the_order_and_asks_once) {
  tutti::inline_executor alone;
  tutti::thread_pool one(1), three(3);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&alone), static_cast<tutti::local_executor*>(&one),
        static_cast<tutti::local_executor*>(&three)}) {
    for (const int n : {0, 1, 2, 511, 512, 513, 1000, 300'000}) {
      std::vector<int> v(static_cast<std::size_t>(n));
      std::iota(v.begin(), v.end(), 0);
      std::atomic<int> calls{0};
      const auto third = [&](int x) {
        ++calls;
        return x % 3 == 0;
      };
      const std::vector<int> found = tutti::parallel_filter(*pool, v, third);
      ASSERT_EQ(calls.load(), n);
      ASSERT_EQ(found.size(), static_cast<std::size_t>((n + 2) / 3));
      for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], static_cast<int>(3 * i));
    }
  }
}

TEST(parallel_filter, takes_views_strings_and_bits) {
  const auto squares = std::views::iota(0, 1000) | std::views::transform([](int i) { return i * i; });
  EXPECT_EQ(tutti::parallel_filter(squares, [](int x) { return x > 998'000; }), (std::vector{999 * 999}));
  const std::vector<std::string> words{"one", "three", "two"};
  EXPECT_EQ(tutti::parallel_filter(words, [](const std::string& w) { return w.size() == 3; }),
            (std::vector<std::string>{"one", "two"}));
  const std::vector<bool> bits{true, false, true};
  EXPECT_EQ(tutti::parallel_filter(bits, std::identity()).size(), 2u);
}

TEST(parallel_filter, exceptions_and_stops_arrive) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(3);
  std::vector<std::string> v(50'000, "a string that is longer than its buffer");
  EXPECT_THROW(tutti::parallel_filter(pool, v,
                                      [&](const std::string&) {
                                        if (calls.fetch_add(1) == 30'000) throw std::domain_error("predicate");
                                        return true;
                                      }),
               std::domain_error);
  std::stop_source source;
  const std::stop_token token = source.get_token();
  source.request_stop();
  EXPECT_THROW(tutti::parallel_filter(pool, v, [](const std::string&) { return true; }, {.stop = token}),
               tutti::cancelled);
}

}  // namespace
