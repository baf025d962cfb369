// sync_wait and run_loop: a thread that gives itself to coroutines.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::run_loop;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of_future;
using tutti_test::give;
using tutti_test::give_later;
using tutti_test::living;
using tutti_test::watchdog;

using sync_wait_in_time = tutti_test::virtual_time;

TEST(sync_wait, delivers) {
  const watchdog dog;
  EXPECT_EQ(sync_wait(give(1)), 1);
  EXPECT_EQ(sync_wait(give_later(std::string("text"))), "text");
  EXPECT_EQ(*sync_wait(give(std::make_unique<int>(2))), 2);
  sync_wait(tutti_test::nothing());
  EXPECT_THROW(sync_wait(tutti_test::fail("told")), std::runtime_error);
}

TEST(sync_wait, runs_everything_on_this_thread) {
  const watchdog dog;
  thread_pool pool(1);
  const auto here = std::this_thread::get_id();
  auto body = [&]() -> task<> {
    EXPECT_EQ(std::this_thread::get_id(), here);
    auto f = pool.submit([] { return std::this_thread::get_id(); });
    const auto there = co_await std::move(f);
    EXPECT_NE(there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
    co_await tutti::sleep_for(1us);
    EXPECT_EQ(std::this_thread::get_id(), here);
    auto child = tutti::spawn(give_later(1));
    co_await std::move(child);
    EXPECT_EQ(std::this_thread::get_id(), here);
  };
  sync_wait(body());
}

TEST(sync_wait, on_many_threads_at_once) {
  const watchdog dog;
  std::atomic<int> sum{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        auto body = []() -> task<int> {
          int n = 0;
          for (int round = 0; round < 1000; ++round) n += co_await give_later(1);
          co_return n;
        };
        sum += sync_wait(body());
      });
    }
  }
  EXPECT_EQ(sum, 8000);
}

TEST(sync_wait, nested_in_a_coroutine) {
  const watchdog dog;
  auto innermost = []() -> task<int> { co_return co_await give_later(1); };
  auto inner = [&]() -> task<int> {
    const int n = sync_wait(innermost());  // blocks this thread, which is defined, if not wise
    co_return n + co_await give_later(1);
  };
  auto outer = [&]() -> task<int> {
    const int n = sync_wait(inner());
    co_return n + co_await give_later(1);
  };
  EXPECT_EQ(sync_wait(outer()), 3);
}

TEST(sync_wait, on_a_worker_that_is_needed_itself) {
  const watchdog dog;
  thread_pool pool(1);
  auto body = [&]() -> task<int> {
    auto f = pool.submit([] { return 3; });  // only this pool's one worker, which waits, could run it
    co_return co_await std::move(f);
  };
  EXPECT_EQ(pool.submit([&] { return sync_wait(body()); }).get(), 3);
  auto in_coroutine = [&]() -> task<int> { co_return sync_wait(body()); };
  EXPECT_EQ(pool.submit(in_coroutine()).get(), 3);
}

TEST(sync_wait, on_a_worker_that_is_needed_by_one_inside_another) {
  const watchdog dog;
  thread_pool pool(1);
  auto innermost = [&]() -> task<int> {
    auto f = pool.submit([] { return 3; });
    co_return co_await std::move(f);
  };
  auto outer = [&]() -> task<int> { co_return sync_wait(innermost()); };
  EXPECT_EQ(pool.submit([&] { return sync_wait(outer()); }).get(), 3);
  auto blocking = [&]() -> task<int> { co_return pool.submit([] { return 4; }).get(); };
  EXPECT_EQ(pool.submit([&] { return sync_wait(blocking()); }).get(), 4);
}

TEST_F(sync_wait_in_time, leaves_nothing_pending) {
  future<int> sleeping, unstarted;
  auto body = [&]() -> task<> {
    sleeping = tutti::spawn(tutti_test::give_after(5s, 1));
    co_await yield_now();
    unstarted = tutti::spawn(tutti_test::give_after(3s, 2));
  };
  sync_wait(body());
  // Its executor is gone; what it was given was finished.
  EXPECT_TRUE(sleeping.done());
  EXPECT_TRUE(unstarted.done());
  EXPECT_EQ(passed(), 5s);
  EXPECT_EQ(sleeping.get() + unstarted.get(), 3);
}

