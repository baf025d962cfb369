// Cancelling before, during and after; stop tokens; futures made of others; maps that are dropped or lose their pool.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <thread>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;
using tutti_test::held_pool;
using tutti_test::until_stopped;

TEST(rules_cancel, before_it_never_runs) {
  held_pool b;
  bool ran = false;
  auto f = b.pool.submit([&] { ran = true; });
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(f.done());
  EXPECT_FALSE(f.cancel());  // done already
  EXPECT_THROW(f.get(), tutti::cancelled);
  b.open();
  b.pool.shutdown();
  EXPECT_FALSE(ran);
}

TEST(rules_cancel, the_error_names_the_task) {
  held_pool b;
  const auto text_of = [](future<void> f) {
    f.cancel();
    try {
      f.get();
    } catch (const tutti::cancelled& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(text_of(b.pool.with({.name = "load"}).submit([] {})), "task \"load\" was cancelled before it began");
  EXPECT_EQ(text_of(b.pool.submit([] {})), "a task without a name was cancelled before it began");
}

TEST(rules_cancel, before_frees_what_the_callable_holds_in_the_end) {
  auto held = std::make_shared<int>(1);
  {
    held_pool b;
    auto f = b.pool.submit([held] {});
    f.cancel();
    b.open();
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(rules_cancel, every_waiter_hears_of_it) {
  held_pool b;
  auto f = b.pool.submit([] { return 1; });
  std::atomic<bool> callback{false};
  f.on_done([&] { callback = true; });
  const auto shared = f.share();
  auto continued = b.pool.submit([] { return 1; });  // another, with a continuation
  auto after = continued.then([](int n) { return n; });
  std::atomic<int> heard{0};
  std::latch about_to_wait(3);
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] {
      about_to_wait.count_down();
      EXPECT_THROW((void)shared.get(), tutti::cancelled);
      ++heard;
    });
  }
  about_to_wait.wait();
  EXPECT_TRUE(shared.cancel());
  waiters.clear();
  EXPECT_EQ(heard, 3);
  EXPECT_TRUE(callback);
  EXPECT_TRUE(after.cancel());
  EXPECT_THROW(after.get(), tutti::cancelled);
}

TEST(rules_cancel, during_it_is_asked) {
  std::latch started(1);
  thread_pool pool{1};
  auto f = pool.submit([&] {
    EXPECT_FALSE(tutti::this_task::stop_requested());
    started.count_down();
    until_stopped();
    return 7;
  });
  started.wait();
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.get(), 7);  // how it ends is its own affair
  auto g = pool.submit([&] {
    until_stopped();
    throw tutti::cancelled("as asked");
  });
  g.cancel();
  EXPECT_THROW(g.get(), tutti::cancelled);
}

TEST(rules_cancel, during_by_token_and_callback) {
  std::latch started(1), called(1);
  thread_pool pool{1};
  auto f = pool.submit([&] {
    const std::stop_token token = tutti::this_task::stop_token();
    EXPECT_TRUE(token.stop_possible());
    const std::stop_callback callback(token, [&] { called.count_down(); });
    started.count_down();
    called.wait();
    EXPECT_TRUE(token.stop_requested());
  });
  started.wait();
  f.cancel();
  f.get();
}

TEST(rules_cancel, during_ends_a_stoppable_wait) {
  std::latch started(1);
  thread_pool pool{2};
  promise<int> never;
  auto waited_for = never.get_future();
  auto f = pool.submit([&] {
    started.count_down();
    return waited_for.wait(tutti::this_task::stop_token());
  });
  started.wait();
  f.cancel();
  EXPECT_EQ(f.get(), tutti::wait_result::stopped);
  never.set_value(1);
}

TEST(rules_cancel, after_it_changes_nothing) {
  thread_pool pool{1};
  auto f = pool.submit([] { return 3; });
  f.wait();
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.get(), 3);
  tutti::inline_executor here;
  auto g = here.submit([] { return 4; });
  EXPECT_FALSE(g.cancel());
  EXPECT_EQ(g.get(), 4);
}

TEST(rules_cancel, racing_with_the_start_has_one_outcome) {
  std::atomic<int> bodies{0};
  thread_pool pool{2};
  int cancelled = 0, ran = 0;
  for (int i = 0; i < 2000; ++i) {
    auto f = pool.submit([&] { ++bodies; });
    const bool claimed = f.cancel();
    try {
      f.get();
      EXPECT_FALSE(claimed);
      ++ran;
    } catch (const tutti::cancelled&) {
      EXPECT_TRUE(claimed);
      ++cancelled;
    }
  }
  EXPECT_EQ(ran, bodies);
  EXPECT_EQ(cancelled + ran, 2000);
}

TEST(rules_cancel, tasks_outside_a_call_are_never_stopped) {
  EXPECT_FALSE(tutti::this_task::stop_requested());
  EXPECT_FALSE(tutti::this_task::stop_token().stop_requested());
  EXPECT_FALSE(tutti::this_task::deadline().has_value());
}

// ---- wholes

TEST(rules_cancel, a_cancelled_bulk_is_done_when_nothing_touches_its_range) {
  std::atomic<int> inside{0}, calls{0};
  std::atomic<bool> asked{false};
  thread_pool pool(2);
  std::vector<int> range(1000, 1);
  auto whole = pool.submit_bulk(range,
                                [&](int& n) {
                                  ++inside;
                                  ++calls;
                                  while (!asked) std::this_thread::yield();
                                  n = 2;
                                  --inside;
                                },
                                {.chunk = 100});
  while (calls == 0) std::this_thread::yield();
  EXPECT_FALSE(whole.cancel());
  asked = true;
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_EQ(inside, 0);
  EXPECT_LT(calls, 50);
}

