// Tasks handed to executors: submit in all its forms, with all options, and spawn.
#include <gtest/gtest.h>

#include <atomic>
#include <concepts>
#include <latch>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/no_threads.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace task_calls {

tutti::task<int> twice(int n) {
  co_await tutti::yield_now();
  co_return 2 * n;
}
tutti::task<std::size_t> length(const std::string& text) {
  co_await tutti::yield_now();
  co_return text.size();  // the argument is still there
}
tutti::task<int> take(std::unique_ptr<int> p) {
  co_await tutti::yield_now();
  co_return *p;
}
tutti::task<> bad() {
  co_await tutti::yield_now();
  throw std::domain_error("bad");
}
tutti::task<std::string> own_name() {
  co_await tutti::yield_now();
  co_return std::string(tutti::this_task::name());
}

}  // namespace task_calls

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of_future;
using tutti_test::give;
using tutti_test::give_later;
using tutti_test::held_pool;
using tutti_test::living;
using tutti_test::unhandled_counter;
using tutti_test::watchdog;

using submit_task_in_time = tutti_test::virtual_time;

static_assert(std::same_as<decltype(std::declval<thread_pool&>().submit(std::declval<task<int>>())), future<int>>);
static_assert(std::same_as<decltype(std::declval<tutti::executor&>().submit<task_calls::twice>(1)), future<int>>);
static_assert(std::same_as<decltype(std::declval<thread_pool&>().submit<task_calls::bad>()), future<void>>);

// ---- forms

TEST(submit_task, a_task) {
  const watchdog dog;
  thread_pool pool(2);
  EXPECT_EQ(pool.submit(give(1)).get(), 1);
  EXPECT_EQ(pool.submit(give_later(2)).get(), 2);
  EXPECT_EQ(*pool.submit(give(std::make_unique<int>(3))).get(), 3);
  pool.submit(tutti_test::nothing()).get();
  EXPECT_THROW(pool.submit(tutti_test::fail("told")).get(), std::runtime_error);
}

TEST(submit_task, runs_on_the_pool_and_comes_back_to_it) {
  const watchdog dog;
  thread_pool pool(1);
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  std::vector<std::thread::id> seen;
  thread_pool other(1);
  auto body = [&]() -> task<> {
    seen.push_back(std::this_thread::get_id());
    co_await yield_now();
    seen.push_back(std::this_thread::get_id());
    co_await tutti::sleep_for(1us);
    seen.push_back(std::this_thread::get_id());
    auto f = other.submit([] {});
    co_await std::move(f);
    seen.push_back(std::this_thread::get_id());
  };
  pool.submit(body()).get();
  EXPECT_EQ(seen, std::vector(4, worker));
}

