#include <gtest/gtest.h>
#include <tutti/trace/ring.hpp>

#include <atomic>
#include <thread>

namespace {

using tutti::trace_kind;
using tutti::detail::trace_event;
using tutti::detail::trace_ring;

TEST(trace_ring, keeps_the_last_events_in_order) {
  trace_ring ring(std::size_t{24} * 8);
  ASSERT_EQ(ring.capacity(), 8U);
  for (std::uint64_t i = 0; i < 20; ++i) ring.push(100 + i, trace_kind::mark, i, 2 * i);
  const auto events = ring.copy(0);
  ASSERT_EQ(events.size(), 7U);  // the place of the eighth may be the next to be written
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].a, 13 + i);
    EXPECT_EQ(events[i].b, 2 * (13 + i));
    EXPECT_EQ(events[i].ticks, 113 + i);
    EXPECT_EQ(events[i].kind, trace_kind::mark);
  }
  EXPECT_EQ(ring.copy(18).size(), 2U);
  EXPECT_EQ(ring.copy(20).size(), 0U);
}

TEST(trace_ring, takes_any_number_of_bytes) {
  EXPECT_EQ(trace_ring(0).capacity(), 2U);
  EXPECT_EQ(trace_ring(24 * 5).capacity(), 4U);
  EXPECT_EQ(trace_ring(std::size_t{3} << 21U).capacity(), std::size_t{1} << 18U);
}

TEST(trace_ring, can_be_used_after_it_was_forgotten) {
  trace_ring ring(std::size_t{4} << 20U);
  ring.push(1, trace_kind::mark, 7, 8);
  ring.forget();
  const std::uint64_t first = ring.count();
  ring.push(2, trace_kind::count, 9, 10);
  const auto events = ring.copy(first);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].a, 9U);
}

TEST(trace_ring, can_be_filled_again_after_it_was_forgotten) {
  for (const std::size_t bytes : {std::size_t{24} * 16, std::size_t{24} * 8192}) {
    trace_ring ring(bytes);
    for (const std::uint64_t before : {0U, 5000U, 20'000U}) {
      for (std::uint64_t i = 0; i < before; ++i) ring.push(1, trace_kind::mark, 7, 8);
      ring.forget();
      const std::uint64_t first = ring.count();
      for (std::uint64_t i = 0; i < 2 * ring.capacity() + 3; ++i) ring.push(i, trace_kind::mark, first + i, 0);
      const auto events = ring.copy(first);
      ASSERT_EQ(events.size(), ring.capacity() - 1);
      EXPECT_EQ(events.back().a, ring.count() - 1);
      EXPECT_EQ(events.front().a, ring.count() + 1 - ring.capacity());
    }
  }
}

// Whatever is copied while it is written is whole: all three words of one event.
TEST(trace_ring, is_never_copied_half_written) {
  trace_ring ring(std::size_t{24} * 16);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < 300'000; ++i) ring.push(i, trace_kind::count, i * 3, ~i);
    done = true;
  });
  std::size_t copied = 0;
  for (bool last = false; !last;) {
    last = done;
    const auto events = ring.copy(0);
    copied += events.size();
    for (std::size_t i = 0; i < events.size(); ++i) {
      ASSERT_EQ(events[i].a, events[i].ticks * 3);
      ASSERT_EQ(events[i].b, ~events[i].ticks);
      ASSERT_EQ(events[i].ticks, events[0].ticks + i);
    }
  }
  writer.join();
  EXPECT_GE(copied, ring.capacity() - 1);
}

}  // namespace