TEST(rules_cancel, a_cancelled_when_all_waits_for_the_parts_that_run) {
  std::latch started(1), gate(1);
  std::atomic<bool> over{false};
  thread_pool pool{1};
  auto first = pool.submit([&] {
    started.count_down();
    until_stopped();
    gate.wait();
    over = true;
    return 1;
  });
  auto whole = tutti::when_all(std::move(first), pool.submit([] { return 2; }));
  started.wait();
  whole.cancel();
  EXPECT_FALSE(whole.done());
  gate.count_down();
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_TRUE(over);
}

TEST(rules_cancel, cancelling_reaches_the_parts_of_when_any_and_of_a_flattened_future) {
  promise<int> a, b;
  std::vector<future<int>> both;
  both.push_back(a.get_future());
  both.push_back(b.get_future());
  auto any = tutti::when_any(std::move(both));
  any.cancel();
  EXPECT_TRUE(a.stop_requested() && b.stop_requested());
  EXPECT_THROW(any.get(), tutti::cancelled);

  tutti::inline_executor here;
  promise<int> inner;
  auto flat = here.submit([] {}).then([&] { return inner.get_future(); });
  EXPECT_FALSE(flat.done());
  flat.cancel();
  EXPECT_TRUE(inner.stop_requested());
  EXPECT_THROW(flat.get(), tutti::cancelled);
}

// ---- maps

TEST(rules_cancel, dropping_a_map_cancels_the_rest) {
  std::atomic<int> ran{0};
  thread_pool pool{2};
  std::vector<int> input(10'000);
  {
    auto results = pool.map(input, [&](int i) { return ++ran, i; }, {.chunk = 1});
    auto it = results.begin();
    EXPECT_EQ(*it, 0);
  }
  const int at_drop = ran;
  EXPECT_LE(at_drop, 1 + 2 * 2 + 2);  // the first, and those under way
  pool.shutdown();
  EXPECT_EQ(ran, at_drop);  // the drop waited for what was being computed
}

TEST(rules_shutdown, a_map_keeps_its_threads) {
  auto results = [] {
    thread_pool pool{2};
    return pool.map(std::vector<int>{1, 2, 3, 4, 5}, [](int i) { return i * i; }, {.chunk = 1});
  }();
  int sum = 0;
  for (const int n : results) sum += n;
  EXPECT_EQ(sum, 55);
}

TEST(rules_shutdown, a_map_dropped_half_way_and_unread) {
  for (int take = 0; take < 5; ++take) {
    thread_pool pool{2};
    auto results = pool.map(std::vector<int>(100), [](int i) { return i; }, {.chunk = 3});
    if (take > 0) {
      auto it = results.begin();
      for (int i = 1; i < take; ++i) ++it;
    }
  }
}

TEST(rules_shutdown, a_map_meets_a_closed_pool) {
  thread_pool pool{1};
  auto results = pool.map(std::vector<int>(100), [](int i) { return i; }, {.chunk = 1});
  auto it = results.begin();
  EXPECT_EQ(*it, 0);
  pool.shutdown();
  EXPECT_THROW(
      while (it != results.end()) {
        static_cast<void>(*it);
        ++it;
      },
      tutti::closed);
  EXPECT_THROW((void)pool.submit_bulk(std::vector<int>(10), [](int i) { return i; }), tutti::closed);
}

// ---- stop tokens as options

TEST(rules_stop, requested_before_the_submit) {
  thread_pool pool{1};
  std::stop_source source;
  source.request_stop();
  const std::stop_token token = source.get_token();
  bool ran = false;
  auto f = pool.with({.stop = token}).submit([&] { ran = true; });
  EXPECT_THROW(f.get(), tutti::cancelled);
  EXPECT_FALSE(ran);
}

TEST(rules_stop, requested_before_the_start) {
  held_pool b;
  std::stop_source source;
  bool ran = false;
  future<void> f;
  {
    const std::stop_token token = source.get_token();  // copied by submit
    f = b.pool.with({.stop = token}).submit([&] { ran = true; });
  }
  source.request_stop();
  EXPECT_TRUE(f.done());
  EXPECT_THROW(f.get(), tutti::cancelled);
  b.open();
  b.pool.shutdown();
  EXPECT_FALSE(ran);
}

TEST(rules_stop, requested_while_it_runs) {
  std::latch started(1);
  thread_pool pool{1};
  std::stop_source source;
  const std::stop_token token = source.get_token();
  auto f = pool.with({.stop = token}).submit([&] {
    started.count_down();
    until_stopped();
    return 1;
  });
  started.wait();
  source.request_stop();
  EXPECT_EQ(f.get(), 1);
}

TEST(rules_stop, requested_after_the_end_or_never) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  future<int> f;
  {
    thread_pool pool{1};
    f = pool.with({.stop = token}).submit([] { return 1; });
    EXPECT_EQ(pool.with({.stop = token}).submit([] { return 2; }).get(), 2);
  }
  source.request_stop();
  EXPECT_EQ(f.get(), 1);
}

TEST(rules_stop, one_token_for_many_raced) {
  thread_pool pool{2};
  for (int round = 0; round < 50; ++round) {
    std::stop_source source;
    const std::stop_token token = source.get_token();
    std::vector<future<int>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.with({.stop = token}).submit([] { return 1; }));
    source.request_stop();
    int ends = 0;
    for (auto& f : futures) {
      try {
        ends += f.get();
      } catch (const tutti::cancelled&) {
        ++ends;
      }
    }
    EXPECT_EQ(ends, 20);
  }
}

}  // namespace
