#include <tutti/core/core.hpp>
#include <tutti/parallel/for.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

// Every index once, whatever the pool.
void expect_each_once(tutti::local_executor& pool, int n) {
  std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
  tutti::parallel_for(pool, 0, n, [&](int i) { hits[static_cast<std::size_t>(i)].fetch_add(1); });
  for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
}

TEST(parallel_for, visits_each_index_once) {
  for (const int threads : {1, 2, 3, 8}) {
    tutti::thread_pool pool(threads);
    for (const int n : {0, 1, 2, 7, 1000, 100'000}) expect_each_once(pool, n);
  }
}

TEST(parallel_for, runs_serially_on_an_inline_executor) {
  tutti::inline_executor pool;
  expect_each_once(pool, 1000);
  const auto caller = std::this_thread::get_id();
  tutti::parallel_for(pool, 0, 100, [&](int) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

TEST(parallel_for, takes_blocks) {
  std::atomic<std::int64_t> sum{0};
  tutti::parallel_for(0, 100'000, [&](int first, int last) {
    ASSERT_LT(first, last);
    std::int64_t part = 0;
    for (int i = first; i < last; ++i) part += i;
    sum += part;
  });
  EXPECT_EQ(sum.load(), 99'999LL * 100'000 / 2);
}

TEST(parallel_for, empty_and_reversed_ranges_do_nothing) {
  tutti::parallel_for(5, 5, [](int) { FAIL(); });
  tutti::parallel_for(5, -5, [](int) { FAIL(); });
}

TEST(parallel_for, ranges_wider_than_the_positive_half_of_the_type) {
  std::atomic<int> calls{0};
  tutti::parallel_for(std::int8_t{-128}, std::int8_t{127}, [&](int) { ++calls; });
  EXPECT_EQ(calls.load(), 255);
  std::atomic<std::uint64_t> covered{0};
  tutti::parallel_for(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(),
                      [&](std::int64_t first, std::int64_t last) {
                        covered += static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
                      });
  EXPECT_EQ(covered.load(), std::numeric_limits<std::uint64_t>::max());
}

TEST(parallel_for, ranges_longer_than_2_to_the_32) {
  constexpr std::uint64_t n = (std::uint64_t{1} << 40) + 12'345;
  std::atomic<std::uint64_t> covered{0};
  tutti::parallel_for(std::uint64_t{0}, n, [&](std::uint64_t first, std::uint64_t last) { covered += last - first; });
  EXPECT_EQ(covered.load(), n);
  covered = 0;
  const auto count = [&](std::uint64_t first, std::uint64_t last) { covered += last - first; };
  tutti::parallel_for(std::uint64_t{0}, n, count, {.grain = std::size_t{1} << 33});
  EXPECT_EQ(covered.load(), n);
}

TEST(parallel_for, over_iterators) {
  std::vector<int> data(10'000, 1);
  tutti::parallel_for(data.begin(), data.end(), [](std::vector<int>::iterator at) { *at += 1; });
  tutti::parallel_for(data.begin(), data.end(), [](auto first, auto last) {
    for (; first != last; ++first) *first += 1;
  });
  EXPECT_EQ(data, std::vector<int>(10'000, 3));
  std::deque<int> queue(3000, 1);
  tutti::parallel_for(queue.begin() + 1000, queue.end(), [](auto at) { *at = 0; });
  EXPECT_EQ(std::count(queue.begin(), queue.end(), 1), 1000);
}

TEST(parallel_for, blocks_of_a_told_grain) {
  for (const int threads : {1, 4}) {
    tutti::thread_pool pool(threads);
    for (const std::size_t grain : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, std::size_t{5000},
                                    std::numeric_limits<std::size_t>::max()}) {
      std::atomic<int> covered{0};
      tutti::parallel_for(pool, 10, 4020,
                          [&](int first, int last) {
                            EXPECT_EQ(static_cast<std::size_t>(first - 10) % grain, 0u);
                            EXPECT_TRUE(static_cast<std::size_t>(last - first) == grain || last == 4020);
                            covered += last - first;
                          },
                          {.grain = grain});
      EXPECT_EQ(covered, 4010);
    }
  }
}

TEST(parallel_for, positions_reach_no_further_than_their_type) {
  const auto range = std::views::iota(std::uint64_t{0}, std::uint64_t{1} << 63U);
  EXPECT_THROW(tutti::parallel_for(range.begin(), range.end(), [](auto) { FAIL(); }), std::length_error);
}

TEST(parallel_for, a_grain_of_nothing_is_refused) {
  try {
    tutti::parallel_for(0, 10, [](int) {}, {.grain = 0});
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(
        e.what(),
        "parallel_for: grain is 0, but a block has at least one iteration; leave grain out to have it measured");
  }
}

TEST(parallel_for, can_be_stopped) {
  for (const int threads : {1, 3}) {
    std::atomic<int> calls{0};
    tutti::thread_pool pool(threads);
    std::stop_source stop;
    const auto body = [&](int) {
      if (++calls == 100) stop.request_stop();
    };
    EXPECT_THROW(tutti::parallel_for(pool, 0, 1'000'000, body, {.grain = 1, .stop = stop.get_token()}),
                 tutti::cancelled);
    EXPECT_LT(calls, 1'000'000);
    calls = 0;
    EXPECT_THROW(tutti::parallel_for(pool, 0, 10, body, {.stop = stop.get_token()}), tutti::cancelled);
    EXPECT_EQ(calls, 0);
    tutti::parallel_for(pool, 0, 0, body, {.stop = stop.get_token()});  // nothing was left out
  }
}

TEST(parallel_for, ends_with_the_task_it_runs_in) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(2);
  tutti::promise<void> begun;
  auto running = begun.get_future();
  auto loop = pool.submit([&] {
    tutti::parallel_for(0, std::numeric_limits<int>::max(),
                        [&](int) {
                          if (++calls == 1) begun.set_value();
                          std::this_thread::yield();
                        },
                        {.grain = 1});
  });
  running.get();
  loop.cancel();
  EXPECT_THROW(loop.get(), tutti::cancelled);
  pool.shutdown(tutti::shutdown_mode::finish);  // the loop ends, or this would last for hours
  EXPECT_LT(calls, std::numeric_limits<int>::max());
}

// The caller throws as soon as somebody else is in the loop, who has years of iterations left.
TEST(parallel_for, an_exception_stops_the_other_parts) {
  std::atomic<bool> shared{false};
  tutti::thread_pool pool(2);
  const auto caller = std::this_thread::get_id();
  const auto body = [&](std::int64_t) {
    if (std::this_thread::get_id() != caller) {
      shared = true;
    } else if (shared) {
      throw std::domain_error("shared");
    }
    std::this_thread::yield();
  };
  EXPECT_THROW(tutti::parallel_for(pool, std::int64_t{0}, std::numeric_limits<std::int64_t>::max(), body),
               std::domain_error);
}

TEST(parallel_for, mixed_index_types) {
  const std::vector<int> data(1000, 1);
  std::atomic<int> sum{0};
  tutti::parallel_for(0, data.size(), [&](std::size_t i) { sum += data[i]; });
  EXPECT_EQ(sum.load(), 1000);
}

TEST(parallel_for, an_exception_arrives_and_the_pool_lives_on) {
  tutti::thread_pool pool(4);
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(tutti::parallel_for(pool, 0, 100'000,
                                     [&](int i) {
                                       if (i == 77'777) throw std::domain_error("77777");
                                     }),
                 std::domain_error);
  }
  expect_each_once(pool, 1000);
}

TEST(parallel_for, nests_inside_itself_and_inside_tasks) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(4);
  pool.submit([&] { tutti::parallel_for(0, 100, [&](int) { tutti::parallel_for(0, 100, [&](int) { ++calls; }); }); })
      .get();
  EXPECT_EQ(calls.load(), 10'000);
}

// Two workers meet inside the loop, which only a loop that was shared can do.
TEST(parallel_for, is_shared_with_idle_workers) {
  std::atomic<int> inside{0};
  tutti::thread_pool pool(2);
  tutti::parallel_for(pool, 0, 2, [&](int) {
    ++inside;
    while (inside.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside.load(), 2);
}

TEST(parallel_for, from_many_outside_threads_at_once) {
  std::atomic<int> calls{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) tutti::parallel_for(0, 1000, [&](int) { ++calls; });
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(calls.load(), 8 * 50 * 1000);
}

}  // namespace
