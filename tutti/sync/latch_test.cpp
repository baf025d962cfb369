// The latch: who waits passes once all was counted, by threads and coroutines alike.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_counter.hpp>
#include <thread>
#include <tutti/sync/latch.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::latch;
using tutti::sync_wait;
using tutti::task;
using tutti_test::after_an_hour;
using tutti_test::end_of_future;
using tutti_test::until;
using tutti_test::wait_counter;
using tutti_test::watchdog;

TEST(Latch, OpensWhenAllWasCounted) {
  latch done(3);
  EXPECT_FALSE(done.try_wait());
  done.count_down();
  done.count_down(0);
  EXPECT_FALSE(done.try_wait());
  done.count_down(2);
  EXPECT_TRUE(done.try_wait());
  done.wait();
  EXPECT_TRUE(done.wait_for(0s));
  done.count_down(0);
}

TEST(Latch, ZeroIsBornOpen) {
  latch open(0);
  EXPECT_TRUE(open.try_wait());
  open.wait();
  sync_wait([](latch& l) -> task<> { co_await l.wait_async(); }(open));
}

TEST(Latch, ThreadsAndCoroutinesPassTogether) {
  const watchdog dog;
  const wait_counter waits;
  std::atomic<int> passed{0};
  tutti::thread_pool pool(2);
  latch done(2, "done");
  int written = 0;
  std::vector<std::jthread> threads;
  std::vector<tutti::future<void>> tasks;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      done.wait();
      EXPECT_EQ(written, 7);
      ++passed;
    });
    tasks.push_back(pool.submit([&]() -> task<> {
      co_await done.wait_async();
      EXPECT_EQ(written, 7);
      ++passed;
    }));
  }
  waits.until_waiting(6);
  done.count_down();
  EXPECT_EQ(passed, 0);
  written = 7;
  done.count_down();
  for (auto& one : tasks) one.get();
  threads.clear();
  EXPECT_EQ(passed, 6);
}

TEST(Latch, ArriveAndWait) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  latch all(4);
  std::jthread one([&] { all.arrive_and_wait(); });
  auto other = pool.submit([&]() -> task<> { co_await all.arrive_and_wait_async(2); });
  all.arrive_and_wait();
  other.get();
  EXPECT_TRUE(all.try_wait());
}

TEST(Latch, TimeRunsOut) {
  const watchdog dog;
  latch shut(1);
  EXPECT_FALSE(shut.wait_for(0s));
  EXPECT_FALSE(shut.wait_for(-1s));
  EXPECT_FALSE(shut.wait_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(shut.wait_for(1ms));
  EXPECT_FALSE(after_an_hour([&] { return shut.wait_for(1h); }));
  const auto in_coroutine = [&]() -> task<bool> {
    const bool at_once = co_await shut.wait_for_async(0s);
    const bool before = co_await shut.wait_for_async(-1s);
    const bool later = co_await shut.wait_for_async(1h);
    co_return at_once || before || later;
  };
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  EXPECT_FALSE(sync_wait(in_coroutine()));
  shut.count_down();  // nobody is left in the list
}

TEST(Latch, NoLimitIsNoLimit) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(1);
  latch done(1);
  std::jthread thread([&] { EXPECT_TRUE(done.wait_for(std::chrono::nanoseconds::max())); });
  auto coroutine =
      pool.submit([&]() -> task<bool> { co_return co_await done.wait_for_async(std::chrono::nanoseconds::max()); });
  waits.until_waiting(2);
  done.count_down();
  EXPECT_TRUE(coroutine.get());
}

TEST(Latch, AStopEndsTheWait) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(1);
  latch shut(1, "shut");
  std::string text;
  std::jthread thread([&](const std::stop_token& stop) {
    try {
      shut.wait(stop);
    } catch (const tutti::cancelled& e) {
      text = e.what();
    }
  });
  auto coroutine = pool.submit([&]() -> task<> { co_await shut.wait_async(); });
  waits.until_waiting(2);
  thread.request_stop();
  coroutine.cancel();
  EXPECT_EQ(end_of_future(std::move(coroutine)), "cancelled");
  thread.join();
  EXPECT_NE(text.find("latch \"shut\": wait at "), std::string::npos) << text;
  EXPECT_NE(text.find("latch_test.cpp"), std::string::npos) << text;
}

TEST(Latch, WhoIsStoppedAlreadyPassesAnOpenOne) {
  std::stop_source stop;
  stop.request_stop();
  latch open(0), shut(1);
  open.wait(stop.get_token());
  EXPECT_THROW(shut.wait(stop.get_token()), tutti::cancelled);
}

TEST(Latch, OnALoopItWouldBlock) {
  latch shut(1), open(0);
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    open.wait();
    EXPECT_FALSE(shut.wait_for(0s));
    std::string text;
    try {
      shut.wait();
    } catch (const tutti::would_block& e) {
      text = e.what();
    }
    EXPECT_NE(text.find("latch::wait at "), std::string::npos) << text;
    EXPECT_NE(text.find("co_await wait_async()"), std::string::npos) << text;
    co_return;
  }());
}

TEST(Latch, MisuseIsNamed) {
  const auto text_of = [](auto&& misuse) {
    try {
      misuse();
    } catch (const std::logic_error& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  EXPECT_THROW(latch(-1), std::invalid_argument);
  EXPECT_EQ(text_of([] { latch bad(-2, "jobs"); }), "latch \"jobs\": a count of -2; it must not be negative");
  latch jobs(2, "jobs");
  EXPECT_THROW(jobs.count_down(-1), std::invalid_argument);
  EXPECT_EQ(text_of([&] { jobs.count_down(3); }),
            "latch \"jobs\": count_down(3) with 2 left to count; make its first count larger");
  jobs.count_down(2);
  EXPECT_THROW(jobs.count_down(), std::logic_error) << "and what was refused was not counted";
}

TEST(LatchDeathTest, MustOutliveItsWaiters) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto destroy_in_use = [] {
    const wait_counter waits;
    auto doomed = std::make_unique<latch>(1, "doomed");
    std::jthread thread([&] { doomed->wait(); });
    waits.until_waiting(1);
    doomed.reset();
  };
  EXPECT_DEATH(destroy_in_use(), "tutti: fatal: latch \"doomed\" destroyed while 1 waits for it");
}

// Whoever has passed may destroy it: the last to count is then done with it.
TEST(LatchStress, DestroyedByWhoPassed) {
  const watchdog dog;
  constexpr int rounds = tutti_test::sanitized ? 2'000 : 20'000;
  std::atomic<latch*> current{nullptr};
  std::jthread counter([&] {
    for (int i = 0; i < rounds; ++i) {
      latch* mine = nullptr;
      until([&] { return (mine = current.exchange(nullptr)) != nullptr; });
      mine->count_down();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    std::optional<latch> done(std::in_place, 1);
    current = &*done;
    if (i % 2 == 0) {
      done->wait();
    } else {
      until([&] { return done->try_wait(); });
    }
    done.reset();
  }
}

}  // namespace
