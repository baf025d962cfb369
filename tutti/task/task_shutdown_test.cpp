// The end of executors with coroutines in them: finish waits, cancel stops, and nothing is left pending.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::end_of_future;
using tutti_test::give;
using tutti_test::give_after;
using tutti_test::give_later;
using tutti_test::live_for_ever;
using tutti_test::living;
using tutti_test::run_dry;
using tutti_test::sleeper;
using tutti_test::until;
using tutti_test::wait_until_closed;
using tutti_test::watchdog;

using task_shutdown = tutti_test::virtual_time;

TEST_F(task_shutdown, finish_waits_for_those_that_sleep) {
  auto pool = std::make_unique<thread_pool>(2);
  std::vector<future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(pool->submit(give_after((i % 10) * 1s, i)));
  std::jthread closer([&] { pool.reset(); });
  sync_wait(sleeper(20s));  // moves the time
  closer.join();
  for (int i = 0; i < 100; ++i) {
    auto& f = all[static_cast<std::size_t>(i)];
    EXPECT_TRUE(f.done());
    EXPECT_EQ(f.get(), i);
  }
}

TEST_F(task_shutdown, finish_waits_for_those_that_wait_for_the_outside) {
  thread_pool pool(1);
  tutti::promise<int> p;
  auto source = p.get_future();
  auto waiting = [&]() -> task<int> { co_return co_await std::move(source) + co_await give_later(1); };
  auto f = pool.submit(waiting());
  run_dry(pool);
  std::jthread setter([&] {
    wait_until_closed(pool);
    EXPECT_FALSE(f.done());
    p.set_value(3);
  });
  pool.shutdown();
  EXPECT_TRUE(f.done());
  setter.join();
  EXPECT_EQ(f.get(), 4);
}

TEST_F(task_shutdown, finish_lets_its_own_tasks_start_others) {
  std::latch gate(1);
  std::atomic<int> ran{0};
  thread_pool pool(2);
  auto leaf = [&]() -> task<int> {
    co_await yield_now();
    co_return ++ran, 1;
  };
  auto root = [&]() -> task<int> {
    co_await yield_now();
    gate.wait();
    int sum = 0;
    auto spawned = spawn(leaf());
    auto submitted = pool.submit(leaf());
    sum += co_await std::move(spawned);
    sum += co_await std::move(submitted);
    const auto all = co_await tutti::when_all(leaf(), leaf());
    sum += std::get<0>(all) + std::get<1>(all);
    co_await tutti::task_group::run([&](tutti::task_group& g) -> task<> {
      static_cast<void>(g.spawn(leaf()));
      co_return;
    });
    sum += co_await tutti::with_timeout(leaf(), 1h);
    co_return sum;
  };
  auto f = pool.submit(root());
  std::jthread closer([&] { pool.shutdown(); });
  wait_until_closed(pool);
  EXPECT_THROW((void)pool.submit(leaf()), tutti::closed);
  EXPECT_THROW((void)pool.submit([&] { return leaf(); }), tutti::closed);
  gate.count_down();
  EXPECT_EQ(f.get(), 5);
  closer.join();
  EXPECT_EQ(ran, 6);
}

TEST_F(task_shutdown, a_relay_within_finish_runs_to_its_end) {
  struct relay {
    static task<> run(int left, std::atomic<int>& ran) {
      ++ran;
      co_await yield_now();
      if (left > 0) static_cast<void>(spawn(run(left - 1, ran)));
    }
  };
  std::atomic<int> ran{0};
  {
    thread_pool pool(2);
    for (int i = 0; i < 4; ++i) static_cast<void>(pool.submit(relay::run(999, ran)));
  }
  EXPECT_EQ(ran, 4000);
}

TEST_F(task_shutdown, cancel_stops_those_that_sleep) {
  std::atomic<int> alive{0};
  thread_pool pool(2);
  std::vector<future<void>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(pool.submit(live_for_ever(alive)));
  until([&] { return alive == 1000; });
  pool.shutdown(tutti::cancel);
  EXPECT_EQ(alive, 0);
  for (auto& f : all) {
    EXPECT_TRUE(f.done());
    EXPECT_EQ(end_of_future(std::move(f)), "cancelled");
  }
  EXPECT_THROW((void)pool.submit(give(1)), tutti::closed);
}