TEST_F(sync_wait_in_time, what_ends_elsewhere_is_over_at_once) {
  thread_pool pool(1);
  auto much_later = tutti::call_later(1h, [] {});
  auto elsewhere = [&]() -> task<> { co_await tutti::resume_on(pool); };
  for (int i = 0; i < 100; ++i) sync_wait(elsewhere());
  EXPECT_EQ(passed(), 0s);
  much_later.cancel();
}

TEST_F(sync_wait_in_time, on_workers_of_one_pool) {
  std::latch both(2);
  thread_pool pool(2);
  const auto sleep = [&] {
    both.arrive_and_wait();
    sync_wait(tutti_test::sleeper(1s));
  };
  auto first = pool.submit(sleep);
  auto second = pool.submit(sleep);
  first.get();
  second.get();
  EXPECT_EQ(passed(), 1s);
}

TEST_F(sync_wait_in_time, on_a_worker_that_is_needed_itself) {
  thread_pool pool(1);
  auto inner = [&]() -> task<> {
    co_await tutti::sleep_for(1s);
    auto f = pool.submit([] {});
    co_await std::move(f);
  };
  auto outer = [&]() -> task<> {
    sync_wait(inner());
    co_return;
  };
  pool.submit([&] { sync_wait(outer()); }).get();
  EXPECT_EQ(passed(), 1s);
}

TEST_F(sync_wait_in_time, beside_a_worker_whose_wait_has_a_limit) {
  thread_pool pool(1);
  auto never = tutti::promise<int>();
  auto body = [&]() -> task<bool> {
    auto limited = pool.submit([waited_for = never.get_future()]() mutable { return waited_for.wait_for(1s); });
    co_return co_await std::move(limited);
  };
  EXPECT_FALSE(sync_wait(body()));
  EXPECT_EQ(passed(), 1s);
  never.set_value(0);
}

// A thread that ends the wait of another sleeps next: until the other shows, nobody may take time for idle.
TEST_F(sync_wait_in_time, who_was_woken_is_not_idle) {
  thread_pool pool(2);
  auto much_later = tutti::call_later(1h, [] {});
  for (int i = 0; i < 100; ++i) {
    auto told = tutti::promise<int>();
    auto body = [&]() -> task<int> {
      auto waiting = pool.submit([told = told.get_future()]() mutable { return told.get(); });
      pool.post([&] { told.set_value(1); });
      co_return co_await std::move(waiting);
    };
    EXPECT_EQ(sync_wait(body()), 1);
  }
  EXPECT_EQ(passed(), 0s);
  much_later.cancel();
}

TEST(sync_wait, tasks_see_a_name_and_no_stop) {
  const watchdog dog;
  auto body = []() -> task<> {
    EXPECT_FALSE(tutti::this_task::stop_requested());
    EXPECT_FALSE(tutti::this_task::stop_token().stop_requested());
    EXPECT_FALSE(tutti::this_task::deadline().has_value());
    co_await yield_now();
    EXPECT_FALSE(tutti::this_task::stop_requested());
  };
  sync_wait(body());
}

// ---- run_loop

TEST(run_loop, runs_what_it_is_given_on_the_thread_in_run) {
  const watchdog dog;
  run_loop loop;
  EXPECT_EQ(loop.concurrency(), 1);
  const auto here = std::this_thread::get_id();
  std::vector<future<std::thread::id>> calls;
  std::jthread outside([&] {
    for (int i = 0; i < 10; ++i) calls.push_back(loop.submit([] { return std::this_thread::get_id(); }));
    auto where = []() -> task<std::thread::id> {
      co_await yield_now();
      co_return std::this_thread::get_id();
    };
    for (int i = 0; i < 10; ++i) calls.push_back(loop.submit(where()));
  });
  outside.join();
  for (const auto& f : calls) EXPECT_FALSE(f.done());
  EXPECT_EQ(loop.run(give_later(1)), 1);
  auto rest = [&]() -> task<> {
    for (auto& f : calls) {
      const auto id = co_await std::move(f);
      EXPECT_EQ(id, here);
    }
  };
  loop.run(rest());
}

