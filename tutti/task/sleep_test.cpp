// Sleeping, on virtual time: as long as asked, in order, no thread held; and yielding.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::future;
using tutti::sleep_for;
using tutti::sleep_until;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of_future;
using tutti_test::sleeper;
using tutti_test::watchdog;

using sleep = tutti_test::virtual_time;

TEST_F(sleep, lasts_as_long_as_asked) {
  auto body = [&]() -> task<> {
    co_await sleep_for(10s);
    EXPECT_EQ(passed(), 10s);
    co_await sleep_for(1ns);
    EXPECT_EQ(passed(), 10s + 1ns);
    co_await sleep_until(start + 1min);
    EXPECT_EQ(passed(), 1min);
    co_await sleep_for(std::chrono::hours(24 * 365));
    EXPECT_EQ(passed(), 1min + std::chrono::hours(24 * 365));
  };
  sync_wait(body());
}

TEST_F(sleep, takes_any_duration) {
  auto body = [&]() -> task<> {
    co_await sleep_for(std::chrono::duration<int>(2));
    EXPECT_EQ(passed(), 2s);
    co_await sleep_for(1500ms);
    EXPECT_EQ(passed(), 3500ms);
    co_await sleep_for(1min + 3us);
    EXPECT_EQ(passed(), 63s + 500ms + 3us);
  };
  sync_wait(body());
}

TEST_F(sleep, several_at_once_take_as_long_as_the_longest) {
  auto body = []() -> task<> { co_await tutti::when_all(sleeper(2s), sleeper(1s), sleeper(3s)); };
  sync_wait(body());
  EXPECT_EQ(passed(), 3s);
}

TEST_F(sleep, ends_in_order_of_time_then_of_beginning) {
  std::vector<int> order;
  auto note_after = [&](nanoseconds d, int n) -> task<> {
    co_await sleep_for(d);
    order.push_back(n);
  };
  auto body = [&]() -> task<> {
    std::vector<task<>> all;
    all.push_back(note_after(3s, 5));
    all.push_back(note_after(1s, 1));
    all.push_back(note_after(2s, 2));
    all.push_back(note_after(2s, 3));
    all.push_back(note_after(2s, 4));
    all.push_back(note_after(-1s, 0));
    co_await tutti::when_all(std::move(all));
  };
  sync_wait(body());
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5}));
}

