#include <gtest/gtest.h>
#include <thread>
#include <tutti/base/clock.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::clock_source;
using tutti::virtual_clock;

TEST(clock, the_machines_by_default) {
  EXPECT_FALSE(tutti::current_clock().is_virtual());
  const auto before = std::chrono::steady_clock::now();
  const auto read = tutti::now();
  EXPECT_LE(before, read);
  EXPECT_LE(read, std::chrono::steady_clock::now());
}

TEST(clock, virtual_time_moves_by_hand) {
  clock_source* held = nullptr;
  {
    virtual_clock clock;
    held = &tutti::current_clock();
    EXPECT_TRUE(held->is_virtual());
    const auto start = tutti::now();
    EXPECT_EQ(tutti::now(), start);
    clock.advance(2s);
    EXPECT_EQ(tutti::now(), start + 2s);
    clock.advance_to(start + 1s);
    EXPECT_EQ(tutti::now(), start + 2s);
    clock.advance_to(start + 1h);
    EXPECT_EQ(clock.now(), start + 1h);
    EXPECT_THROW(clock.advance(-1ns), std::invalid_argument);
  }
  EXPECT_FALSE(tutti::current_clock().is_virtual());
  EXPECT_TRUE(held->is_virtual());  // the reference outlives the clock
  (void)held->now();
}

TEST(clock, virtual_clocks_nest) {
  virtual_clock outer;
  outer.advance(1h);
  const auto start = outer.now();
  {
    virtual_clock inner;
    EXPECT_EQ(inner.now(), start);
    inner.advance(1s);
    EXPECT_EQ(tutti::now(), start + 1s);
  }
  EXPECT_EQ(tutti::now(), start);
}

TEST(clock, subscribers_hear_every_move) {
  std::vector<clock_source::time_point> heard;
  const auto id = clock_source::subscribe([&](clock_source::time_point now) { heard.push_back(now); });
  {
    virtual_clock clock;
    const auto start = clock.now();
    clock.advance(5s);
    ASSERT_EQ(heard.size(), 2u);
    EXPECT_EQ(heard[0], start);
    EXPECT_EQ(heard[1], start + 5s);
  }
  EXPECT_EQ(heard.size(), 3u);  // and that the machine's is back
  clock_source::unsubscribe(id);
  clock_source::unsubscribe(id);
  virtual_clock again;
  EXPECT_EQ(heard.size(), 3u);
}

TEST(clock, a_subscriber_may_unsubscribe_itself_and_subscribe_others) {
  int calls = 0;
  clock_source::subscription id = 0;
  clock_source::subscription other = 0;
  id = clock_source::subscribe([&](clock_source::time_point) {
    ++calls;
    clock_source::unsubscribe(id);
    other = clock_source::subscribe([](clock_source::time_point) {});
  });
  virtual_clock clock;
  clock.advance(1s);
  EXPECT_EQ(calls, 1);
  clock_source::unsubscribe(other);
}

TEST(clock, no_call_after_unsubscribe_returned) {
  virtual_clock clock;
  std::jthread mover([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) clock.advance(1ns);
  });
  std::jthread second([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) clock.advance(1ns);
  });
  for (int i = 0; i < 200; ++i) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    const auto id = clock_source::subscribe([&count = *alive](clock_source::time_point) { ++count; });
    while (i % 20 == 0 && alive->load() == 0) std::this_thread::yield();
    clock_source::unsubscribe(id);
    alive.reset();  // a late call would touch freed memory
  }
}

}  // namespace
