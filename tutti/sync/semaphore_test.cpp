// The semaphore: permits taken and given by threads and coroutines, in every form; who waits gets its turn.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/wait_counter.hpp>
#include <thread>
#include <tutti/sync/semaphore.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::permit;
using tutti::semaphore;
using tutti::sync_wait;
using tutti::task;
using tutti_test::after_an_hour;
using tutti_test::end_of_future;
using tutti_test::until;
using tutti_test::wait_counter;
using tutti_test::watchdog;

TEST(Semaphore, CountsPermits) {
  semaphore some(3);
  some.acquire();
  some.acquire(0);
  some.acquire(2);
  EXPECT_FALSE(some.try_acquire());
  EXPECT_TRUE(some.try_acquire(0));
  some.release(2);
  EXPECT_FALSE(some.try_acquire(3));
  EXPECT_TRUE(some.try_acquire(2));
  some.release();
  EXPECT_TRUE(some.acquire_for(0s));
  EXPECT_FALSE(some.acquire_for(0s));
}

TEST(Semaphore, ReleaseWakesAsManyAsItIsEnoughFor) {
  const watchdog dog;
  const wait_counter waits;
  std::atomic<int> passed{0};
  tutti::thread_pool pool(2);
  semaphore door(0);
  std::vector<std::jthread> threads;
  std::vector<tutti::future<void>> tasks;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      door.acquire();
      ++passed;
    });
    tasks.push_back(pool.submit([&]() -> task<> {
      co_await door.acquire_async();
      ++passed;
    }));
  }
  waits.until_waiting(6);
  door.release(4);
  until([&] { return passed == 4; });
  EXPECT_EQ(waits.now(), 2);
  door.release(2);
  until([&] { return passed == 6; });
  EXPECT_FALSE(door.try_acquire());
}

TEST(Semaphore, WaitersComeInTheOrderOfTheirArrival) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(1);
  semaphore door(0);
  std::mutex mutex;
  std::vector<int> order;
  std::vector<tutti::future<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(pool.submit([&, i]() -> task<> {
      co_await door.acquire_async();
      {
        const std::lock_guard lock(mutex);
        order.push_back(i);
      }
      door.release();
    }));
    waits.until_waiting(i + 1);
  }
  door.release();
  for (auto& one : tasks) one.get();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

// Singles that come and go for ever do not keep one waiting that needs all permits at once.
TEST(Semaphore, WhoNeedsManyDoesNotStarve) {
  const watchdog dog;
  constexpr int all = 3;
  for (const bool in_coroutine : {false, true}) {
    std::atomic<bool> over{false};
    tutti::thread_pool pool(1);
    semaphore some(all);
    std::vector<std::jthread> singles;
    for (int i = 0; i < all + 1; ++i) {
      singles.emplace_back([&] {
        while (!over) {
          const permit one = some.acquire_permit();
          std::this_thread::yield();
        }
      });
    }
    for (int i = 0; i < 20; ++i) {
      if (in_coroutine) {
        pool.submit([&]() -> task<> { co_await some.acquire_async(all); }).get();
      } else {
        some.acquire(all);
      }
      EXPECT_FALSE(some.try_acquire());
      some.release(all);
    }
    over = true;
  }
}

// The same without luck: nobody gives more than one at a time, and a newcomer stands by to take each.
TEST(Semaphore, AfterTwoLossesPermitsAreKept) {
  const watchdog dog;
  const wait_counter waits;
  semaphore some(2);
  some.acquire(2);
  std::atomic<bool> got{false};
  std::jthread needs_two([&] {
    some.acquire(2);
    got = true;
  });
  waits.until_waiting(1);
  some.release();  // not enough: once
  EXPECT_TRUE(some.try_acquire());
  some.release();  // twice
  EXPECT_TRUE(some.try_acquire());
  some.release();
  EXPECT_FALSE(some.try_acquire()) << "kept for the one who waits";
  EXPECT_FALSE(some.acquire_for(0s));
  some.release();
  until([&] { return got.load(); });
  EXPECT_FALSE(some.try_acquire());
  some.release(2);
  EXPECT_TRUE(some.try_acquire(2));
}

TEST(Semaphore, WhatWasKeptForOneWhoGivesUpIsTheNextOnes) {
  const watchdog dog;
  for (const bool in_coroutine : {false, true}) {
    const wait_counter waits;
    tutti::thread_pool pool(1);
    semaphore some(2);
    some.acquire(2);
    std::jthread needs_two;
    tutti::future<void> needs_two_too;
    if (in_coroutine) {
      needs_two_too = pool.submit([&]() -> task<> { co_await some.acquire_async(2); });
    } else {
      needs_two =
          std::jthread([&](const std::stop_token& stop) { EXPECT_THROW(some.acquire(stop, 2), tutti::cancelled); });
    }
    waits.until_waiting(1);
    for (int i = 0; i < 2; ++i) {
      some.release();
      EXPECT_TRUE(some.try_acquire());
    }
    some.release();
    EXPECT_FALSE(some.try_acquire());
    std::jthread next([&] { some.acquire(); });
    waits.until_waiting(2);
    if (in_coroutine) {
      needs_two_too.cancel();
      EXPECT_EQ(end_of_future(std::move(needs_two_too)), "cancelled");
    } else {
      needs_two.request_stop();
    }
    next.join();
    some.release();
    EXPECT_TRUE(some.try_acquire()) << "nothing is kept any more";
  }
}

