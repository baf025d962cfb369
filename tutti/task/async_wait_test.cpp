// Coroutines that wait in a wait_list: woken, granted, too late, out of time, stopped; beside threads, and none lost.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::task;
using tutti::wait_result;
using tutti_test::until;
using tutti_test::watchdog;

// The smallest primitive: a number of permits.
class permits {
 public:
  explicit permits(int n = 0) : left_(n) {}
  bool try_take() noexcept {
    ++looks;
    int seen = left_.load(std::memory_order_seq_cst);
    while (seen > 0) {
      if (left_.compare_exchange_weak(seen, seen - 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }
  wait_result take() {
    return list.wait([this] { return try_take(); }, {});
  }
  class taking final : public tutti::list_wait {
   public:
    taking(permits& of, std::optional<std::chrono::nanoseconds> limit)
        : list_wait(of.list, "permits::take", tutti::place::current(), limit), of_(of) {}
    wait_result await_resume() { return finish(); }

   private:
    bool ready() noexcept override { return of_.try_take(); }
    permits& of_;
  };
  taking take_async(std::optional<std::chrono::nanoseconds> limit = {}) { return {*this, limit}; }
  void give() noexcept {
    left_.fetch_add(1, std::memory_order_seq_cst);
    list.wake_one();
  }
  int left() const noexcept { return left_; }
  void wait_for_waiters(std::size_t n) {
    until([&] {
      const std::lock_guard lock(list.mutex());
      std::size_t found = 0;
      for (auto* w = list.first(); w != nullptr; w = w->next) ++found;
      return found == n;
    });
  }

  tutti::wait_list list;
  std::atomic<int> looks{0};

 private:
  std::atomic<int> left_;
};

class async_wait : public ::testing::Test {
 protected:
  watchdog dog;
  tutti::thread_pool pool{2};
};

task<wait_result> takes(permits& of) { co_return co_await of.take_async(); }
task<wait_result> takes_for(permits& of, std::chrono::nanoseconds limit) { co_return co_await of.take_async(limit); }

TEST_F(async_wait, what_is_there_is_taken_without_waiting) {
  permits one(1);
  EXPECT_EQ(tutti::sync_wait(takes(one)), wait_result::ready);
  EXPECT_EQ(one.left(), 0);
}

TEST_F(async_wait, woken_when_it_is_there) {
  permits none;
  auto f = pool.submit(takes(none));
  none.wait_for_waiters(1);
  none.give();
  EXPECT_EQ(f.get(), wait_result::ready);
  EXPECT_TRUE(none.list.empty());
}

TEST_F(async_wait, who_comes_too_late_waits_on_in_front) {
  permits none;
  auto f = pool.submit(takes(none));
  none.wait_for_waiters(1);
  auto g = pool.submit(takes(none));
  none.wait_for_waiters(2);
  const int before = none.looks;
  none.list.wake_one();  // for nothing
  until([&] { return none.looks >= before + 2; });
  none.wait_for_waiters(2);
  {
    const std::lock_guard lock(none.list.mutex());
    EXPECT_EQ(none.list.first()->losses, 1U);
    EXPECT_EQ(none.list.first()->next->losses, 0U);
  }
  none.give();
  EXPECT_EQ(f.get(), wait_result::ready);
  EXPECT_FALSE(g.done());
  none.give();
  EXPECT_EQ(g.get(), wait_result::ready);
}

TEST_F(async_wait, granted_without_a_look) {
  permits none;
  auto f = pool.submit(takes(none));
  none.wait_for_waiters(1);
  const int before = none.looks;
  tutti::wake_up wake;
  {
    const std::lock_guard lock(none.list.mutex());
    wake = none.list.grant(*none.list.first());
  }
  ASSERT_TRUE(wake);
  wake();
  EXPECT_EQ(f.get(), wait_result::ready);
  EXPECT_EQ(none.looks, before);
}

using async_wait_in_time = tutti_test::virtual_time;
TEST_F(async_wait_in_time, a_time_limit) {
  permits none;
  auto body = [&]() -> task<> {
    auto late = tutti::spawn(takes_for(none, 1s));
    auto early = tutti::spawn(takes_for(none, 2s));
    co_await tutti::sleep_for(500ms);
    none.list.wake_one();  // for nothing: the limit stays
    EXPECT_EQ(co_await std::move(late), wait_result::timed_out);
    EXPECT_EQ(passed(), 1s);
    none.give();
    EXPECT_EQ(co_await std::move(early), wait_result::ready);
    EXPECT_EQ(passed(), 1s);
  };
  tutti::sync_wait(body());
  EXPECT_TRUE(none.list.empty());
}

TEST_F(async_wait, no_time_at_all) {
  permits none;
  EXPECT_EQ(tutti::sync_wait(takes_for(none, 0s)), wait_result::timed_out);
  EXPECT_EQ(tutti::sync_wait(takes_for(none, -1h)), wait_result::timed_out);
  permits one(1);
  EXPECT_EQ(tutti::sync_wait(takes_for(one, 0s)), wait_result::ready);
}

TEST_F(async_wait, all_the_time_there_is) {
  permits none;
  auto f = pool.submit(takes_for(none, std::chrono::nanoseconds::max()));
  none.wait_for_waiters(1);
  none.give();
  EXPECT_EQ(f.get(), wait_result::ready);
}

TEST_F(async_wait, stopped_while_it_waits) {
  permits none;
  auto f = pool.submit(takes(none));
  none.wait_for_waiters(1);
  f.cancel();
  EXPECT_THROW(f.get(), tutti::cancelled);
  EXPECT_TRUE(none.list.empty());
}

TEST_F(async_wait, stopped_after_it_came_too_late) {
  permits none;
  auto f = pool.submit(takes(none));
  none.wait_for_waiters(1);
  none.list.wake_one();
  f.cancel();
  EXPECT_THROW(f.get(), tutti::cancelled);
  EXPECT_TRUE(none.list.empty());
}

TEST_F(async_wait, on_an_inline_executor) {
  permits none;
  tutti::inline_executor in_place;
  std::jthread giver([&] {
    none.wait_for_waiters(1);
    none.list.wake_one();
    none.wait_for_waiters(1);
    none.give();
  });
  EXPECT_EQ(in_place.submit(takes(none)).get(), wait_result::ready);
}

TEST_F(async_wait, all_are_woken_threads_and_coroutines) {
  permits none;
  std::vector<tutti::future<wait_result>> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(pool.submit(takes(none)));
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { none.take(); });
  }
  none.wait_for_waiters(23);
  for (int i = 0; i < 23; ++i) none.give();
  for (auto& f : waiting) EXPECT_EQ(f.get(), wait_result::ready);
  threads.clear();
  EXPECT_EQ(none.left(), 0);
}

// Permits go round between threads and coroutines, of which some give up, until all have had their share.
TEST_F(async_wait, nobody_is_forgotten) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  permits some(3);
  std::atomic<int> inside{0};
  constexpr int rounds = 2000;
  const auto enter = [&] {
    EXPECT_LE(inside.fetch_add(1) + 1, 3);
    inside.fetch_sub(1);
  };
  const auto share = [](permits& of, const auto& in, std::uint32_t s) -> task<void> {
    std::mt19937 random(s);
    for (int i = 0; i < rounds; ++i) {
      if (random() % 4 == 0) {
        const wait_result r = co_await of.take_async(std::chrono::nanoseconds(random() % 20'000));
        if (r != wait_result::ready) continue;
      } else {
        co_await of.take_async();
      }
      in();
      if (random() % 8 == 0) co_await tutti::yield_now();
      of.give();
    }
  };
  std::vector<tutti::future<void>> coroutines;
  for (std::uint32_t i = 0; i < 6; ++i) coroutines.push_back(pool.submit(share(some, enter, seed + i)));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < rounds; ++i) {
          some.take();
          enter();
          some.give();
        }
      });
    }
  }
  for (auto& f : coroutines) f.get();
  EXPECT_EQ(some.left(), 3);
  EXPECT_TRUE(some.list.empty());
}

}  // namespace
