// Waiting: threads and coroutines in one list, with limits, stops and selection; and no wake-up lost.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <latch>
#include <random>
#include <stop_token>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/wait_list.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::wait_list;
using tutti::wait_result;
using tutti::wait_ticket;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

// The smallest primitive over a wait_list: a number of permits.
class permits {
 public:
  explicit permits(int n = 0) : left_(n) {}
  bool try_take() noexcept {
    int seen = left_.load(std::memory_order_seq_cst);
    while (seen > 0) {
      if (left_.compare_exchange_weak(seen, seen - 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }
  wait_result take(const tutti::wait_how& how = {}) {
    return list.wait([this] { return try_take(); }, how);
  }
  void give() noexcept {
    left_.fetch_add(1, std::memory_order_seq_cst);
    list.wake_one();
  }
  int left() const noexcept { return left_.load(); }
  wait_list list;

 private:
  std::atomic<int> left_;
};

TEST(WaitList, ReadyAtOnceDoesNotWait) {
  wait_list list;
  EXPECT_EQ(list.wait([] { return true; }, {}), wait_result::ready);
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.wake_one());
  EXPECT_EQ(list.wake_all(), 0U);
}

TEST(WaitList, ReadyBeatsAPassedDeadlineAndAStop) {
  wait_list list;
  std::stop_source stop;
  stop.request_stop();
  const auto token = stop.get_token();
  const auto past = tutti::now() - 1s;
  EXPECT_EQ(list.wait([] { return true; }, {.deadline = &past, .stop = token}), wait_result::ready);
  EXPECT_EQ(list.wait([] { return false; }, {.deadline = &past}), wait_result::timed_out);
  EXPECT_EQ(list.wait([] { return false; }, {.stop = token}), wait_result::stopped);
  EXPECT_TRUE(list.empty());
}

TEST(WaitList, WakeOneLetsOneThrough) {
  const watchdog dog;
  permits door;
  std::atomic<int> passed{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      door.take({.what = "door for one"});
      ++passed;
    });
  }
  until([&] { return waiting_for("door for one") == 3; });
  EXPECT_EQ(passed, 0);
  for (int i = 1; i <= 3; ++i) {
    door.give();
    until([&] { return passed == i; });
    EXPECT_EQ(door.left(), 0);
  }
}

TEST(WaitList, WakeAllLetsEverybodyThrough) {
  const watchdog dog;
  wait_list list;
  std::atomic<bool> open{false};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] { list.wait([&] { return open.load(); }, {.what = "door for all"}); });
  }
  until([&] { return waiting_for("door for all") == 5; });
  list.wake_all();  // nothing has changed: they wait on
  open = true;
  list.wake_all();
  threads.clear();
  EXPECT_TRUE(list.empty());
}

// Entries without threads show the order exactly.
struct entry {
  explicit entry(wait_list& to, std::uint32_t outcome = 0)
      : ticket([](void* self) { ++static_cast<entry*>(self)->resumed; }, this), place{&ticket, outcome}, list(to) {
    EXPECT_TRUE(list.add_unless(place, [] { return false; }));
  }
  ~entry() { list.remove(place); }
  int resumed = 0;
  wait_ticket ticket;
  tutti::waiter place;
  wait_list& list;
};

TEST(WaitList, FirstInFirstOut) {
  wait_list list;
  entry a(list), b(list), c(list);
  EXPECT_FALSE(list.empty());
  EXPECT_TRUE(list.wake_one());
  EXPECT_EQ(a.resumed, 1);
  EXPECT_EQ(b.resumed + c.resumed, 0);
  EXPECT_EQ(list.wake_all(), 2U);
  EXPECT_EQ(b.resumed + c.resumed, 2);
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.wake_one());
  EXPECT_EQ(a.resumed, 1);
}

