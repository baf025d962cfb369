// task: lazy, owned by one, awaited once; results, errors and lifetimes; any number in a row and any depth.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <concepts>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::give;
using tutti_test::give_later;
using tutti_test::living;
using tutti_test::nothing;
using tutti_test::watchdog;

constexpr int million = 1'000'000;

static_assert(std::same_as<task<>, task<void>>);
static_assert(!std::copyable<task<int>> && !std::is_copy_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>> && std::is_nothrow_move_assignable_v<task<int>>);
static_assert(std::is_nothrow_default_constructible_v<task<int>>);
static_assert(std::same_as<decltype(sync_wait(std::declval<task<int>>())), int>);
static_assert(std::same_as<decltype(sync_wait(std::declval<task<>>())), void>);
static_assert(sizeof(task<std::array<char, 1000>>) <= 2 * sizeof(void*), "a task is a handle");

// ---- results

TEST(task_results, values_and_void) {
  const watchdog dog;
  bool ran = false;
  auto set = [&]() -> task<> {
    ran = true;
    co_return;
  };
  auto all = [&]() -> task<int> {
    co_await set();
    const int a = co_await give(20);
    const int b = co_await give_later(22);
    co_return a + b;
  };
  EXPECT_EQ(sync_wait(all()), 42);
  EXPECT_TRUE(ran);
}

TEST(task_results, of_any_type) {
  const watchdog dog;
  struct no_default {
    explicit no_default(int n) : value(n) {}
    int value;
  };
  auto move_only = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(1); };
  auto passed_on = [&]() -> task<std::unique_ptr<int>> { co_return co_await move_only(); };
  EXPECT_EQ(*sync_wait(passed_on()), 1);
  auto without_default = []() -> task<no_default> { co_return no_default(2); };
  EXPECT_EQ(sync_wait(without_default()).value, 2);
  auto converted = []() -> task<std::string> { co_return "converted"; };
  EXPECT_EQ(sync_wait(converted()), "converted");
  auto braced = []() -> task<std::pair<int, std::string>> { co_return {3, "three"}; };
  EXPECT_EQ(sync_wait(braced()), std::pair(3, std::string("three")));
  auto moved = []() -> task<std::unique_ptr<int>> {
    auto local = std::make_unique<int>(4);
    co_return local;
  };
  EXPECT_EQ(*sync_wait(moved()), 4);
  auto pointer = [](int* p) -> task<int*> { co_return p; };
  int n = 0;
  EXPECT_EQ(sync_wait(pointer(&n)), &n);
  auto wrapped = [](int& r) -> task<std::reference_wrapper<int>> { co_return std::ref(r); };
  sync_wait(wrapped(n)).get() = 5;
  EXPECT_EQ(n, 5);
}

task<int> inner_task() { co_return 7; }
task<task<int>> task_of_a_task() { co_return inner_task(); }

TEST(task_results, a_task_may_be_one) {
  const watchdog dog;
  auto body = []() -> task<int> {
    task<int> inner = co_await task_of_a_task();
    co_return co_await std::move(inner);
  };
  EXPECT_EQ(sync_wait(body()), 7);
}