TEST(submit_task, a_callable_lives_until_the_coroutine_ends) {
  const watchdog dog;
  const auto held = std::make_shared<int>(5);
  {
    thread_pool pool(2);
    auto g = [held]() -> task<int> {
      for (int i = 0; i < 10; ++i) co_await yield_now();
      co_return *held;
    };
    std::vector<future<int>> all;
    for (int i = 0; i < 10; ++i) all.push_back(pool.submit(g));
    for (auto& f : all) EXPECT_EQ(f.get(), 5);
    auto owned = std::make_unique<int>(6);
    EXPECT_EQ(pool.submit([p = std::move(owned)]() -> task<int> {
                    co_await yield_now();
                    co_return *p;
                  })
                  .get(),
              6);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(submit_task, a_function_named_at_compile_time) {
  const watchdog dog;
  thread_pool pool(2);
  EXPECT_EQ(pool.submit<task_calls::twice>(21).get(), 42);
  EXPECT_EQ(pool.submit<task_calls::length>(std::string(1000, 'x')).get(), 1000U);
  EXPECT_EQ(pool.submit<task_calls::length>("converted before submit returns").get(), 31U);
  EXPECT_EQ(pool.submit<task_calls::take>(std::make_unique<int>(9)).get(), 9);
  EXPECT_THROW(pool.submit<task_calls::bad>().get(), std::domain_error);
  EXPECT_EQ(tutti::submit(pool, tutti::fn<task_calls::twice>, 4).get(), 8);
}

TEST(submit_task, the_same_on_any_executor) {
  const watchdog dog;
  for (const std::string spec : {"threads:2", "threads", "inline"}) {
    const auto anywhere = tutti::make_executor(spec);
    EXPECT_EQ(anywhere->submit<task_calls::twice>(21).get(), 42) << spec;
    EXPECT_EQ(anywhere->with({.name = "named"}).submit<task_calls::own_name>().get(), "named") << spec;
  }
}

TEST(submit_task, named_functions_lend_their_name) {
  const watchdog dog;
  thread_pool pool(1);
  EXPECT_NE(pool.submit<task_calls::own_name>().get().find("own_name"), std::string::npos);
}

TEST(submit_task, inline_comes_back_done) {
  const watchdog dog;
  tutti::inline_executor here;
  auto done = here.submit(give(1));
  EXPECT_TRUE(done.done());
  EXPECT_EQ(done.get(), 1);
  // Also when it has to wait, for time or for another thread.
  std::vector<std::thread::id> seen;
  tutti::promise<int> p;
  auto source = p.get_future();
  std::latch begun(1);
  auto body = [&]() -> task<int> {
    seen.push_back(std::this_thread::get_id());
    begun.count_down();
    const int n = co_await std::move(source);
    seen.push_back(std::this_thread::get_id());
    co_await tutti::sleep_for(1us);
    seen.push_back(std::this_thread::get_id());
    co_return n + 1;
  };
  std::jthread setter([&] {
    begun.wait();
    p.set_value(7);
  });
  auto f = here.submit(body());
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), 8);
  EXPECT_EQ(seen, std::vector(3, std::this_thread::get_id()));
}

TEST(submit_task, many) {
  const watchdog dog;
  thread_pool pool(2);
  constexpr int n = 100'000;
  std::vector<future<int>> all;
  all.reserve(n);
  for (int i = 0; i < n; ++i) all.push_back(pool.submit(i % 2 == 0 ? give(i) : give_later(i)));
  std::int64_t sum = 0;
  for (auto& f : all) sum += f.get();
  EXPECT_EQ(sum, std::int64_t{n} * (n - 1) / 2);
}

TEST(submit_task, as_any_other_future) {
  const watchdog dog;
  thread_pool pool(2);
  EXPECT_EQ(pool.submit(give_later(1)).then([](int n) { return n + 1; }).get(), 2);
  auto shared = pool.submit(give_later(3)).share();
  EXPECT_EQ(shared.get() + shared.get(), 6);
  EXPECT_EQ(std::get<1>(tutti::when_all(pool.submit(give(1)), pool.submit(give_later(2))).get()), 2);
  // A continuation that is a coroutine itself.
  EXPECT_EQ(pool.submit(give(1)).then([&](int n) { return pool.submit(give_later(n + 4)); }).get(), 5);
}

TEST(submit_task, a_worker_may_block_for_one) {
  const watchdog dog;
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] { return pool.submit(give_later(1)).get() + pool.submit(give(1)).get(); }).get(), 2);
  // The coroutine waits for something that only another task of this pool can do.
  EXPECT_EQ(pool.submit([&] {
                  tutti::promise<int> p;
                  auto source = p.get_future();
                  auto waiting = [&]() -> task<int> { co_return co_await std::move(source); };
                  auto f = pool.submit(waiting());
                  pool.post([&] { p.set_value(6); });
                  return f.get();
                })
                .get(),
            6);
}

// ---- options

TEST(submit_task, its_name_lasts) {
  const watchdog dog;
  thread_pool pool(2);
  auto deeper = []() -> task<std::string> {
    co_await yield_now();
    co_return std::string(tutti::this_task::name());
  };
  auto body = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(tutti::this_task::name(), "the loader");
      co_await yield_now();
    }
    const std::string below = co_await deeper();
    EXPECT_EQ(below, "the loader") << "what it awaits is part of it";
    co_await tutti::sleep_for(1us);
    EXPECT_EQ(tutti::this_task::name(), "the loader");
  };
  pool.with({.name = "the loader"}).submit(body()).get();
  pool.with({.name = "the loader"}).submit([&] { return body(); }).get();
}