TEST(Semaphore, TimeRunsOut) {
  const watchdog dog;
  semaphore none(0);
  EXPECT_FALSE(none.acquire_for(0s));
  EXPECT_FALSE(none.acquire_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(none.acquire_for(1ms));
  EXPECT_FALSE(none.acquire_permit_for(1ms));
  EXPECT_FALSE(after_an_hour([&] { return none.acquire_for(1h, 2); }));
  EXPECT_FALSE(after_an_hour([&] { return none.acquire_permit_for(1h, 2); }));
  const auto in_coroutine = [&]() -> task<bool> {
    const bool at_once = co_await none.acquire_for_async(0s);
    const bool before = co_await none.acquire_for_async(-1s);
    const bool later = co_await none.acquire_for_async(1h);
    const permit p = co_await none.acquire_permit_for_async(1h);
    co_return at_once || before || later || p;
  };
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  EXPECT_FALSE(sync_wait(in_coroutine()));
  none.release();
  EXPECT_TRUE(none.try_acquire());
}

TEST(Semaphore, NoLimitIsNoLimit) {
  const watchdog dog;
  const wait_counter waits;
  constexpr auto ever = std::chrono::nanoseconds::max();
  tutti::thread_pool pool(1);
  semaphore door(0);
  std::jthread thread([&] { EXPECT_TRUE(door.acquire_for(ever)); });
  auto coroutine = pool.submit([&]() -> task<bool> { co_return co_await door.acquire_for_async(ever); });
  waits.until_waiting(2);
  door.release(2);
  EXPECT_TRUE(coroutine.get());
}

TEST(Semaphore, AStopEndsTheWait) {
  const watchdog dog;
  const wait_counter waits;
  tutti::thread_pool pool(1);
  semaphore none(0, "none");
  std::string text;
  std::jthread thread([&](const std::stop_token& stop) {
    try {
      none.acquire(stop);
    } catch (const tutti::cancelled& e) {
      text = e.what();
    }
  });
  std::jthread other([&](const std::stop_token& stop) {
    EXPECT_THROW(static_cast<void>(none.acquire_permit(stop)), tutti::cancelled);
  });
  auto coroutine = pool.submit([&]() -> task<> { co_await none.acquire_async(); });
  auto guarded = pool.submit([&]() -> task<> { const permit p = co_await none.acquire_permit_async(); });
  waits.until_waiting(4);
  thread.request_stop();
  other.request_stop();
  coroutine.cancel();
  guarded.cancel();
  EXPECT_EQ(end_of_future(std::move(coroutine)), "cancelled");
  EXPECT_EQ(end_of_future(std::move(guarded)), "cancelled");
  thread.join();
  EXPECT_NE(text.find("semaphore \"none\": acquire at "), std::string::npos) << text;
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_THROW(none.acquire(stopped.get_token()), tutti::cancelled);
  none.release();
  none.acquire(stopped.get_token());  // need not wait
}

TEST(Semaphore, OnALoopItWouldBlock) {
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    semaphore one(1);
    one.acquire();
    EXPECT_FALSE(one.try_acquire());
    EXPECT_FALSE(one.acquire_for(0s));
    EXPECT_THROW(one.acquire(), tutti::would_block);
    one.release();
    co_await one.acquire_async();
  }());
}

// ---------------------------------------------------------------- permits

TEST(Permit, GivesBackWhenItEnds) {
  semaphore some(3);
  {
    const permit two = some.acquire_permit(2);
    EXPECT_TRUE(two);
    EXPECT_EQ(two.count(), 2);
    EXPECT_FALSE(some.try_acquire_permit(2));
    EXPECT_TRUE(some.try_acquire_permit(1));
  }
  permit all = some.try_acquire_permit(3);
  EXPECT_TRUE(all);
  permit moved = std::move(all);
  EXPECT_FALSE(all);  // NOLINT(bugprone-use-after-move): empty
  EXPECT_EQ(all.count(), 0);
  EXPECT_FALSE(some.try_acquire());
  moved.release();
  moved.release();
  EXPECT_FALSE(moved);
  EXPECT_TRUE(some.try_acquire(3));
  some.release(3);
  moved = some.acquire_permit(1);
  moved = some.acquire_permit(2);
  EXPECT_TRUE(some.try_acquire(1)) << "the first was given back, once";
}

