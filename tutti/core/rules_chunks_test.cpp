// Chunks of map and submit_bulk that end early: by a timeout, a stop or a shutdown. At the end nothing touches the
// range any more, and no element is missing that nobody speaks of.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <numeric>
#include <stop_token>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::thread_pool;
using tutti_test::until_stopped;
using tutti_test::watchdog;

// ---- timeouts: the future fails while an element still runs

// An element whose lives are counted.
struct counted {
  explicit counted(int number) : n(number) { ++alive; }
  counted(counted&& other) noexcept : n(other.n) { ++alive; }
  counted& operator=(counted&&) = delete;
  ~counted() { --alive; }
  int n;
  static inline std::atomic<int> alive{0};
};

std::vector<counted> elements(int n) {
  std::vector<counted> made;
  made.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) made.emplace_back(i);
  return made;
}

// The function of an element that runs until it is let go, and what it saw then.
struct held_element {
  std::latch started{1}, gate{1};
  std::atomic<bool> ended{false}, dropped{false};
  int alive_at_the_end = 0;

  void run() {
    started.count_down();
    gate.wait();
    alive_at_the_end = counted::alive;
    ended = true;
  }
  // On a thread of its own: the timeout comes; then the element is let go once its results are dropped. As that should
  // wait for the element it is let go after a while, too: whatever comes first, a right program passes.
  std::jthread let_go_after_its_timeout(tutti::virtual_clock& clock) {
    return std::jthread([this, &clock] {
      started.wait();
      clock.advance(2s);
      for (int looks = 0; looks < 10'000 && !dropped; ++looks) std::this_thread::yield();
      gate.count_down();
    });
  }
};

struct rules_chunks_timeout : testing::Test {
  watchdog dog;
  tutti::virtual_clock clock;
  held_element held;
  thread_pool pool{2};
};

TEST_F(rules_chunks_timeout, a_dropped_map_waits_for_the_element_that_was_read) {
  {
    const std::jthread other = held.let_go_after_its_timeout(clock);
    {
      auto results = pool.with({.timeout = 1s}).map(elements(1), [this](const counted& one) {
        held.run();
        return one.n;
      });
      EXPECT_THROW(static_cast<void>(*results.begin()), tutti::timed_out);
    }
    EXPECT_TRUE(held.ended);
    held.dropped = true;
  }
  EXPECT_EQ(held.alive_at_the_end, 1);
  EXPECT_EQ(counted::alive, 0);
}

TEST_F(rules_chunks_timeout, a_dropped_map_waits_for_the_element_that_was_not_read) {
  {
    std::jthread other;
    {
      const auto function = [this](const counted& one) {
        if (one.n == 1) held.run();
        return one.n;
      };
      auto results = pool.with({.timeout = 1s}).map(elements(2), function, {.chunk = 1});
      EXPECT_EQ(*results.begin(), 0);
      other = held.let_go_after_its_timeout(clock);
      held.started.wait();  // or it would be cancelled
    }
    EXPECT_TRUE(held.ended);
    held.dropped = true;
  }
  EXPECT_EQ(held.alive_at_the_end, 2);
  EXPECT_EQ(counted::alive, 0);
}

TEST_F(rules_chunks_timeout, a_map_read_to_its_end_waits_for_the_elements_of_the_callers_range) {
  std::vector<int> range{0, 1, 2};
  int values = 0, late = 0;
  {
    std::jthread other;
    {
      const auto function = [this](int& n) {
        if (n == 0) held.run();
        return n;
      };
      auto results = pool.with({.timeout = 1s}).map_unordered(range, function, {.chunk = 1});
      for (auto it = results.begin(); it != results.end(); ++it) {
        try {
          static_cast<void>(*it);
          if (++values == 2) other = held.let_go_after_its_timeout(clock);  // there is only the held one left
        } catch (const tutti::timed_out&) {
          ++late;
        }
      }
    }
    EXPECT_TRUE(held.ended);
    held.dropped = true;
  }
  EXPECT_EQ(values, 2);
  EXPECT_EQ(late, 1);
}

TEST_F(rules_chunks_timeout, a_bulk_is_done_when_the_element_has_ended) {
  std::vector<int> range{0, 1, 2};
  const auto function = [this](int& n) {
    if (n == 1) held.run();
    return n;
  };
  auto whole = pool.with({.timeout = 1s}).submit_bulk(range, function, {.chunk = 1});
  held.started.wait();
  clock.advance(2s);
  EXPECT_FALSE(whole.done());
  held.gate.count_down();
  EXPECT_THROW(whole.get(), tutti::timed_out);
  EXPECT_TRUE(held.ended);
}

TEST_F(rules_chunks_timeout, a_chunk_computes_no_more_elements) {
  std::vector<int> range(100);
  std::atomic<int> calls{0};
  const auto function = [&](int) {
    if (++calls == 1) held.run();
  };
  auto whole = pool.with({.timeout = 1s}).submit_bulk(range, function, {.chunk = 100});
  held.started.wait();
  clock.advance(2s);
  held.gate.count_down();
  EXPECT_THROW(whole.get(), tutti::timed_out);
  pool.shutdown();
  EXPECT_EQ(calls, 1);
}

// ---- stops: between elements

constexpr int many = 250, last = 10;  // element `last` is the last one to be computed

std::vector<int> numbers() {
  std::vector<int> all(many);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

struct tally {
  int values = 0, cancelled = 0, misplaced = 0;
};

int position(int, int at) { return at; }
template <class T>
int position(const tutti::indexed<T>& one, int) {
  return static_cast<int>(one.index);
}
int value(int n) { return n; }
int value(const tutti::indexed<int>& one) { return one.value; }

// Each number is its own place.
template <class Results>
tally read_all(Results results) {
  tally seen;
  int at = 0;
  for (auto it = results.begin(); it != results.end(); ++it, ++at) {
    try {
      seen.misplaced += value(*it) != position(*it, at);
      ++seen.values;
    } catch (const tutti::cancelled&) {
      ++seen.cancelled;
    }
  }
  return seen;
}

void expect_cut_off(const tally& seen) {
  EXPECT_EQ(seen.values, last + 1);
  EXPECT_EQ(seen.cancelled, many - last - 1);
  EXPECT_EQ(seen.misplaced, 0);
}

// A pool of one, and a call that is asked to stop by its element `last`.
struct stopped_by_last {
  int operator()(int n) {
    ++calls;
    if (n == last) source.request_stop();
    return n;
  }
  auto where() { return pool.with({.stop = token}); }

  std::atomic<int> calls{0};
  thread_pool pool{1};
  std::stop_source source;
  std::stop_token token = source.get_token();
};

struct rules_chunks_stop : testing::TestWithParam<std::size_t> {
  const watchdog dog;
  stopped_by_last call;
};

TEST_P(rules_chunks_stop, a_map_says_cancelled_for_the_rest) {
  expect_cut_off(read_all(call.where().map(numbers(), std::ref(call), {.chunk = GetParam()})));
}

TEST_P(rules_chunks_stop, a_map_unordered_says_cancelled_for_the_rest) {
  expect_cut_off(read_all(call.where().map_unordered(numbers(), std::ref(call), {.chunk = GetParam()})));
}

TEST_P(rules_chunks_stop, a_bulk_is_cancelled) {
  auto whole = call.where().submit_bulk(numbers(), std::ref(call), {.chunk = GetParam()});
  EXPECT_THROW(static_cast<void>(whole.get()), tutti::cancelled);
  EXPECT_EQ(call.calls, last + 1);
}

// Several chunks, and one that holds more than there is.
INSTANTIATE_TEST_SUITE_P(chunks_of, rules_chunks_stop, testing::Values(100U, 1000U), testing::PrintToStringParamName());

TEST(rules_chunks_retries, end_with_the_stop) {
  const watchdog dog;
  std::atomic<int> calls{0};
  thread_pool pool{1};
  std::stop_source source;
  const auto token = source.get_token();
  const auto function = [&](int) {
    ++calls;
    source.request_stop();
    throw tutti::retryable("again");
  };
  auto whole = pool.with({.retries = 1000, .stop = token}).submit_bulk(numbers(), function, {.chunk = many});
  EXPECT_ANY_THROW(whole.get());
  EXPECT_EQ(calls, 1);
}

// ---- a shutdown that cancels: likewise

TEST(rules_chunks_shutdown, a_cancelled_map_says_cancelled_for_the_rest) {
  const watchdog dog;
  std::latch started(1);
  thread_pool pool{1};
  std::jthread other([&] {
    started.wait();
    pool.shutdown(tutti::cancel);
  });
  const auto function = [&](int n) {
    if (n == last) {
      started.count_down();
      until_stopped();
    }
    return n;
  };
  expect_cut_off(read_all(pool.map(numbers(), function, {.chunk = many})));
}

TEST(rules_chunks_shutdown, a_cancelled_bulk_is_cancelled) {
  const watchdog dog;
  std::latch started(1);
  std::atomic<int> calls{0};
  thread_pool pool{1};
  const auto function = [&](int n) {
    ++calls;
    if (n != last) return;
    started.count_down();
    until_stopped();
  };
  auto whole = pool.submit_bulk(numbers(), function, {.chunk = 100});
  started.wait();
  pool.shutdown(tutti::cancel);
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_EQ(calls, last + 1);
}

TEST(rules_chunks_retries, end_with_the_shutdown) {
  const watchdog dog;
  std::latch started(1);
  std::atomic<int> calls{0};
  thread_pool pool{1};
  const auto function = [&](int) {
    if (++calls == 1) started.count_down();
    until_stopped();
    throw tutti::retryable("again");
  };
  auto whole = pool.with({.retries = 1000}).submit_bulk(numbers(), function, {.chunk = many});
  started.wait();
  pool.shutdown(tutti::cancel);
  EXPECT_ANY_THROW(whole.get());
  EXPECT_EQ(calls, 1);
}

}  // namespace