TEST_F(sleep, holds_no_thread) {
  thread_pool pool(1);
  auto body = [&]() -> task<> {
    std::vector<future<void>> all;
    for (int i = 0; i < 1000; ++i) all.push_back(pool.submit(sleeper(1s)));
    auto done = pool.submit([] {});  // is not behind them
    co_await std::move(done);
    EXPECT_EQ(passed(), 0s);
    for (auto& f : all) co_await std::move(f);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(sleep, a_hundred_thousand_of_them) {
  std::atomic<int> woken{0};
  int out_of_order = 0;
  auto last = start;
  auto one = [&](nanoseconds d) -> task<> {
    const auto due = tutti::now() + d;
    co_await sleep_for(d);
    EXPECT_EQ(tutti::now(), due);
    if (tutti::now() < last) ++out_of_order;
    last = tutti::now();
    ++woken;
  };
  auto body = [&]() -> task<> {
    std::vector<task<>> all;
    std::uint64_t x = 1;
    for (int i = 0; i < 100'000; ++i) {
      x = x * 6364136223846793005U + 1442695040888963407U;
      all.push_back(one(std::chrono::microseconds(1 + (x >> 33U) % 1000)));
    }
    co_await tutti::when_all(std::move(all));
  };
  sync_wait(body());
  EXPECT_EQ(woken, 100'000);
  EXPECT_EQ(out_of_order, 0);
  EXPECT_LE(passed(), 1ms);
}

// ---- odd durations

TEST_F(sleep, zero_and_less_only_let_others_go_first) {
  const auto durations = {nanoseconds(0), nanoseconds(-1), nanoseconds(-1h), nanoseconds::min()};
  for (const nanoseconds d : durations) {
    std::string order;
    auto other = [&]() -> task<> {
      order += 'b';
      co_return;
    };
    auto body = [&]() -> task<> {
      auto f = spawn(other());
      order += 'a';
      co_await sleep_for(d);
      order += 'c';
      co_await std::move(f);
    };
    sync_wait(body());
    EXPECT_EQ(order, "abc");
    EXPECT_EQ(passed(), 0s);
  }
}

TEST_F(sleep, until_a_time_that_has_passed) {
  auto body = [&]() -> task<> {
    co_await sleep_for(1s);
    co_await sleep_until(start);
    co_await sleep_until(start + 1s);
    co_await sleep_until(std::chrono::steady_clock::time_point::min());
    EXPECT_EQ(passed(), 1s);
  };
  sync_wait(body());
}

template <class Make>
task<> huge_sleep(Make make) {
  co_await make();
}

// The longest there are, in several units: none may wrap around.
TEST_F(sleep, huge_ones_last_until_stopped) {
  auto body = []() -> task<> {
    std::vector<future<void>> all;
    all.push_back(spawn(huge_sleep([] { return sleep_for(nanoseconds::max()); })));
    all.push_back(spawn(huge_sleep([] { return sleep_for(nanoseconds::max() - 1ns); })));
    all.push_back(spawn(huge_sleep([] { return sleep_for(std::chrono::seconds::max()); })));
    all.push_back(spawn(huge_sleep([] { return sleep_for(std::chrono::hours::max()); })));
    all.push_back(spawn(huge_sleep([] { return sleep_for(std::chrono::hours(24 * 365 * 1000)); })));
    all.push_back(spawn(huge_sleep([] { return sleep_until(std::chrono::steady_clock::time_point::max()); })));
    co_await sleep_for(std::chrono::hours(24 * 365 * 100));
    for (auto& f : all) EXPECT_FALSE(f.done());
    for (auto& f : all) f.cancel();
    for (auto& f : all) {
      const std::string end = co_await tutti_test::end_of([&] { return std::move(f); });
      EXPECT_EQ(end, "cancelled");
    }
  };
  sync_wait(body());
}

TEST_F(sleep, most_negative_ones_in_other_units) {
  auto body = []() -> task<> {
    co_await sleep_for(std::chrono::seconds::min());
    co_await sleep_for(std::chrono::hours::min());
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

TEST_F(sleep, stopped_ones_leave_no_timer_behind) {
  auto body = []() -> task<> {
    for (int round = 0; round < 10; ++round) {
      std::vector<future<void>> all;
      for (int i = 0; i < 1000; ++i) all.push_back(spawn(sleeper(1h)));
      co_await yield_now();
      for (auto& f : all) f.cancel();
      for (auto& f : all) {
        const std::string end = co_await tutti_test::end_of([&] { return std::move(f); });
        EXPECT_EQ(end, "cancelled");
      }
    }
    co_await sleep_for(1s);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

// ---- who moves the time

TEST_F(sleep, time_stands_still_while_something_runs) {
  std::atomic<bool> asleep{false};
  thread_pool pool(1);
  auto busy = [&]() -> bool {
    const auto before = tutti::now();
    while (!asleep) std::this_thread::yield();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    return tutti::now() == before;
  };
  auto body = [&]() -> task<> {
    std::latch begun(1);
    auto f = pool.submit([&] {
      begun.count_down();
      return busy();
    });
    begun.wait();
    asleep = true;
    co_await sleep_for(1h);
    const bool stood_still = co_await std::move(f);
    EXPECT_TRUE(stood_still);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1h);
}

TEST_F(sleep, time_stands_still_while_coroutines_have_something_to_do) {
  std::atomic<int> left{4};
  thread_pool pool(2);
  auto worker = [&]() -> task<> {
    const auto before = tutti::now();
    for (int i = 0; i < 2000; ++i) co_await yield_now();
    EXPECT_EQ(tutti::now(), before);
    --left;
  };
  auto body = [&]() -> task<> {
    std::vector<future<void>> all;
    for (int i = 0; i < 4; ++i) all.push_back(pool.submit(worker()));
    co_await sleep_for(1ns);
    EXPECT_EQ(left, 0);
    for (auto& f : all) co_await std::move(f);
  };
  sync_wait(body());
}

TEST_F(sleep, several_threads_in_sync_wait) {
  std::vector<std::jthread> threads;
  std::atomic<int> right{0};
  std::latch all_there(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto body = [&]() -> task<> {
        all_there.arrive_and_wait();
        for (int n = 1; n <= 100; ++n) {
          const auto due = tutti::now() + 1s;
          co_await sleep_for(1s);
          if (tutti::now() >= due) ++right;
        }
      };
      sync_wait(body());
    });
  }
  threads.clear();
  EXPECT_EQ(right, 400);
}

TEST(sleep_by_hand, a_clock_that_a_test_moves) {
  const watchdog dog;
  tutti::virtual_clock clock;
  thread_pool pool(1);
  auto f = pool.submit(tutti_test::give_after(10s, 3));
  const auto start = clock.now();
  while (!f.done()) {
    clock.advance(1s);
    std::this_thread::yield();
  }
  EXPECT_GE(clock.now() - start, 10s);
  EXPECT_EQ(f.get(), 3);
}

TEST(sleep_on_the_machines_clock, is_not_over_early) {
  const watchdog dog;
  auto body = []() -> task<> {
    for (int i = 0; i < 5; ++i) {
      const auto due = tutti::now() + 1ms;
      co_await sleep_for(1ms);
      EXPECT_GE(tutti::now(), due);
    }
  };
  sync_wait(body());
}

TEST(sleep_on_the_machines_clock, huge_ones_are_stopped) {
  const watchdog dog;
  auto body = []() -> task<std::string> {
    auto f = spawn(tutti_test::sleep_for_ever());
    co_await sleep_for(1ms);
    EXPECT_FALSE(f.done());
    f.cancel();
    co_return co_await tutti_test::end_of([&] { return std::move(f); });
  };
  EXPECT_EQ(sync_wait(body()), "cancelled");
}

// ---- yielding

task<> write_twice(std::string& order, char c) {
  order += c;
  co_await yield_now();
  order += c;
}

TEST(yield, goes_behind_what_is_queued) {
  const watchdog dog;
  std::string order;
  auto body = [&]() -> task<> {
    auto a = spawn(write_twice(order, 'a'));
    auto b = spawn(write_twice(order, 'b'));
    co_await yield_now();
    EXPECT_EQ(order, "ab");
    co_await yield_now();
    EXPECT_EQ(order, "abab");
    co_await std::move(a);
    co_await std::move(b);
  };
  sync_wait(body());
}

TEST(yield, on_a_pool_too) {
  const watchdog dog;
  tutti_test::held_pool b;
  std::string order;
  auto first = b.pool.submit(write_twice(order, 'a'));
  auto second = b.pool.submit(write_twice(order, 'b'));
  b.run_all();
  EXPECT_EQ(order, "abab");
  first.get();
  second.get();
}

TEST(yield, lets_ordinary_calls_through) {
  const watchdog dog;
  std::atomic<bool> over{false};
  thread_pool pool(1);
  auto spinning = [&]() -> task<> {
    while (!over) co_await yield_now();
  };
  auto f = pool.submit(spinning());
  pool.submit([&] { over = true; }).get();
  f.get();
}

TEST(yield, alone_just_goes_on) {
  const watchdog dog;
  auto body = []() -> task<int> {
    int n = 0;
    for (; n < 1000; ++n) co_await yield_now();
    co_return n;
  };
  EXPECT_EQ(sync_wait(body()), 1000);
  thread_pool pool(1);
  EXPECT_EQ(pool.submit(body()).get(), 1000);
}

}  // namespace