TEST(WaitList, RemovedEntriesAreNotWoken) {
  wait_list list;
  entry a(list);
  {
    const entry b(list);
  }
  entry c(list);
  list.remove(a.place);
  list.remove(a.place);  // harmless
  EXPECT_TRUE(list.wake_one());
  EXPECT_EQ(a.resumed, 0);
  EXPECT_EQ(c.resumed, 1);
  EXPECT_TRUE(list.empty());
}

TEST(WaitList, AddUnlessAsksAfterTheEntryIsVisible) {
  wait_list list;
  wait_ticket ticket(tutti::this_parker());
  tutti::waiter place{&ticket};
  EXPECT_FALSE(list.add_unless(place, [&] { return !list.empty(); }));
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(ticket.outcome(), wait_ticket::open);
}

TEST(WaitList, ATicketIsClaimedOnce) {
  wait_list list;
  entry a(list, 7);
  EXPECT_TRUE(a.ticket.claim(wait_ticket::by_stop));
  EXPECT_FALSE(a.ticket.claim(wait_ticket::by_timeout));
  EXPECT_EQ(a.ticket.outcome(), wait_ticket::by_stop);
  EXPECT_FALSE(list.wake_one()) << "nobody is left to be woken";
  EXPECT_EQ(a.resumed, 1);
}

TEST(WaitList, AClaimedTicketIsPassedOver) {
  wait_list list;
  entry a(list), b(list, 3);
  a.ticket.claim(wait_ticket::by_timeout);
  EXPECT_TRUE(list.wake_one());
  EXPECT_EQ(b.ticket.outcome(), 3U);
}

// One ticket in two lists, as select does.
TEST(WaitList, TheFirstListToWakeDecides) {
  wait_list left, right;
  int resumed = 0;
  wait_ticket ticket([](void* n) { ++*static_cast<int*>(n); }, &resumed);
  tutti::waiter in_left{&ticket, 1}, in_right{&ticket, 2};
  EXPECT_TRUE(left.add_unless(in_left, [] { return false; }));
  EXPECT_TRUE(right.add_unless(in_right, [] { return false; }));
  EXPECT_TRUE(right.wake_one());
  EXPECT_EQ(ticket.outcome(), 2U);
  EXPECT_FALSE(left.wake_one()) << "that wake-up is for somebody else";
  EXPECT_EQ(resumed, 1);
  left.remove(in_left);
  right.remove(in_right);
}

TEST(WaitList, AThreadAndACoroutineShareOneList) {
  const watchdog dog;
  permits door;
  std::latch passed(2);
  tutti::thread_pool pool(1);
  struct coroutine {
    struct promise_type {
      coroutine get_return_object() { return {}; }
      std::suspend_never initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() { std::terminate(); }
    };
  };
  struct awaiter {
    permits& door;
    tutti::thread_pool& pool;
    std::coroutine_handle<> handle = {};
    wait_ticket ticket{[](void* self) {
                         // Woken under the list's lock: posted, never resumed there.
                         auto& a = *static_cast<awaiter*>(self);
                         a.pool.post([&a] { a.retry(); });
                       },
                       this};
    tutti::waiter place{&ticket};
    bool await_ready() { return door.try_take(); }
    bool await_suspend(std::coroutine_handle<> h) {
      handle = h;
      return door.list.add_unless(place, [this] { return door.try_take(); });
    }
    void retry() {
      EXPECT_TRUE(door.try_take());
      handle.resume();
    }
    void await_resume() {}
  };
  auto through = [&]() -> coroutine {
    awaiter wait{door, pool};
    co_await wait;
    passed.count_down();
  };
  through();
  std::jthread thread([&] {
    door.take({.what = "the door"});
    passed.count_down();
  });
  until([] { return waiting_for("the door") == 1; });
  EXPECT_FALSE(passed.try_wait());
  door.give();  // the coroutine was first, and nobody else is awake to take it
  door.give();
  passed.wait();
  EXPECT_EQ(door.left(), 0);
}

// ---------------------------------------------------------------- limits and stops

