#include <tutti/core/core.hpp>
#include <tutti/parallel/box.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

TEST(box, counts_and_halves) {
  const tutti::box b(4, 6);
  EXPECT_EQ(b.size(), 24u);
  const auto [top, bottom] = b.halves();
  EXPECT_EQ(top, tutti::box({0, 0}, {2, 6}));
  EXPECT_EQ(bottom, tutti::box({2, 0}, {4, 6}));
  EXPECT_EQ(tutti::box(1, 9).halves()[0], tutti::box({0, 0}, {1, 4}));
  EXPECT_EQ(tutti::box(3, 0, 5).size(), 0u);
  EXPECT_EQ(tutti::box(3, -2).size(), 0u);
  EXPECT_EQ(tutti::box({-2, -3}, {2, 3}).size(), 24u);
}

TEST(box, more_elements_than_can_be_counted) {
  const auto huge = std::numeric_limits<std::ptrdiff_t>::max();
  EXPECT_THROW(static_cast<void>(tutti::box(huge, huge).size()), std::length_error);
  EXPECT_THROW(tutti::parallel_for(tutti::box(huge, huge, huge), [](const tutti::box<3>&) {}), std::length_error);
  EXPECT_EQ(tutti::box(huge, huge, 0).size(), 0u);
}

TEST(box, each_cell_once) {
  for (const int threads : {1, 2, 4}) {
    tutti::thread_pool pool(threads);
    std::vector<std::atomic<int>> hits(70 * 130);
    tutti::parallel_for(pool, tutti::box(70, 130),
                        [&](std::ptrdiff_t r, std::ptrdiff_t c) { ++hits[static_cast<std::size_t>(r * 130 + c)]; });
    for (const auto& hit : hits) ASSERT_EQ(hit, 1);
  }
}

TEST(box, each_cell_once_in_blocks_of_three_dimensions) {
  std::vector<std::atomic<int>> hits(11 * 12 * 13);
  tutti::parallel_for(tutti::box({-1, -2, -3}, {10, 10, 10}),
                      [&](const tutti::box<3>& block) {
                        EXPECT_LE(block.size(), 50u);
                        for (auto i = block.first(0); i < block.last(0); ++i)
                          for (auto j = block.first(1); j < block.last(1); ++j)
                            for (auto k = block.first(2); k < block.last(2); ++k)
                              ++hits[static_cast<std::size_t>(((i + 1) * 12 + j + 2) * 13 + k + 3)];
                      },
                      {.grain = 50});
  for (const auto& hit : hits) ASSERT_EQ(hit, 1);
}

TEST(box, empty_ones_call_nothing) {
  tutti::parallel_for(tutti::box(0, 5), [](auto, auto) { FAIL(); });
  tutti::parallel_for(tutti::box(5, 0, 5), [](const tutti::box<3>&) { FAIL(); });
}

TEST(box, exceptions_and_stops_arrive) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(3);
  EXPECT_THROW(tutti::parallel_for(pool, tutti::box(100, 100),
                                   [](std::ptrdiff_t r, std::ptrdiff_t c) {
                                     if (r == 50 && c == 50) throw std::domain_error("50");
                                   }),
               std::domain_error);
  std::stop_source stop;
  EXPECT_THROW(tutti::parallel_for(pool, tutti::box(1000, 1000),
                                   [&](std::ptrdiff_t, std::ptrdiff_t) {
                                     if (++calls == 10) stop.request_stop();
                                   },
                                   {.grain = 1, .stop = stop.get_token()}),
               tutti::cancelled);
  EXPECT_LT(calls, 1000 * 1000);
}

// Blocks grow to a size worth their cost, whatever the extents are.
TEST(box, blocks_grow_on_any_shape) {
  for (const auto& shape : {tutti::box(768, 768), tutti::box(1, 600'000), tutti::box(1001, 577)}) {
    std::atomic<std::uint64_t> blocks{0}, sink{0};
    tutti::parallel_for(shape, [&](const tutti::box<2>& block) {
      ++blocks;
      std::uint64_t sum = 0;
      for (auto i = block.first(0); i < block.last(0); ++i)
        for (auto j = block.first(1); j < block.last(1); ++j) sum += static_cast<std::uint64_t>(i ^ j);
      sink += sum;
    });
    EXPECT_LT(blocks, shape.size() / 30);
  }
}

TEST(box, is_shared_with_idle_workers) {
  std::atomic<int> inside{0};
  tutti::thread_pool pool(2);
  tutti::parallel_for(pool, tutti::box(1, 2), [&](std::ptrdiff_t, std::ptrdiff_t) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 2);
}

// A serial executor is serial inside another pool's task, too.
TEST(box, stays_on_the_caller_of_a_serial_executor) {
  tutti::thread_pool pool(2);
  pool.submit([&] {
        tutti::inline_executor serial;
        const auto caller = std::this_thread::get_id();
        tutti::parallel_for(serial, tutti::box(300, 300),
                            [&](auto, auto) { EXPECT_EQ(std::this_thread::get_id(), caller); });
      })
      .get();
}

TEST(box, nests) {
  std::atomic<int> calls{0};
  tutti::parallel_for(tutti::box(10, 10),
                      [&](auto, auto) { tutti::parallel_for(tutti::box(10, 10), [&](auto, auto) { ++calls; }); });
  EXPECT_EQ(calls, 10'000);
}

}  // namespace