// What takes its time when it is stopped: it waits for something that knows of no stop.
TEST_F(task_shutdown, cancel_waits_for_their_end) {
  std::atomic<int> alive{0};
  std::latch gate(1), begun(1);
  std::atomic<bool> over{false};
  thread_pool pool(1), helper(1);
  auto slow_to_stop = [&]() -> task<int> {
    const living me(alive);
    auto f = helper.submit([&] {
      begun.count_down();
      gate.wait();
      return 7;
    });
    co_return co_await std::move(f);
  };
  auto f = pool.submit(slow_to_stop());
  begun.wait();  // what has not begun would not run at all
  until([&] { return alive == 1; });
  run_dry(pool);
  std::jthread closer([&] {
    pool.shutdown(tutti::cancel);
    over = true;
  });
  wait_until_closed(pool);
  EXPECT_FALSE(over);
  EXPECT_EQ(alive, 1);
  gate.count_down();
  closer.join();
  EXPECT_EQ(alive, 0);
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), 7) << "how it ends is its own affair";
}

// A shield does not hold against the end of the executor.
TEST_F(task_shutdown, cancel_reaches_into_a_shield) {
  std::atomic<int> alive{0};
  thread_pool pool(1);
  auto shielded = [&]() -> task<> { co_await tutti::shield(live_for_ever(alive)); };
  auto f = pool.submit(shielded());
  until([&] { return alive == 1; });
  pool.shutdown(tutti::cancel);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(end_of_future(std::move(f)), "cancelled");
}