// A thread that waits, for so long at most, when the constructor returns; and how that ended.
struct taker {
  taker(permits& door, std::chrono::seconds limit)
      : thread([this, &door, limit] {
          const auto deadline = tutti::now() + limit;
          outcome = door.take({.deadline = &deadline});
          over = true;
        }) {
    until([&] { return !door.list.empty(); });
  }
  std::atomic<bool> over{false};
  wait_result outcome = wait_result::stopped;
  std::jthread thread;
};

TEST(WaitList, ADeadlineOnTheVirtualClock) {
  const watchdog dog;
  tutti::virtual_clock clock;
  permits door;
  taker waiter(door, 10s);
  clock.advance(9s);
  EXPECT_FALSE(waiter.over);
  clock.advance(1s);
  waiter.thread.join();
  EXPECT_EQ(waiter.outcome, wait_result::timed_out);
  EXPECT_TRUE(door.list.empty());
}

TEST(WaitList, ADeadlineOnTheMachinesClock) {
  const watchdog dog;
  permits door;
  const auto deadline = tutti::now() + 2ms;
  EXPECT_EQ(door.take({.deadline = &deadline}), wait_result::timed_out);
  EXPECT_GE(tutti::now(), deadline);
}

TEST(WaitList, GivenInTimeOnTheVirtualClock) {
  const watchdog dog;
  tutti::virtual_clock clock;
  permits door;
  taker waiter(door, 10s);
  clock.advance(5s);
  door.give();
  waiter.thread.join();
  EXPECT_EQ(waiter.outcome, wait_result::ready);
  EXPECT_EQ(door.left(), 0);
}

TEST(WaitList, AStopEndsTheWait) {
  const watchdog dog;
  permits door;
  auto outcome = wait_result::ready;
  std::jthread thread([&](const std::stop_token& stop) { outcome = door.take({.stop = stop}); });
  until([&] { return !door.list.empty(); });
  thread.request_stop();
  thread.join();
  EXPECT_EQ(outcome, wait_result::stopped);
  EXPECT_TRUE(door.list.empty());
}

TEST(WaitList, OnAWorkerThePoolGoesOn) {
  const watchdog dog;
  permits door;
  tutti::thread_pool pool(1);
  auto blocked = pool.submit([&] { return door.take(); });
  until([&] { return !door.list.empty(); });
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1) << "another thread runs it";
  door.give();
  EXPECT_EQ(blocked.get(), wait_result::ready);
}

// ---------------------------------------------------------------- no lost wake-up

// Permits go round between threads that wait in every way there is. At the end all are back; a lost wake-up hangs.
TEST(WaitListStress, NoWakeUpIsLost) {
  const watchdog dog;
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 73U;
  RecordProperty("seed", static_cast<int>(seed));
  constexpr int threads = 6, rounds = 1500;
  for (const int count : {1, 2}) {
    permits some(count);
    std::atomic<int> inside{0}, too_many{0};
    {
      std::vector<std::jthread> all;
      for (int t = 0; t < threads; ++t) {
        all.emplace_back([&, t] {
          std::mt19937 random(seed + static_cast<unsigned>(t));
          for (int i = 0; i < rounds; ++i) {
            wait_result result = wait_result::ready;
            const auto way = random() % 4;
            const auto deadline = tutti::now() + std::chrono::microseconds(random() % 100);
            std::stop_source stop;
            const auto token = stop.get_token();
            if (way == 0) {
              result = some.take({.deadline = &deadline});
            } else if (way == 1) {
              if (random() % 2 == 0) stop.request_stop();
              result = some.take({.deadline = &deadline, .stop = token});
            } else {
              result = some.take();
            }
            if (result != wait_result::ready) continue;
            if (inside.fetch_add(1) >= count) ++too_many;
            if (random() % 4 == 0) std::this_thread::yield();
            inside.fetch_sub(1);
            some.give();
          }
        });
      }
    }
    EXPECT_EQ(some.left(), count) << "seed " << seed;
    EXPECT_EQ(too_many, 0) << "seed " << seed;
    EXPECT_TRUE(some.list.empty());
  }
}

}  // namespace