TEST(Permit, InCoroutines) {
  const watchdog dog;
  std::atomic<int> inside{0}, most{0};
  tutti::thread_pool pool(2);
  semaphore two(2);
  std::vector<tutti::future<void>> tasks;
  for (int i = 0; i < 50; ++i) {
    tasks.push_back(pool.submit([&]() -> task<> {
      const permit p = co_await two.acquire_permit_async();
      const int now = ++inside;
      if (now > most) most = now;
      co_await tutti::yield_now();
      --inside;
    }));
  }
  for (auto& one : tasks) one.get();
  EXPECT_LE(most, 2);
  EXPECT_TRUE(two.try_acquire(2));
}

// ---------------------------------------------------------------- what observers of waits are told

class notes final : public tutti::wait_observer {
 public:
  notes() : before_(tutti::wait_graph::observe(this)) {}
  ~notes() { tutti::wait_graph::observe(before_); }
  void begin_wait(const wait&) override {}
  void end_wait(const wait&) noexcept override {}
  void born(const tutti::wait_target& made, std::size_t total) noexcept override {
    text += "born " + std::string(made.name) + ' ' + std::to_string(total) + '\n';
  }
  void gone(const void*) noexcept override { text += "gone\n"; }
  void holds(const tutti::wait_party& who, const tutti::wait_target& held, const tutti::place&,
             bool) noexcept override {
    EXPECT_EQ(held.rule, tutti::wait_rule::one_acts);
    text += who.id == nullptr ? "somebody holds\n" : who.id == tutti::wait_graph::self_id() ? "I hold\n" : "?\n";
  }
  void releases(const void* who, const void*) noexcept override {
    text += who == nullptr ? "somebody releases\n" : who == tutti::wait_graph::self_id() ? "I release\n" : "?\n";
  }
  void ended(const void*) noexcept override {}
  std::string text;

 private:
  tutti::wait_observer* const before_;
};

TEST(Permit, ItsHolderIsKnownUntilItMoves) {
  notes seen;
  {
    semaphore some(3, {.maximum = 3}, "some");
    permit kept = some.acquire_permit(2);
    some.acquire();
    kept.release();
    permit first = some.acquire_permit();
    permit second = std::move(first);
    second.release();
    some.release();
  }
  EXPECT_EQ(seen.text,
            "born some 3\nI hold\nI hold\nsomebody holds\nI release\nI release\n"
            "I hold\nsomebody holds\nI release\nsomebody releases\ngone\ngone\n");
}

TEST(Semaphore, NobodyIsSaidToHoldWhatOthersMayGive) {
  notes seen;
  {
    semaphore signals(0);
    signals.release(2);
    signals.acquire();
    const permit one = signals.acquire_permit();
    semaphore open_to_more(2);  // anybody may give a third
    const permit two = open_to_more.acquire_permit();
  }
  EXPECT_EQ(seen.text.find("hold"), std::string::npos) << seen.text;
  EXPECT_EQ(seen.text.find("born"), std::string::npos) << seen.text;
}

// ---------------------------------------------------------------- misuse

TEST(Semaphore, MisuseIsNamed) {
  const auto text_of = [](auto&& misuse) {
    try {
      misuse();
    } catch (const std::logic_error& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  EXPECT_THROW(semaphore(-1), std::invalid_argument);
  EXPECT_THROW(semaphore(0, {.maximum = 0}), std::invalid_argument);
  EXPECT_THROW(semaphore(0, {.maximum = std::numeric_limits<std::ptrdiff_t>::max()}), std::invalid_argument);
  EXPECT_EQ(text_of([] { semaphore bad(3, {.maximum = 2}, "seats"); }),
            "semaphore \"seats\": 3 permits at first; it must be from 0 to 2");
  semaphore seats(1, {.maximum = 2}, "seats");
  EXPECT_EQ(text_of([&] { seats.acquire(3); }),
            "semaphore \"seats\": semaphore::acquire of 3 permits; it must be from 0 to its maximum, 2");
  EXPECT_THROW(static_cast<void>(seats.try_acquire(-1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(seats.acquire_async(3)), std::invalid_argument);
  EXPECT_THROW(seats.release(-1), std::invalid_argument);
  seats.release();
  EXPECT_EQ(text_of([&] { seats.release(); }),
            "semaphore \"seats\": release of 1 permits with 2 there is more than its maximum, 2");
  EXPECT_TRUE(seats.try_acquire(2)) << "what was refused was not given";
}

TEST(SemaphoreDeathTest, MustOutliveItsWaiters) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto destroy_in_use = [] {
    const wait_counter waits;
    auto doomed = std::make_unique<semaphore>(0, "doomed");
    std::jthread thread([&] { doomed->acquire(); });
    waits.until_waiting(1);
    doomed.reset();
  };
  EXPECT_DEATH(destroy_in_use(), "tutti: fatal: semaphore \"doomed\" destroyed while 1 waits for it");
}

}  // namespace
