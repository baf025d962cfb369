#include <tutti/core/core.hpp>
#include <tutti/parallel/for.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
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
  tutti::thread_pool pool(4);
  std::atomic<int> calls{0};
  pool.submit([&] { tutti::parallel_for(0, 100, [&](int) { tutti::parallel_for(0, 100, [&](int) { ++calls; }); }); })
      .get();
  EXPECT_EQ(calls.load(), 10'000);
}

// Two workers meet inside the loop, which only a loop that was shared can do.
TEST(parallel_for, is_shared_with_idle_workers) {
  tutti::thread_pool pool(2);
  std::atomic<int> inside{0};
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
