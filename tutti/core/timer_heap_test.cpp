// The heap of timers against a sorted set that does the same.
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <tuple>
#include <tutti/core/timer_heap.hpp>

namespace {

using tutti::detail::timer_heap;
using tutti::detail::timer_place;
using time_point = timer_heap::time_point;

time_point at(int n) { return time_point(std::chrono::nanoseconds(n)); }

TEST(TimerHeap, KnowsWhoIsLinked) {
  timer_heap heap;
  timer_place a, b;
  EXPECT_FALSE(a.linked());
  heap.reserve(2);
  heap.add(a, at(2));
  heap.add(b, at(1));
  EXPECT_TRUE(a.linked());
  EXPECT_EQ(&heap.first(), &b);
  EXPECT_EQ(heap.first_time(), at(1));
  heap.remove(b);
  EXPECT_FALSE(b.linked());
  EXPECT_EQ(&heap.first(), &a);
  heap.remove(a);
  EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, SaysSoWhenTheNumberOfTimersIsTooLarge) {
  timer_heap heap;
  EXPECT_THROW(heap.reserve(timer_place::idle), std::bad_alloc);
  EXPECT_THROW(heap.reserve(std::size_t{1} << 33), std::bad_alloc);
}

// Few different times: most are equal, and the turn decides.
TEST(TimerHeap, GivesTheEarliestAndOfEqualsTheFirstAdded) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    const int times = round % 2 == 0 ? 10 : 1'000'000;
    timer_heap heap;
    std::deque<timer_place> all(2000);
    std::vector<time_point> when(all.size());
    std::set<std::tuple<time_point, std::uint64_t, timer_place*>> expected;
    std::uint64_t turn = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (random() % 8 == 0 && !heap.empty()) {
        ASSERT_EQ(heap.first_time(), std::get<0>(*expected.begin()));
        ASSERT_EQ(&heap.first(), std::get<2>(*expected.begin()));
        heap.remove(heap.first());
        expected.erase(expected.begin());
        continue;
      }
      const std::size_t i = random() % all.size();
      timer_place& one = all[i];
      if (one.linked() && random() % 2 == 0) {
        ASSERT_EQ(expected.erase({when[i], one.turn, &one}), 1U);
        one.turn = ++turn;
        when[i] = at(static_cast<int>(random() % static_cast<unsigned>(times)));
        heap.move(one, when[i]);
        expected.emplace(when[i], one.turn, &one);
      } else if (one.linked()) {
        heap.remove(one);
        ASSERT_EQ(expected.erase({when[i], one.turn, &one}), 1U);
      } else {
        heap.reserve(heap.size() + 1);
        one.turn = ++turn;
        when[i] = at(static_cast<int>(random() % static_cast<unsigned>(times)));
        heap.add(one, when[i]);
        expected.emplace(when[i], one.turn, &one);
      }
      ASSERT_EQ(heap.size(), expected.size());
    }
    for (const auto& [time, number, entry] : expected) {
      ASSERT_EQ(&heap.first(), entry);
      heap.remove(*entry);
    }
    EXPECT_TRUE(heap.empty());
  }
}

}  // namespace