TEST_F(task_shutdown, cancel_completes_the_unstarted) {
  std::atomic<int> alive{0};
  std::latch gate(1), begun(1);
  bool ran = false;
  auto body = [&](living) -> task<> {
    ran = true;
    co_return;
  };
  thread_pool pool(1);
  pool.post([&] {
    begun.count_down();
    gate.wait();
  });
  begun.wait();
  std::vector<future<void>> all;
  for (int i = 0; i < 100; ++i) all.push_back(pool.submit(body(living(alive))));
  EXPECT_EQ(alive, 100);
  std::jthread closer([&] { pool.shutdown(tutti::cancel); });
  wait_until_closed(pool);
  gate.count_down();
  closer.join();
  for (auto& f : all) EXPECT_EQ(end_of_future(std::move(f)), "cancelled");
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST_F(task_shutdown, futures_awaited_elsewhere_hear_of_it) {
  std::atomic<int> alive{0};
  auto pool = std::make_unique<thread_pool>(1);
  std::jthread closer;
  auto body = [&]() -> task<std::string> {
    auto f = pool->submit(live_for_ever(alive));
    co_await sleep_for(1s);
    closer = std::jthread([&] {
      pool->shutdown(tutti::cancel);
      pool.reset();
    });
    co_return co_await end_of([&] { return std::move(f); });
  };
  EXPECT_EQ(sync_wait(body()), "cancelled");
  closer.join();
  EXPECT_EQ(alive, 0);
}

// A coroutine of one pool awaits what another pool does; either ends first.
TEST_F(task_shutdown, pools_that_wait_for_each_other) {
  for (const bool waiting_one_first : {false, true}) {
    std::atomic<int> alive{0};
    auto waiting = std::make_unique<thread_pool>(1), working = std::make_unique<thread_pool>(1);
    auto outer = [&]() -> task<int> {
      const living me(alive);
      auto f = working->submit(give_after(5s, 1));
      co_return co_await std::move(f);
    };
    auto f = waiting->submit(outer());
    until([&] { return alive == 1; });
    run_dry(*waiting);
    std::jthread closer([&] {
      (waiting_one_first ? waiting : working).reset();
      (waiting_one_first ? working : waiting).reset();
    });
    sync_wait(sleeper(10s));
    closer.join();
    EXPECT_EQ(end_of_future(std::move(f)), "value");
    EXPECT_EQ(alive, 0);
  }
}

// A coroutine that is resumed and does nothing, as some that g++ 12 miscompiles.
struct lost : tutti::detail::own_awaiter {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const noexcept {}
};

TEST_F(task_shutdown, does_not_wait_for_a_task_that_is_lost) {
  thread_pool first(1), second(1);
  auto inner = [&]() -> task<> {
    co_await tutti::resume_on(second);
    co_await tutti::sleep_for(1s);
    co_await lost();
  };
  auto outer = [&]() -> task<> { co_await inner(); };
  auto f = first.with({.name = "lost one", .timeout = 1h}).submit(outer());
  sync_wait(tutti_test::sleeper(2s));
  EXPECT_EQ(end_of_future(std::move(f)), "logic_error");
  EXPECT_FALSE(tutti::detail::next_timer().has_value()) << "its time limit is still set";
  for (const std::string& one : tutti::describe_coroutines()) EXPECT_EQ(one.find("lost one"), one.npos) << one;
  first.shutdown();
  second.shutdown();
}

TEST_F(task_shutdown, a_run_loop_finishes_or_stops_its_own) {
  std::atomic<int> alive{0};
  {
    tutti::run_loop loop;
    auto sleeping = loop.submit(give_after(3s, 1));
    auto endless = loop.submit(live_for_ever(alive));
    auto closer = [&]() -> task<> {
      co_await sleep_for(1s);
      EXPECT_EQ(alive, 1);
      loop.post([&] { loop.shutdown(tutti::cancel); });
    };
    auto f = loop.submit(closer());
    loop.run();
    EXPECT_EQ(end_of_future(std::move(sleeping)), "cancelled");
    EXPECT_EQ(end_of_future(std::move(endless)), "cancelled");
    EXPECT_TRUE(f.done());
    EXPECT_EQ(alive, 0);
  }
  {
    tutti::run_loop loop;
    auto sleeping = loop.submit(give_after(3s, 1));
    loop.post([&] { loop.shutdown(); });
    loop.run();
    EXPECT_EQ(end_of_future(std::move(sleeping)), "value") << "finish completes what was handed in";
  }
}

// Everything there is, at every stage, then the end, over and over.
TEST(task_shutdown_at_exit, reaches_those_that_begin_to_wait_only_then) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::alarm(30);
        static std::atomic<bool> running{false};
        static std::atomic<bool> closed{false};
        static auto f = spawn([]() -> task<> {
          running = true;
          until([] { return closed.load(); });
          co_await tutti_test::sleep_for_ever();
        });
        until([] { return running.load(); });
        std::thread([] {
          wait_until_closed(tutti::default_pool());
          closed = true;
        }).detach();
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(task_shutdown_race, nothing_is_left_pending) {
  const watchdog dog;
  const tutti_test::unhandled_counter counter;
  constexpr int rounds = tutti_test::sanitized ? 20 : 200;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int> alive{0};
    auto short_one = [&](int turns) -> task<int> {
      const living me(alive);
      for (int i = 0; i < turns; ++i) co_await yield_now();
      co_return turns;
    };
    auto sleeping = [&](int i) -> task<int> {
      const living me(alive);
      co_await sleep_for(i * 1us);
      co_return i;
    };
    auto waiting = [&](int i) -> task<int> {
      const living me(alive);
      auto f = spawn(sleeping(i));
      co_return co_await std::move(f);
    };
    auto grouped = [&](int i) -> task<int> {
      const living me(alive);
      co_await tutti::task_group::run([&](tutti::task_group& g) -> task<> {
        for (int n = 0; n < 3; ++n) static_cast<void>(g.spawn(sleeping(i)));
        co_await yield_now();
      });
      co_return i;
    };
    auto limited = [&](int i) -> task<int> { co_return co_await tutti::with_timeout(sleeping(i), 1h); };
    std::vector<future<int>> all;
    {
      thread_pool pool(1 + round % 3);
      for (int i = 0; i < 20; ++i) {
        all.push_back(pool.submit(short_one(i % 5)));
        all.push_back(pool.submit(sleeping(i)));
        all.push_back(pool.submit(waiting(i)));
        all.push_back(pool.submit(grouped(i)));
        all.push_back(pool.submit(limited(i)));
      }
      for (int i = 0; i < round % 7; ++i) std::this_thread::yield();
      pool.shutdown(round % 2 == 0 ? tutti::finish : tutti::cancel);
      EXPECT_EQ(alive, 0);
    }
    for (auto& f : all) {
      ASSERT_TRUE(f.done());
      const std::string end = end_of_future(std::move(f));
      if (round % 2 == 0) {
        ASSERT_EQ(end, "value");
      } else {
        ASSERT_TRUE(end == "value" || end == "cancelled" || end == "closed") << end;
      }
    }
    ASSERT_EQ(alive, 0);
  }
  EXPECT_EQ(counter.all(), 0);
}

}  // namespace
