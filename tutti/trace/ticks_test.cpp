#include <gtest/gtest.h>
#include <tutti/trace/ticks.hpp>

namespace {

using tutti::detail::tick_pair;
using tutti::detail::tick_scale;

TEST(trace_ticks, never_go_back) {
  for (const bool by_cpu : {tutti::detail::has_cpu_ticks(), false}) {
    std::uint64_t before = tutti::detail::ticks(by_cpu);
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t now = tutti::detail::ticks(by_cpu);
      EXPECT_GE(now, before);
      before = now;
    }
  }
}

TEST(trace_ticks, scale_is_a_line_through_two_moments) {
  const tick_scale scale(tick_pair{.ticks = 1'000, .ns = 500}, tick_pair{.ticks = 3'000, .ns = 1'500});
  EXPECT_EQ(scale.duration_ns(), 1'000);
  EXPECT_EQ(scale.ns_since_start(1'000, 56), 0);
  EXPECT_EQ(scale.ns_since_start(2'000, 56), 500);
  EXPECT_EQ(scale.ns_since_start(3'000, 56), 1'000);
  EXPECT_EQ(scale.ns_since_start(0, 56), -500);
}

TEST(trace_ticks, only_low_bits_are_needed) {
  const std::uint64_t high = std::uint64_t{0xAB} << 56U;
  const std::uint64_t near_wrap = (std::uint64_t{1} << 56U) - 100;
  const tick_scale scale(tick_pair{.ticks = high + near_wrap, .ns = 0},
                         tick_pair{.ticks = high + near_wrap + 1000, .ns = 1000});
  EXPECT_EQ(scale.ns_since_start(near_wrap + 10, 56), 10);
  EXPECT_EQ(scale.ns_since_start(50, 56), 150);  // beyond the wrap
}

TEST(trace_ticks, no_time_at_all) {
  const tick_pair moment{.ticks = 5, .ns = 5};
  const tick_scale scale(moment, moment);
  EXPECT_EQ(scale.duration_ns(), 0);
  EXPECT_EQ(scale.ns_since_start(9, 56), 0);
}

TEST(trace_ticks, pairs_agree_with_the_steady_clock) {
  const bool by_cpu = tutti::detail::has_cpu_ticks();
  const tick_pair first = tick_pair::now(by_cpu), second = tick_pair::now(by_cpu);
  EXPECT_GE(second.ns, first.ns);
  EXPECT_GE(second.ticks, first.ticks);
}

}  // namespace
