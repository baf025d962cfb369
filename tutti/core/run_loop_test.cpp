#include <tests/support/watchdog.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

TEST(run_loop, runs_calls_in_order_on_the_thread_that_runs_it) {
  tutti::run_loop loop;
  std::vector<int> order;
  const auto here = std::this_thread::get_id();
  for (int i = 0; i < 100; ++i) {
    loop.post([&order, i, here] {
      EXPECT_EQ(std::this_thread::get_id(), here);
      order.push_back(i);
    });
  }
  EXPECT_TRUE(order.empty());
  loop.post([&] { loop.shutdown(); });
  loop.run();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(run_loop, higher_priorities_run_first) {
  tutti::run_loop loop;
  std::vector<int> order;
  for (const int p : {0, -1, 2, 0, 1, 2}) {
    loop.with({.name = {}, .priority = p}).post([&order, p] { order.push_back(p); });
  }
  loop.shutdown();
  EXPECT_EQ(order, (std::vector<int>{2, 2, 1, 0, 0, -1}));
}

TEST(run_loop, takes_calls_from_other_threads_while_it_sleeps) {
  tutti::run_loop loop;
  constexpr int senders = 4, each = 500;
  int seen = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < senders; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        loop.post([&] {
          if (++seen == senders * each) loop.shutdown();
        });
      }
    });
  }
  loop.run();
  EXPECT_EQ(seen, senders * each);
}

TEST(run_loop, delivers_results_and_errors) {
  tutti::run_loop loop;
  auto value = loop.submit([] { return 7; });
  auto error = loop.submit([]() -> int { throw std::runtime_error("no"); });
  loop.shutdown();
  EXPECT_EQ(value.get(), 7);
  EXPECT_THROW(error.get(), std::runtime_error);
}

TEST(run_loop, takes_nothing_after_shutdown) {
  tutti::run_loop loop;
  loop.shutdown();
  EXPECT_THROW(loop.post([] {}), tutti::closed);
  EXPECT_THROW(static_cast<void>(loop.submit([] { return 1; })), tutti::closed);
  loop.shutdown();
}

TEST(run_loop, calls_being_finished_may_hand_in_more) {
  tutti::run_loop loop;
  int depth = 0;
  std::function<void()> deeper = [&] {
    if (++depth < 10) loop.post(deeper);
  };
  loop.post(deeper);
  loop.shutdown();
  EXPECT_EQ(depth, 10);
}

TEST(run_loop, shutdown_with_cancel_abandons_what_is_queued) {
  tutti::run_loop loop;
  bool ran = false;
  auto dropped = loop.submit([&] { ran = true; });
  loop.shutdown(tutti::cancel);
  EXPECT_THROW(dropped.get(), tutti::cancelled);
  EXPECT_FALSE(ran);
}

TEST(run_loop, running_it_from_inside_is_refused) {
  tutti::run_loop loop;
  loop.post([&] { EXPECT_THROW(loop.run(), std::logic_error); });
  loop.shutdown();
}

TEST(run_loop, running_it_on_two_threads_is_refused) {
  tutti::run_loop loop;
  std::latch inside(1), go_on(1);
  loop.post([&] {
    inside.count_down();
    go_on.wait();
    loop.shutdown();
  });
  std::jthread driver([&] { loop.run(); });
  inside.wait();
  EXPECT_THROW(loop.run(), std::logic_error);
  go_on.count_down();
}

TEST(run_loop, shutdown_waits_for_the_thread_that_runs_it) {
  tutti::run_loop loop;
  std::latch inside(1);
  std::atomic<bool> done{false};
  loop.post([&] { inside.count_down(); });
  loop.post([&] { done = true; });
  std::jthread driver([&] { loop.run(); });
  inside.wait();
  loop.shutdown();
  EXPECT_TRUE(done);
}

TEST(run_loop, waiting_there_for_one_of_its_own_tasks_throws) {
  tutti::run_loop loop;
  tutti::future<int> later;
  loop.post([&] {
    later = loop.submit([] { return 1; });
    EXPECT_THROW(later.wait(), tutti::would_block);
  });
  loop.shutdown();
  EXPECT_EQ(later.get(), 1);
}

TEST(run_loop, waiting_there_for_one_of_its_own_tasks_throws_also_on_top_of_others) {
  const tutti_test::watchdog dog;
  tutti::run_loop loop;
  tutti::future<int> later;
  loop.post([&] {
    later = loop.submit([] { return 1; });
    tutti::run_loop inner;
    inner.post([&] { EXPECT_THROW(later.wait(), tutti::would_block); });
    inner.shutdown();
    const tutti::guest elsewhere;
    EXPECT_THROW(later.wait(), tutti::would_block);
  });
  loop.shutdown();
  EXPECT_EQ(later.get(), 1);
}

TEST(run_loop, calls_being_finished_may_hand_in_more_through_another_loop) {
  tutti::run_loop loop;
  std::vector<int> order;
  loop.post([&] {
    tutti::run_loop inner;
    inner.post([&] {
      loop.post([&] { order.push_back(1); });
      loop.shutdown();
      loop.post([&] { order.push_back(2); });
    });
    inner.shutdown();
    loop.post([&] { order.push_back(3); });
  });
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(run_loop, on_a_worker_the_pool_goes_on_meanwhile) {
  tutti::thread_pool pool(1);
  auto outer = pool.submit([&] {
    tutti::run_loop loop;
    // Needs the pool's only thread, which drives the loop.
    auto other = pool.submit([&] { loop.post([&] { loop.shutdown(); }); });
    loop.run();
    other.get();
    return 1;
  });
  EXPECT_EQ(outer.get(), 1);
}

TEST(run_loop, on_a_worker_what_waits_in_it_keeps_nobody_from_the_pool) {
  const tutti_test::watchdog dog;
  tutti::thread_pool pool(1);
  const auto on_the_worker = [&](auto wait) {
    auto outer = pool.submit([&] {
      tutti::run_loop loop;
      loop.post([&] {
        wait();
        loop.shutdown();
      });
      loop.run();
    });
    outer.get();
  };
  on_the_worker([&] { pool.submit([] {}).get(); });
  on_the_worker([&] {
    const tutti::guest elsewhere;
    pool.submit([] {}).get();
  });
  on_the_worker([&] {
    tutti::thread_pool other(1);
    other.post([&] { pool.submit([] {}).get(); });
    other.shutdown();
  });
  on_the_worker([&] {
    tutti::run_loop other;
    std::latch driven(1);
    std::jthread driver([&] {
      other.post([&] {
        driven.count_down();
        pool.submit([] {}).get();
      });
      other.run();
    });
    driven.wait();
    other.shutdown();
  });
}

TEST(run_loop, another_handle_is_the_same_loop) {
  tutti::run_loop loop;
  bool ran = false;
  {
    const auto other = loop.share();
    EXPECT_EQ(other->id(), loop.id());
  }
  loop.post([&] { ran = true; });
  loop.shutdown();
  EXPECT_TRUE(ran);
}

TEST(run_loop_death, destroying_it_in_one_of_its_own_calls_is_named) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto loop = std::make_unique<tutti::run_loop>();
        loop->post([&] { loop.reset(); });
        loop->run();
      },
      "fatal: run_loop destroyed by a call that it runs");
}

}  // namespace
