// map over local executors: laziness, order, errors, references and ownership, dropping.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tests/support/collect.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::thread_pool;
using tutti_test::collect;
using tutti_test::watchdog;

std::vector<int> numbers(int n) {
  std::vector<int> made(static_cast<std::size_t>(n));
  std::iota(made.begin(), made.end(), 0);
  return made;
}

TEST(Map, GivesTheResultsInInputOrder) {
  const watchdog dog;
  thread_pool pool(3);
  for (const std::size_t chunk : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{5000}}) {
    int next = 0;
    for (const int r : pool.map(numbers(1000), [](int i) { return 2 * i; }, {.chunk = chunk})) EXPECT_EQ(r, 2 * next++);
    EXPECT_EQ(next, 1000) << chunk;
  }
}

TEST(Map, OrderDoesNotDependOnWhoIsFirst) {
  const watchdog dog;
  thread_pool pool(2);
  std::array<std::atomic<bool>, 12> done{};
  auto late = [&](int i) {
    // Of the four elements in flight one must be the last.
    if (i % 4 == 0) {
      while (!done[static_cast<std::size_t>(i) + 1]) std::this_thread::yield();
    }
    done[static_cast<std::size_t>(i)] = true;
    return i;
  };
  EXPECT_EQ(collect(pool.map(numbers(12), late, {.chunk = 1})), numbers(12));
}

TEST(Map, NothingRunsBeforeTheFirstElementIsAsked) {
  const watchdog dog;
  std::atomic<int> pulled{0}, called{0};
  thread_pool pool(2);
  auto input = std::views::iota(0, 50) | std::views::transform([&](int i) { return ++pulled, i; });
  {
    auto results = pool.map(input, [&](int i) { return ++called, i; });
    pool.submit([] {}).get();
    EXPECT_EQ(pulled, 0);
    EXPECT_EQ(called, 0);
  }
  EXPECT_EQ(pulled, 0) << "nor when it is dropped unread";
  EXPECT_EQ(called, 0);
}

TEST(Map, KeepsTwiceTheConcurrencyInFlight) {
  const watchdog dog;
  for (const int threads : {1, 2, 3}) {
    std::atomic<int> pulled{0}, open{0};
    thread_pool pool(threads);
    auto input = std::views::iota(0, 20) | std::views::transform([&](int i) { return ++pulled, i; });
    auto results = pool.map(input,
                            [&](int i) {
                              while (open < i) std::this_thread::yield();
                              return i;
                            },
                            {.chunk = 1});
    auto it = results.begin();  // element 0 may pass
    for (int i = 0; i < 20; ++i, open = i, ++it) {
      ASSERT_FALSE(it == results.end());
      EXPECT_EQ(*it, i);
      EXPECT_EQ(pulled, std::min(20, 2 * threads + i)) << threads;
    }
    EXPECT_TRUE(it == results.end());
  }
}

TEST(Map, FixedChunksAreCalls) {
  const watchdog dog;
  thread_pool pool(2);
  const auto before = pool.stats().submitted;
  EXPECT_EQ(collect(pool.map(numbers(10), [](int i) { return i; }, {.chunk = 3})), numbers(10));
  EXPECT_EQ(pool.stats().submitted - before, 4U);
}

TEST(Map, TheAutomaticChunkFollowsTheMeasuredTime) {
  using namespace std::chrono_literals;
  tutti::detail::chunk_sizer sizer(tutti::auto_chunk, 2);
  EXPECT_EQ(sizer.in_flight(), 4U);
  EXPECT_EQ(sizer.next(std::nullopt), 1U);
  sizer.measured(1, 1us);  // 100 would fit, but not yet
  EXPECT_EQ(sizer.next(std::nullopt), 4U);
  sizer.measured(4, 4us);
  sizer.measured(16, 16us);
  sizer.measured(64, 64us);
  EXPECT_EQ(sizer.next(std::nullopt), 100U);
  EXPECT_EQ(sizer.next(40), 10U) << "the end is shared evenly";
  EXPECT_EQ(sizer.next(1), 1U);
  sizer.measured(100, 10ms);
  EXPECT_EQ(sizer.next(std::nullopt), 1U);
  sizer.measured(1, 10s);
  EXPECT_EQ(sizer.next(std::nullopt), 1U) << "never none";
  EXPECT_EQ(tutti::detail::chunk_sizer(9, 2).next(1000), 9U);
}

TEST(Map, EmptyRanges) {
  const watchdog dog;
  thread_pool pool(1);
  EXPECT_TRUE(collect(pool.map(std::vector<int>(), [](int i) { return i; })).empty());
  EXPECT_TRUE(collect(pool.map_unordered(std::vector<int>(), [](int i) { return i; })).empty());
  std::istringstream nothing;
  EXPECT_TRUE(collect(pool.map(std::views::istream<int>(nothing), [](int i) { return i; })).empty());
}

TEST(Map, VoidFunctions) {
  const watchdog dog;
  std::atomic<int> sum{0};
  thread_pool pool(2);
  int n = 0;
  for ([[maybe_unused]] std::monostate& none : pool.map(numbers(100), [&](int i) { sum += i; })) ++n;
  EXPECT_EQ(n, 100);
  EXPECT_EQ(sum, 4950);
}

// ---------------------------------------------------------------- errors