TEST(task_results, are_destroyed_once) {
  const watchdog dog;
  std::atomic<int> alive{0};
  auto make = [&]() -> task<living> { co_return living(alive); };
  auto body = [&]() -> task<> {
    {
      const living one = co_await make();
      EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
    static_cast<void>(co_await make());
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(alive, 0);
}

// ---- starting

TEST(task_start, nothing_runs_before_the_await) {
  const watchdog dog;
  int step = 0;
  auto child = [&]() -> task<int> { co_return ++step; };
  auto body = [&]() -> task<> {
    task<int> t = child();
    EXPECT_EQ(step, 0);
    EXPECT_TRUE(t.valid());
    co_await yield_now();
    EXPECT_EQ(step, 0);
    const int got = co_await std::move(t);
    EXPECT_EQ(got, 1);
    EXPECT_FALSE(t.valid());
  };
  auto whole = body();
  EXPECT_EQ(step, 0);
  sync_wait(std::move(whole));
  EXPECT_EQ(step, 1);
}

TEST(task_start, one_that_is_never_awaited_frees_its_parameters_and_runs_nothing) {
  std::atomic<int> alive{0};
  bool ran = false;
  auto child = [&](living, std::shared_ptr<int>) -> task<> {
    ran = true;
    co_return;
  };
  const auto held = std::make_shared<int>(1);
  {
    auto t = child(living(alive), held);
    EXPECT_EQ(alive, 1);
    EXPECT_EQ(held.use_count(), 2);
    auto other = std::move(t);
    EXPECT_FALSE(t.valid());
    EXPECT_EQ(alive, 1);
    other = child(living(alive), held);  // drops the first
    EXPECT_EQ(alive, 1);
    EXPECT_EQ(held.use_count(), 2);
    other = {};
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(other.valid());
    other = child(living(alive), held);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(ran);
}

TEST(task_start, awaiting_nothing_is_a_logic_error) {
  const watchdog dog;
  auto body = []() -> task<> {
    task<int> empty;
    EXPECT_FALSE(empty.valid());
    const std::string of_empty = co_await end_of([&] { return std::move(empty); });
    EXPECT_EQ(of_empty, "logic_error");
    task<int> once = give(1);
    const int got = co_await std::move(once);
    EXPECT_EQ(got, 1);
    const std::string again = co_await end_of([&] { return std::move(once); });
    EXPECT_EQ(again, "logic_error");
    task<int> from = give(2);
    task<int> to = std::move(from);
    const std::string of_moved_from = co_await end_of([&] { return std::move(from); });
    EXPECT_EQ(of_moved_from, "logic_error");
    const int moved = co_await std::move(to);
    EXPECT_EQ(moved, 2);
    std::string here;
    try {
      co_await std::move(from);  // without a helper around it
    } catch (const std::logic_error& e) {
      here = e.what();
    }
    EXPECT_NE(here, "") << "an error says what is wrong";
  };
  sync_wait(body());
}

TEST(task_start, every_way_to_start_nothing_is_a_logic_error) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  EXPECT_THROW(sync_wait(task<int>()), std::logic_error);
  EXPECT_THROW(pool.submit(task<int>()).get(), std::logic_error);
  auto body = [&]() -> task<> {
    const std::string spawned = co_await end_of([&] { return tutti::spawn(task<>()); });
    EXPECT_EQ(spawned, "logic_error");
    const std::string timed = co_await end_of([&] { return tutti::with_timeout(task<>(), 1s); });
    EXPECT_EQ(timed, "logic_error");
    const std::string shielded = co_await end_of([&] { return tutti::shield(task<>()); });
    EXPECT_EQ(shielded, "logic_error");
    const std::string all = co_await end_of([&] { return tutti::when_all(nothing(), task<>()); });
    EXPECT_EQ(all, "logic_error");
    const std::string any = co_await end_of([&] { return tutti::when_any(nothing(), task<>()); });
    EXPECT_EQ(any, "logic_error");
    const std::string grouped = co_await end_of(
        [&] { return tutti::task_group::run([&](tutti::task_group& g) -> task<> { co_return g.spawn(task<>()); }); });
    EXPECT_EQ(grouped, "logic_error");
  };
  sync_wait(body());
}

// ---- parameters and locals

TEST(task_lifetime, parameters_and_locals_last_until_the_end_and_no_longer) {
  const watchdog dog;
  std::atomic<int> parameters{0}, locals{0};
  auto child = [&](living, std::string text) -> task<std::string> {
    const living local(locals);
    co_await yield_now();
    EXPECT_GE(parameters, 1);
    EXPECT_EQ(locals, 1);
    co_return text + "!";
  };
  auto body = [&]() -> task<> {
    std::string long_text(100, 'x');
    std::string got = co_await child(living(parameters), long_text);  // temporaries, copied into the coroutine
    EXPECT_EQ(got, long_text + "!");
    EXPECT_EQ(locals, 0);
    EXPECT_EQ(parameters, 0);
    task<std::string> t = child(living(parameters), long_text);
    EXPECT_EQ(parameters, 1);
    got = co_await std::move(t);
    EXPECT_EQ(parameters, 0) << "not kept by the empty task";
  };
  sync_wait(body());
  EXPECT_EQ(parameters, 0);
}

TEST(task_lifetime, the_same_after_an_error) {
  const watchdog dog;
  std::atomic<int> alive{0};
  auto child = [&](living, bool late) -> task<> {
    const living local(alive);
    if (late) co_await yield_now();
    throw std::runtime_error("thrown");
  };
  auto body = [&](bool late) -> task<> {
    const living mine(alive);
    std::string end;
    try {
      co_await child(living(alive), late);
    } catch (const std::runtime_error& e) {
      end = e.what();
      EXPECT_EQ(alive, 1) << "what it held is gone before the error is seen";
    }
    EXPECT_EQ(end, "thrown");
  };
  for (const bool late : {false, true}) {
    sync_wait(body(late));
    EXPECT_EQ(alive, 0);
  }
}

TEST(task_lifetime, in_containers) {
  const watchdog dog;
  auto body = []() -> task<int> {
    std::vector<task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(i % 2 == 0 ? give(i) : give_later(i));
    std::swap(tasks.front(), tasks.back());
    int sum = 0;
    for (auto& t : tasks) sum += co_await std::move(t);
    for (auto& t : tasks) EXPECT_FALSE(t.valid());
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), 4950);
}

// ---- errors

TEST(task_errors, pass_every_level_as_themselves) {
  const watchdog dog;
  struct own {
    int code;
  };
  struct levels {
    static task<int> down(int n, bool late) {
      if (n == 0) {
        if (late) co_await yield_now();
        throw own(17);
      }
      co_return co_await down(n - 1, late);
    }
  };
  for (const bool late : {false, true}) {
    int code = 0;
    try {
      sync_wait(levels::down(10, late));
    } catch (const own& e) {
      code = e.code;
    }
    EXPECT_EQ(code, 17);
  }
}

TEST(task_errors, are_caught_and_the_coroutine_goes_on) {
  const watchdog dog;
  auto body = []() -> task<int> {
    int caught = 0;
    for (int i = 0; i < 10; ++i) {
      try {
        co_await tutti_test::fail("once more");
        ADD_FAILURE();
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    co_return caught + co_await give_later(32);
  };
  EXPECT_EQ(sync_wait(body()), 42);
}

TEST(task_errors, from_moving_the_result_out) {
  const watchdog dog;
  struct shy {
    shy() = default;
    shy(shy&& other) : armed(other.armed) {
      if (armed) throw std::domain_error("does not move");
    }
    bool armed = false;
  };
  auto make = []() -> task<shy> {
    shy result;
    result.armed = true;
    co_return result;
  };
  auto body = [&]() -> task<std::string> { co_return co_await end_of([&] { return make(); }); };
  EXPECT_EQ(sync_wait(body()), "logic_error");  // domain_error is one
}

// ---- many, and deep

TEST(task_depth, a_million_awaits_of_what_ends_at_once) {
  const watchdog dog;
  auto body = []() -> task<std::int64_t> {
    std::int64_t sum = 0;
    for (int i = 0; i < million; ++i) sum += co_await give(i);
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), std::int64_t{million} * (million - 1) / 2);
}

TEST(task_depth, a_million_awaits_of_what_suspends) {
  const watchdog dog;
  auto body = []() -> task<std::int64_t> {
    std::int64_t sum = 0;
    for (int i = 0; i < million; ++i) sum += co_await give_later(i);
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), std::int64_t{million} * (million - 1) / 2);
}

TEST(task_depth, a_million_awaits_on_a_pool) {
  const watchdog dog;
  tutti::thread_pool pool(2);
  auto body = []() -> task<std::int64_t> {
    std::int64_t sum = 0;
    for (int i = 0; i < million; ++i) {
      if (i % 8 == 0) {
        sum += co_await give_later(1);
      } else {
        sum += co_await give(1);
      }
    }
    co_return sum;
  };
  EXPECT_EQ(pool.submit(body()).get(), million);
}

task<int> descend(int n, bool late) {
  if (n == 0) {
    if (late) co_await yield_now();
    co_return 0;
  }
  co_return 1 + co_await descend(n - 1, late);
}

TEST(task_depth, a_million_levels) {
  const watchdog dog;
  EXPECT_EQ(sync_wait(descend(million, false)), million);
}

TEST(task_depth, a_million_levels_that_return_from_the_queue) {
  const watchdog dog;
  EXPECT_EQ(sync_wait(descend(million, true)), million);
}

TEST(task_depth, a_million_levels_on_a_pool) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  EXPECT_EQ(pool.submit(descend(million, true)).get(), million);
}