TEST(run_loop, until_shutdown) {
  const watchdog dog;
  run_loop loop;
  std::atomic<int> ran{0};
  auto f = loop.submit([&] { ++ran; });
  std::jthread outside([&] {
    for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
    auto last = loop.submit([&]() -> task<> {
      co_await yield_now();
      ++ran;
    });
    last.get();
    loop.shutdown();
  });
  loop.run();
  outside.join();
  EXPECT_EQ(ran, 102);
  f.get();
  EXPECT_THROW((void)loop.submit([] {}), tutti::closed);
  EXPECT_THROW((void)loop.submit(give(1)), tutti::closed);
  EXPECT_THROW(loop.post([] {}), tutti::closed);
}

TEST(run_loop, a_task_that_it_refuses_to_run_is_not_run_by_others) {
  const watchdog dog;
  run_loop loop;
  bool ran = false;
  auto body = [&]() -> task<> {
    ran = true;
    co_return;
  };
  std::latch inside(1), go_on(1);
  loop.post([&] {
    EXPECT_THROW(loop.run(body()), std::logic_error);
    inside.count_down();
    go_on.wait();
    loop.shutdown();
  });
  std::jthread driver([&] { loop.run(); });
  inside.wait();
  EXPECT_THROW(loop.run(body()), std::logic_error);
  go_on.count_down();
  driver.join();
  EXPECT_FALSE(ran);
}

TEST(run_loop, many_runs_one_after_the_other) {
  const watchdog dog;
  run_loop loop;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(loop.run(give_later(i)), i);
  EXPECT_THROW(loop.run(tutti_test::fail("told")), std::runtime_error);
  EXPECT_EQ(loop.run(give(5)), 5) << "an error is no end of the loop";
}

TEST(run_loop, what_is_left_over_goes_on_in_the_next_run) {
  const watchdog dog;
  run_loop loop;
  tutti::promise<int> p;
  auto source = p.get_future();
  auto wait = [&]() -> task<int> { co_return co_await std::move(source); };
  auto f = loop.submit(wait());
  EXPECT_EQ(loop.run(give_later(1)), 1);
  EXPECT_FALSE(f.done());
  p.set_value(4);
  auto take = [&]() -> task<int> { co_return co_await std::move(f); };
  EXPECT_EQ(loop.run(take()), 4);
}

TEST(run_loop, a_thread_of_its_own) {
  const watchdog dog;
  run_loop loop;
  std::jthread thread([&] { loop.run(); });
  std::vector<future<int>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(loop.submit(give_later(i)));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
  loop.shutdown();
}

TEST(run_loop, destroyed_with_work_in_it_leaves_nothing_pending) {
  const watchdog dog;
  std::atomic<int> alive{0};
  tutti::promise<int> never;
  future<int> waiting, plain;
  future<void> unstarted;
  {
    run_loop loop;
    auto source = never.get_future();
    auto wait = [&](living) -> task<int> { co_return co_await std::move(source); };
    waiting = loop.submit(wait(living(alive)));
    EXPECT_EQ(loop.run(give_later(1)), 1);
    EXPECT_EQ(alive, 1);
    plain = loop.submit([] { return 1; });
    unstarted = loop.submit(tutti_test::live_for_ever(alive));
    loop.shutdown(tutti::cancel);
  }
  EXPECT_TRUE(waiting.done() && plain.done() && unstarted.done());
  EXPECT_EQ(end_of_future(std::move(waiting)), "cancelled");
  EXPECT_EQ(end_of_future(std::move(plain)), "cancelled");
  EXPECT_EQ(end_of_future(std::move(unstarted)), "cancelled");
  EXPECT_EQ(alive, 0);
}

TEST(run_loop, shut_down_by_a_task_of_its_own) {
  const watchdog dog;
  run_loop loop;
  std::atomic<bool> later{false};
  auto closer = [&]() -> task<> {
    co_await yield_now();
    loop.post([&] {
      later = true;
      loop.shutdown();
    });
  };
  auto f = loop.submit(closer());
  loop.run();
  EXPECT_TRUE(later);
  EXPECT_TRUE(f.done());
}

}  // namespace