TEST(Map, AnErrorIsThrownAtItsElementAndReadingGoesOn) {
  const watchdog dog;
  thread_pool pool(2);
  for (const std::size_t chunk : {std::size_t{1}, std::size_t{4}, std::size_t{0}}) {
    auto results = pool.map(numbers(30),
                            [](int i) {
                              if (i % 3 == 1) throw std::out_of_range(std::to_string(i));
                              return i;
                            },
                            {.chunk = chunk});
    int i = 0;
    for (auto it = results.begin(); it != results.end(); ++it, ++i) {
      if (i % 3 == 1) {
        try {
          *it;
          ADD_FAILURE() << i;
        } catch (const std::out_of_range& error) {
          EXPECT_EQ(error.what(), std::to_string(i));
        }
        EXPECT_THROW(*it, std::out_of_range) << "each time it is read";
      } else {
        EXPECT_EQ(*it, i);
        EXPECT_EQ(*it, i);
      }
    }
    EXPECT_EQ(i, 30);
  }
}

TEST(Map, UnorderedErrorsToo) {
  const watchdog dog;
  thread_pool pool(2);
  auto results = pool.map_unordered(numbers(10), [](int i) {
    if (i == 5) throw std::runtime_error("five");
    return i;
  });
  int good = 0, bad = 0;
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      good += (*it).value >= 0;
    } catch (const std::runtime_error&) {
      ++bad;
    }
  }
  EXPECT_EQ(good, 9);
  EXPECT_EQ(bad, 1);
}

TEST(Map, AShutdownEndsItBehindWhatWasHandedIn) {
  const watchdog dog;
  std::atomic<bool> stopping{false};
  thread_pool pool(1);
  auto results = pool.map(numbers(6),
                          [&](int i) {
                            while (i == 1 && !tutti::this_task::stop_requested()) stopping = true;
                            return i;
                          },
                          {.chunk = 1});
  auto it = results.begin();
  EXPECT_EQ(*it, 0);
  while (!stopping) std::this_thread::yield();
  pool.shutdown(tutti::cancel);
  ++it;
  EXPECT_EQ(*it, 1) << "it ran";
  EXPECT_THROW(++it, tutti::closed) << "it was never handed in";
}

struct breaking_range {
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    int at = 0;
    int operator*() const {
      if (at == 5) throw std::domain_error("no more");
      return at;
    }
    iterator& operator++() {
      ++at;
      return *this;
    }
    void operator++(int) { ++at; }
    bool operator==(std::default_sentinel_t) const { return at == 100; }
  };
  iterator begin() const { return {}; }
  std::default_sentinel_t end() const { return {}; }
};

TEST(Map, AnInputThatFailsIsThrownByTheIteratorAndWhatWasStartedCanBeRead) {
  tutti::inline_executor here;
  auto results = here.map(breaking_range{}, [](int n) { return 2 * n; }, {.chunk = 1});
  auto at = results.begin();
  std::vector<int> seen;
  int thrown = 0;
  while (at != results.end()) {
    try {
      seen.push_back(*at);
    } catch (const std::logic_error&) {
      ++thrown;
    }
    try {
      ++at;
    } catch (const std::domain_error&) {
      ++thrown;
      EXPECT_THROW(static_cast<void>(*at), std::logic_error);
      ++at;
    }
  }
  EXPECT_EQ(seen, (std::vector{0, 2, 4, 6, 8}));
  EXPECT_EQ(thrown, 1);
}

TEST(Map, ReadingThatBeginsAfterTheShutdownIsAnError) {
  thread_pool pool(1);
  auto late = pool.map(numbers(2), [](int n) { return n; });
  pool.shutdown();
  EXPECT_THROW(static_cast<void>(late.begin()), tutti::closed);
}

// ---------------------------------------------------------------- dropping

TEST(Map, DroppingCancelsTheRestAndWaitsForWhatRuns) {
  const watchdog dog;
  std::atomic<int> called{0}, ended{0};
  std::atomic<bool> in_second{false};
  thread_pool pool(1);
  {
    auto results = pool.map(numbers(100),
                            [&](int i) {
                              ++called;
                              while (i == 1 && !tutti::this_task::stop_requested()) in_second = true;
                              ++ended;
                              return i;
                            },
                            {.chunk = 1});
    EXPECT_EQ(*results.begin(), 0);
    while (!in_second) std::this_thread::yield();
  }
  EXPECT_EQ(called, 2);
  EXPECT_EQ(ended, 2);
  pool.submit([] {}).get();
  EXPECT_EQ(called, 2) << "nothing is left behind in the queue";
}

TEST(Map, DroppingStopsInsideAChunk) {
  const watchdog dog;
  std::atomic<int> called{0};
  std::atomic<bool> in_chunk{false};
  thread_pool pool(1);
  {
    auto results = pool.map(numbers(100),
                            [&](int i) {
                              ++called;
                              while (i == 12 && !tutti::this_task::stop_requested()) in_chunk = true;
                              return i;
                            },
                            {.chunk = 10});
    EXPECT_EQ(*results.begin(), 0);
    while (!in_chunk) std::this_thread::yield();
  }
  EXPECT_EQ(called, 13);
}

TEST(Map, DroppingUnorderedResults) {
  const watchdog dog;
  std::atomic<int> running{0};
  thread_pool pool(2);
  for (int round = 0; round < 50; ++round) {
    auto results = pool.map_unordered(numbers(40), [&](int i) { return ++running, --running, i; }, {.chunk = 2});
    for (auto& [index, value] : results) {
      EXPECT_EQ(static_cast<int>(index), value);
      if (value >= round % 10) break;
    }
  }
  EXPECT_EQ(running, 0);
}

}  // namespace