task<> sink(int n, bool late) {
  if (n == 0) {
    if (late) co_await yield_now();
    throw std::out_of_range("the bottom");
  }
  co_await sink(n - 1, late);
}

TEST(task_depth, an_error_from_a_hundred_thousand_levels_down) {
  const watchdog dog;
  EXPECT_THROW(sync_wait(sink(100'000, false)), std::out_of_range);
  EXPECT_THROW(sync_wait(sink(100'000, true)), std::out_of_range);
}

// Each level has suspended by itself before the next begins.
task<int> descend_slowly(int n) {
  co_await yield_now();
  if (n == 0) co_return 0;
  const int below = co_await descend_slowly(n - 1);
  co_await yield_now();
  co_return below + 1;
}

TEST(task_depth, levels_that_suspend_on_the_way_down_and_up) {
  const watchdog dog;
  EXPECT_EQ(sync_wait(descend_slowly(100'000)), 100'000);
}

// A row of tasks, each of which awaits its parameter.
task<int> outer_of(task<int> inner) { co_return 1 + co_await std::move(inner); }

TEST(task_depth, tasks_in_tasks_in_tasks) {
  const watchdog dog;
  for (const bool late : {false, true}) {
    task<int> t = late ? give_later(0) : give(0);
    for (int i = 0; i < 100'000; ++i) t = outer_of(std::move(t));
    EXPECT_EQ(sync_wait(std::move(t)), 100'000);
  }
}

// Two branches per level: the tree of awaits is walked, not only a line.
task<int> fibonacci(int n) {
  if (n < 2) co_return n;
  const int a = co_await fibonacci(n - 1);
  const int b = co_await fibonacci(n - 2);
  co_return a + b;
}

TEST(task_depth, a_tree) {
  const watchdog dog;
  EXPECT_EQ(sync_wait(fibonacci(22)), 17711);
}

// ---- where

TEST(task_place, a_child_runs_on_the_thread_of_its_parent) {
  const watchdog dog;
  std::vector<std::thread::id> seen;
  auto child = [&]() -> task<> {
    seen.push_back(std::this_thread::get_id());
    co_await yield_now();
    seen.push_back(std::this_thread::get_id());
  };
  auto body = [&]() -> task<> {
    co_await child();
    seen.push_back(std::this_thread::get_id());
  };
  sync_wait(body());
  EXPECT_EQ(seen, std::vector(3, std::this_thread::get_id()));
}

TEST(task_place, a_child_that_need_not_wait_is_no_turn_for_others) {
  const watchdog dog;
  std::string order;
  auto note = [&](char c) -> task<> {
    order += c;
    co_return;
  };
  auto other = [&]() -> task<> {
    order += 'x';
    co_return;
  };
  auto body = [&]() -> task<> {
    auto f = tutti::spawn(other());
    co_await note('a');
    co_await note('b');
    EXPECT_EQ(order, "ab");
    co_await std::move(f);
  };
  sync_wait(body());
  EXPECT_EQ(order, "abx");
}

TEST(task_place, one_made_here_may_run_elsewhere) {
  const watchdog dog;
  std::thread::id ran_on;
  auto child = [&]() -> task<> {
    ran_on = std::this_thread::get_id();
    co_return;
  };
  task<> t = child();
  std::jthread([&] { sync_wait(std::move(t)); }).join();
  EXPECT_NE(ran_on, std::this_thread::get_id());
  EXPECT_NE(ran_on, std::thread::id());
}

// It has begun on one worker, and waits. What this worker is given now does not descend from it, and may need what the
// waiter holds.
TEST(task_place, who_waits_for_one_that_waits_runs_no_strangers) {
  const watchdog dog;
  std::latch both(2);
  std::atomic<bool> queued{false}, ran{false}, on_top{false};
  tutti::thread_pool pool(2);
  tutti::promise<void> end;
  tutti::worker* began_on = nullptr;
  auto body = [&]() -> task<> {
    auto f = end.get_future();
    began_on = tutti::this_worker;
    co_await std::move(f);
  };
  auto awaited = pool.submit(body());
  tutti_test::run_dry(pool);
  static constinit thread_local bool holds = false;
  const auto wait_or_give = [&] {
    both.arrive_and_wait();
    if (tutti::this_worker == began_on) {
      pool.post([&] {
        on_top = holds;
        ran = true;
      });
      queued = true;
      tutti_test::until([&] { return ran.load(); });
    } else {
      tutti_test::until([&] { return queued.load(); });
      holds = true;
      awaited.get();
      holds = false;
    }
  };
  auto one = pool.submit(wait_or_give);
  auto other = pool.submit(wait_or_give);
  tutti_test::until([&] { return ran.load(); });
  EXPECT_FALSE(on_top);
  end.set_value();
  one.get();
  other.get();
}

}  // namespace