TEST(submit_task, priorities_order_the_starting) {
  const watchdog dog;
  held_pool b;
  std::vector<int> order;
  auto note = [&](int n) -> task<> {
    order.push_back(n);
    co_return;
  };
  std::vector<future<void>> all;
  for (const int n : {1, 3, 2, 3}) all.push_back(b.pool.with({.priority = n}).submit(note(n)));
  b.run_all();
  EXPECT_EQ(order, (std::vector{3, 3, 2, 1}));
}

TEST_F(submit_task_in_time, a_timeout_stops_it_and_awaits_its_end) {
  std::atomic<int> alive{0};
  thread_pool pool(1);
  auto slow_to_stop = [&]() -> task<> {
    co_await tutti_test::live_until_stopped_and(alive, 3s);
    throw tutti::cancelled("after cleaning up");
  };
  auto body = [&]() -> task<> {
    auto f = pool.with({.timeout = 2s}).submit(slow_to_stop());
    co_await tutti::sleep_for(4s);
    EXPECT_FALSE(f.done()) << "it is not over before its end";
    EXPECT_EQ(alive, 1);
    const std::string end = co_await tutti_test::end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "timed_out");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 5s);
  };
  sync_wait(body());
}

TEST_F(submit_task_in_time, a_timeout_that_is_not_needed_holds_nobody_up) {
  thread_pool pool(1);
  auto body = [&]() -> task<> {
    auto f = pool.with({.timeout = 1h}).submit(tutti_test::give_after(1s, 3));
    const int n = co_await std::move(f);
    EXPECT_EQ(n, 3);
    auto deadline = [&]() -> task<bool> {
      co_await yield_now();
      co_return tutti::this_task::deadline() == tutti::now() + 10s;
    };
    auto g = pool.with({.timeout = 10s}).submit(deadline());
    const bool right = co_await std::move(g);
    EXPECT_TRUE(right);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST(submit_task, a_stop_before_the_start) {
  const watchdog dog;
  held_pool b;
  std::stop_source source;
  const std::stop_token token = source.get_token();
  std::atomic<int> alive{0};
  bool ran = false;
  auto body = [&](living) -> task<> {
    ran = true;
    co_return;
  };
  auto f = b.pool.with({.stop = token}).submit(body(living(alive)));
  auto g = b.pool.submit(body(living(alive)));
  EXPECT_EQ(alive, 2);
  source.request_stop();
  EXPECT_TRUE(g.cancel());
  EXPECT_TRUE(f.done() && g.done());
  EXPECT_EQ(end_of_future(std::move(f)), "cancelled");
  EXPECT_EQ(end_of_future(std::move(g)), "cancelled");
  b.run_all();
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST(submit_task, callables_are_tried_again) {
  const watchdog dog;
  std::atomic<int> tries{0};
  thread_pool pool(1);
  auto g = [&]() -> task<int> {
    co_await yield_now();
    if (++tries < 3) throw tutti::retryable("again");
    co_return tries;
  };
  EXPECT_EQ(pool.with({.retries = 5}).submit(g).get(), 3);
  tries = 0;
  EXPECT_THROW(pool.with({.retries = 1}).submit(g).get(), tutti::retryable);
  EXPECT_EQ(tries, 2);
  tries = 0;
  auto once = [&]() -> task<> {
    co_await yield_now();
    ++tries;
    throw std::runtime_error("not worth it");
  };
  EXPECT_THROW(pool.with({.retries = 5}).submit(once).get(), std::runtime_error);
  EXPECT_EQ(tries, 1);
}

// ---- dropped futures

TEST(submit_task, an_error_nobody_sees_goes_to_on_unhandled) {
  const watchdog dog;
  const unhandled_counter counter;
  {
    thread_pool pool(1);
    static_cast<void>(pool.with({.name = "left alone"}).submit(tutti_test::fail("unseen")));
    static_cast<void>(pool.submit(give(1)));
  }
  EXPECT_EQ(counter.of(tutti::unhandled_origin::dropped_future), 1);
  EXPECT_EQ(counter.all(), 1);
  EXPECT_EQ(unhandled_counter::last_task, "left alone");
}

TEST(submit_task, cancelled_is_never_unhandled) {
  const watchdog dog;
  const unhandled_counter counter;
  {
    thread_pool pool(1);
    static_cast<void>(pool.submit([]() -> task<> {
      throw tutti::cancelled("as asked");
      co_return;
    }));
    auto f = pool.submit(tutti_test::sleep_for_ever());
    f.cancel();
  }
  EXPECT_EQ(counter.all(), 0);
}

TEST(submit_task, a_dropped_future_lets_it_run_on) {
  const watchdog dog;
  std::atomic<bool> ran{false};
  {
    thread_pool pool(1);
    auto body = [&]() -> task<> {
      for (int i = 0; i < 100; ++i) co_await yield_now();
      ran = true;
    };
    static_cast<void>(pool.submit(body()));
    pool.shutdown();  // body must outlive it
  }
  EXPECT_TRUE(ran);
}

// ---- spawn

TEST(spawn, starts_on_the_executor_of_the_caller) {
  const watchdog dog;
  auto where = []() -> task<std::thread::id> {
    co_await yield_now();
    co_return std::this_thread::get_id();
  };
  auto body = [&]() -> task<std::thread::id> {
    auto f = spawn(where());
    co_return co_await std::move(f);
  };
  EXPECT_EQ(sync_wait(body()), std::this_thread::get_id());
  thread_pool pool(1);
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  EXPECT_EQ(pool.submit(body()).get(), worker);
  // From an ordinary task of the pool.
  future<std::thread::id> from_a_call;
  pool.submit([&] { from_a_call = spawn(where()); }).get();
  EXPECT_EQ(from_a_call.get(), worker);
}

TEST(spawn, outside_on_the_default_pool) {
  const watchdog dog;
  auto f = spawn(give_later(3), {.name = "outside"});
  EXPECT_EQ(f.get(), 3);
  auto where = []() -> task<std::thread::id> { co_return std::this_thread::get_id(); };
  EXPECT_NE(spawn(where()).get(), std::this_thread::get_id());
}

#ifndef TUTTI_TEST_TSAN
[[noreturn]] void spawn_without_threads() {
  tutti_test::become_somebody();
  const tutti_test::no_threads refused;
  try {
    static_cast<void>(spawn(give_later(3)));
  } catch (const tutti::pool_exhausted&) {
    _exit(0);
  }
  _exit(5);
}

TEST(spawn_death, throws_when_there_can_be_no_default_pool) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(spawn_without_threads(), testing::ExitedWithCode(0), "");
}
#endif

TEST(spawn, does_not_run_the_child_inside_itself) {
  const watchdog dog;
  auto body = []() -> task<> {
    bool ran = false;
    auto child = [&]() -> task<> {
      ran = true;
      co_return;
    };
    auto f = spawn(child());
    EXPECT_FALSE(ran);
    co_await std::move(f);
    EXPECT_TRUE(ran);
  };
  sync_wait(body());
}

TEST(spawn, is_a_task_of_its_own) {
  const watchdog dog;
  auto name = []() -> task<std::string> { co_return std::string(tutti::this_task::name()); };
  auto body = [&]() -> task<> {
    auto named = spawn(name(), {.name = "child"});
    const std::string got = co_await std::move(named);
    EXPECT_EQ(got, "child");
    EXPECT_EQ(tutti::this_task::name(), "parent");
    // Stopping the child does not stop the parent.
    auto endless = spawn(tutti_test::sleep_for_ever());
    co_await yield_now();
    endless.cancel();
    const std::string end = co_await tutti_test::end_of([&] { return std::move(endless); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_FALSE(tutti::this_task::stop_requested());
  };
  thread_pool pool(1);
  pool.with({.name = "parent"}).submit(body()).get();
}

TEST(spawn, in_order) {
  const watchdog dog;
  std::string order;
  auto note = [&](char c) -> task<> {
    order += c;
    co_await yield_now();
    order += static_cast<char>(c - 'a' + 'A');
  };
  auto body = [&]() -> task<> {
    auto a = spawn(note('a')), b = spawn(note('b')), c = spawn(note('c'));
    co_await std::move(a);
    co_await std::move(b);
    co_await std::move(c);
  };
  sync_wait(body());
  EXPECT_EQ(order, "abcABC");
}

}  // namespace
