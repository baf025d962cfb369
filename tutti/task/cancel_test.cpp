// A stop reaches every kind of await, wherever the task is, and as often as it waits again; shield is the exception.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <iterator>
#include <latch>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
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
using tutti::task_group;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::end_of_future;
using tutti_test::give;
using tutti_test::give_after;
using tutti_test::live_for_ever;
using tutti_test::live_until_stopped_and;
using tutti_test::living;
using tutti_test::sleep_for_ever;
using tutti_test::unhandled_counter;
using tutti_test::until_stopped;

// What the awaits below wait for.
struct world {
  std::atomic<int> alive{0};
  std::deque<tutti::promise<int>> promises;
  thread_pool pool{1};

  future<int> never() { return promises.emplace_back().get_future(); }
};

// ---- every kind of await, for ever

task<> sleeping(world& w) {
  const living me(w.alive);
  co_await sleep_for(1000h);
}
task<> sleeping_until(world& w) {
  const living me(w.alive);
  co_await tutti::sleep_until(std::chrono::steady_clock::time_point::max());
}
task<> yielding(world& w) {
  const living me(w.alive);
  for (;;) co_await yield_now();
}
task<> sleeping_shortly_for_ever(world& w) {
  const living me(w.alive);
  for (;;) co_await sleep_for(0s);
}
task<> awaiting_a_future(world& w) {
  const living me(w.alive);
  auto f = w.never();
  static_cast<void>(co_await std::move(f));
}
task<> awaiting_a_shared_future(world& w) {
  const living me(w.alive);
  const auto f = w.never().share();
  static_cast<void>(co_await f);
}
task<> awaiting_a_call(world& w) {
  const living me(w.alive);
  auto f = w.pool.submit([&] {
    const living call(w.alive);
    until_stopped();
    throw tutti::cancelled("as asked");
  });
  co_await std::move(f);
}
task<> awaiting_a_call_behind_another(world& w) {
  const living me(w.alive);
  auto busy = w.pool.submit(until_stopped);
  auto f = w.pool.submit([] { ADD_FAILURE() << "it was cancelled before it began"; });
  const std::string end = co_await end_of([&] { return std::move(f); });
  busy.cancel();
  co_await std::move(busy);
  if (end == "cancelled") throw tutti::cancelled(end);
}
task<> awaiting_futures_together(world& w) {
  const living me(w.alive);
  auto both = tutti::when_all(w.never(), w.never());
  static_cast<void>(co_await std::move(both));
}
task<> awaiting_a_child(world& w) {
  const living me(w.alive);
  co_await live_for_ever(w.alive);
}
task<> level(world& w, int n) {
  const living me(w.alive);
  if (n == 1) {
    co_await sleep_for(1000h);
  } else {
    co_await level(w, n - 1);
  }
}
task<> ten_levels(world& w) { co_await level(w, 10); }
task<> awaiting_a_spawned_one(world& w) {
  const living me(w.alive);
  auto f = spawn(live_for_ever(w.alive));
  co_await std::move(f);
}
task<> awaiting_one_on_the_pool(world& w) {
  const living me(w.alive);
  auto f = w.pool.submit(live_for_ever(w.alive));
  co_await std::move(f);
}
task<> in_when_all(world& w) {
  const living me(w.alive);
  co_await tutti::when_all(live_for_ever(w.alive), live_for_ever(w.alive), tutti_test::nothing());
}
task<> in_when_all_of_a_range(world& w) {
  const living me(w.alive);
  std::vector<task<>> all;
  for (int i = 0; i < 5; ++i) all.push_back(live_for_ever(w.alive));
  co_await tutti::when_all(std::move(all));
}
task<> in_when_all_settled(world& w) {
  const living me(w.alive);
  static_cast<void>(co_await tutti::when_all_settled(live_for_ever(w.alive), live_for_ever(w.alive)));
}
task<> in_when_all_settled_of_a_range(world& w) {
  const living me(w.alive);
  std::vector<task<>> all;
  for (int i = 0; i < 5; ++i) all.push_back(live_for_ever(w.alive));
  static_cast<void>(co_await tutti::when_all_settled(std::move(all)));
}
task<> in_when_any(world& w) {
  const living me(w.alive);
  static_cast<void>(co_await tutti::when_any(live_for_ever(w.alive), live_for_ever(w.alive)));
}
task<> in_when_any_of_a_range(world& w) {
  const living me(w.alive);
  std::vector<task<>> all;
  for (int i = 0; i < 5; ++i) all.push_back(live_for_ever(w.alive));
  static_cast<void>(co_await tutti::when_any(std::move(all)));
}
task<> in_the_body_of_a_group(world& w) {
  const living me(w.alive);
  co_await task_group::run([&](task_group& g) -> task<> {
    g.spawn(live_for_ever(w.alive));
    g.spawn([&] { return live_for_ever(w.alive); });
    co_await live_for_ever(w.alive);
  });
}
task<> at_the_end_of_a_group(world& w) {
  const living me(w.alive);
  co_await task_group::run([&](task_group& g) -> task<> {
    g.spawn(live_for_ever(w.alive));
    g.spawn(live_for_ever(w.alive));
    co_return;
  });
}
task<> in_groups_in_a_group(world& w) {
  const living me(w.alive);
  co_await task_group::run([&](task_group& g) -> task<> {
    g.spawn(at_the_end_of_a_group(w));
    g.spawn(in_the_body_of_a_group(w));
    co_return;
  });
}
task<> with_a_timeout(world& w) {
  const living me(w.alive);
  co_await tutti::with_timeout(live_for_ever(w.alive), 1000h);
}
task<> with_a_timeout_around_a_future(world& w) {
  const living me(w.alive);
  static_cast<void>(co_await tutti::with_timeout(w.never(), 900h));
}
task<> in_a_try(world& w) {
  const living me(w.alive);
  co_await tutti::retry([&] { return live_for_ever(w.alive); }, {.attempts = 5});
}
task<> between_two_tries(world& w) {
  const living me(w.alive);
  const auto fails = []() -> task<> {
    throw tutti::retryable("again");
    co_return;
  };
  co_await tutti::retry(fails, {.attempts = 5, .first_delay = 1h, .max_delay = 100h});
}
task<> in_for_each(world& w) {
  const living me(w.alive);
  co_await tutti::for_each_async(std::views::iota(0), 3, [&](int) { return live_for_ever(w.alive); });
}
tutti::async_generator<int> slow_numbers(world& w) {
  const living me(w.alive);
  co_yield 1;
  co_await sleep_for(1000h);
  co_yield 2;
}
task<> at_a_generator(world& w) {
  const living me(w.alive);
  auto numbers = slow_numbers(w);
  while (const auto n = co_await numbers.next()) {
  }
}
task<> elsewhere(world& w) {
  const living me(w.alive);
  co_await tutti::resume_on(w.pool);
  co_await sleep_for(1000h);
}
task<> in_a_bit_of_everything(world& w) {
  const living me(w.alive);
  co_await task_group::run([&](task_group& g) -> task<> {
    g.spawn(in_when_any(w));
    co_await tutti::when_all(with_a_timeout(w), in_for_each(w), in_a_try(w));
  });
}

struct kind {
  const char* name;
  task<> (*wait)(world&);
  int living;        // while it waits; 0: changes
  bool idle = true;  // nothing runs meanwhile
};
void PrintTo(const kind& k, std::ostream* out) { *out << k.name; }

constexpr kind kinds[] = {
    {"sleep", sleeping, 1},
    {"sleep_until", sleeping_until, 1},
    {"yield", yielding, 1, false},
    {"zero_sleeps", sleeping_shortly_for_ever, 1, false},
    {"future", awaiting_a_future, 1},
    {"shared_future", awaiting_a_shared_future, 1},
    {"call", awaiting_a_call, 0, false},
    {"queued_call", awaiting_a_call_behind_another, 1, false},
    {"future_of_futures", awaiting_futures_together, 1},
    {"child", awaiting_a_child, 2},
    {"ten_levels", ten_levels, 10},
    {"spawned", awaiting_a_spawned_one, 2},
    {"on_a_pool", awaiting_one_on_the_pool, 0},
    {"when_all", in_when_all, 3},
    {"when_all_range", in_when_all_of_a_range, 6},
    {"when_all_settled", in_when_all_settled, 3},
    {"when_all_settled_range", in_when_all_settled_of_a_range, 6},
    {"when_any", in_when_any, 3},
    {"when_any_range", in_when_any_of_a_range, 6},
    {"group_body", in_the_body_of_a_group, 4},
    {"group_end", at_the_end_of_a_group, 3},
    {"groups", in_groups_in_a_group, 8},
    {"with_timeout", with_a_timeout, 2},
    {"with_timeout_of_future", with_a_timeout_around_a_future, 1},
    {"retry", in_a_try, 2},
    {"retry_delay", between_two_tries, 1},
    {"for_each_async", in_for_each, 4},
    {"async_generator", at_a_generator, 2},
    {"resume_on", elsewhere, 0},
    {"everything", in_a_bit_of_everything, 12},
};

class cancel_kind : public tutti_test::virtual_time, public testing::WithParamInterface<kind> {
 protected:
  world w;
};

// Those during which nothing runs, so that virtual time moves.
class cancel_idle_kind : public cancel_kind {};

task<> some_turns() {
  for (int i = 0; i < 100; ++i) co_await yield_now();
}

TEST_P(cancel_kind, ends_with_all_it_started) {
  auto body = [&]() -> task<> {
    auto f = spawn(GetParam().wait(w), {.name = GetParam().name});
    co_await some_turns();
    if (GetParam().living != 0) {
      EXPECT_EQ(w.alive, GetParam().living);
    }
    EXPECT_FALSE(f.done());
    EXPECT_FALSE(f.cancel()) << "it has begun: it is only asked";
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(w.alive, 0) << "whatever it started is over before it is";
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

TEST_P(cancel_kind, on_a_pool) {
  std::atomic<bool> begun{false};
  auto outer = [&]() -> task<> {
    begun = true;
    co_await GetParam().wait(w);
  };
  thread_pool pool(2);
  auto body = [&]() -> task<> {
    auto f = pool.submit(outer());
    while (!begun) co_await yield_now();
    co_await some_turns();
    EXPECT_FALSE(f.cancel());
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(w.alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

// The stop came before the await began.
TEST_P(cancel_kind, does_not_wait_in_a_stopped_task) {
  auto stopped = [&]() -> task<> {
    const std::string first = co_await end_of(sleep_for_ever);
    EXPECT_EQ(first, "cancelled");
    EXPECT_TRUE(tutti::this_task::stop_requested());
    co_await GetParam().wait(w);
  };
  auto body = [&]() -> task<> {
    auto f = spawn(stopped());
    co_await some_turns();
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(w.alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

// Who catches it and waits again is told again.
TEST_P(cancel_kind, is_told_each_time) {
  auto stubborn = [&]() -> task<int> {
    int told = 0;
    for (int i = 0; i < 3; ++i) {
      const std::string end = co_await end_of([&] { return GetParam().wait(w); });
      if (end == "cancelled") ++told;
      EXPECT_EQ(w.alive, 0);
    }
    co_return told;
  };
  auto body = [&]() -> task<> {
    auto f = spawn(stubborn());
    co_await some_turns();
    f.cancel();
    const int told = co_await std::move(f);
    EXPECT_EQ(told, 3);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

// ---- ways to be stopped other than future::cancel

TEST_P(cancel_idle_kind, by_a_timeout) {
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return tutti::with_timeout(GetParam().wait(w), 1s); });
    EXPECT_EQ(end, "timed_out");
    EXPECT_EQ(w.alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_P(cancel_kind, by_its_stop_token) {
  thread_pool pool(1);
  std::stop_source source;
  const std::stop_token token = source.get_token();
  auto body = [&]() -> task<> {
    std::atomic<bool> begun{false};
    auto outer = [&]() -> task<> {
      begun = true;
      co_await GetParam().wait(w);
    };
    auto f = pool.with({.stop = token}).submit(outer());
    while (!begun) co_await yield_now();
    co_await some_turns();
    source.request_stop();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(w.alive, 0);
  };
  sync_wait(body());
}

TEST_P(cancel_kind, by_the_end_of_its_pool) {
  std::atomic<bool> begun{false};
  auto outer = [&]() -> task<> {
    begun = true;
    co_await GetParam().wait(w);
  };
  thread_pool pool(1);
  auto f = pool.submit(outer());
  tutti_test::until([&] { return begun.load(); });
  for (int i = 0; i < 20; ++i) tutti_test::run_dry(pool);
  pool.shutdown(tutti::cancel);
  EXPECT_TRUE(f.done());
  EXPECT_EQ(end_of_future(std::move(f)), "cancelled");
  EXPECT_EQ(w.alive, 0);
}

TEST_P(cancel_kind, behind_a_sibling_that_fails) {
  const unhandled_counter counter;
  auto fails = [&]() -> task<> {
    co_await some_turns();
    throw std::runtime_error("the sibling");
  };
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return tutti::when_all(GetParam().wait(w), fails()); });
    EXPECT_EQ(end, "the sibling");
    EXPECT_EQ(w.alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(counter.all(), 0);
}

const auto name_of_kind = [](const auto& info) { return std::string(info.param.name); };
std::vector<kind> idle_kinds() {
  std::vector<kind> idle;
  std::ranges::copy_if(kinds, std::back_inserter(idle), &kind::idle);
  return idle;
}
INSTANTIATE_TEST_SUITE_P(await, cancel_kind, testing::ValuesIn(kinds), name_of_kind);
INSTANTIATE_TEST_SUITE_P(await, cancel_idle_kind, testing::ValuesIn(idle_kinds()), name_of_kind);

// ---- what a stopped task may do

using cancel_task = tutti_test::virtual_time;

TEST_F(cancel_task, results_that_are_there_are_given) {
  auto stopped = []() -> task<int> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    const int from_task = co_await give(1);
    auto ready = tutti::make_ready_future(2);
    const int from_future = co_await std::move(ready);
    const auto shared = tutti::make_ready_future(3).share();
    const int from_shared = co_await shared;
    auto numbers = []() -> tutti::async_generator<int> { co_yield 4; }();
    const std::optional<int> from_generator = co_await numbers.next();
    co_return from_task + from_future + from_shared + from_generator.value_or(0);
  };
  auto body = [&]() -> task<> {
    auto f = spawn(stopped());
    co_await some_turns();
    f.cancel();
    const int sum = co_await std::move(f);
    EXPECT_EQ(sum, 10) << "how it ends is its own affair";
  };
  sync_wait(body());
}

TEST_F(cancel_task, a_call_that_ends_well_all_the_same) {
  thread_pool pool(1);
  std::atomic<bool> begun{false};
  auto waiting = [&]() -> task<int> {
    auto f = pool.submit([&] {
      begun = true;
      until_stopped();
      return 7;
    });
    co_return co_await std::move(f);
  };
  auto body = [&]() -> task<> {
    auto f = spawn(waiting());
    while (!begun) co_await yield_now();
    f.cancel();
    const int n = co_await std::move(f);
    EXPECT_EQ(n, 7) << "the call was asked, and had a result";
  };
  sync_wait(body());
}

TEST_F(cancel_task, a_shared_future_is_left_alone) {
  tutti::promise<int> p;
  const auto shared = p.get_future().share();
  auto reader = [&]() -> task<int> { co_return co_await shared; };
  auto body = [&]() -> task<> {
    auto one = spawn(reader()), other = spawn(reader());
    co_await some_turns();
    one.cancel();
    const std::string end = co_await end_of([&] { return std::move(one); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_FALSE(p.stop_requested()) << "others read it, too";
    EXPECT_FALSE(shared.done());
    p.set_value(5);
    const int n = co_await std::move(other);
    EXPECT_EQ(n, 5);
  };
  sync_wait(body());
}

TEST_F(cancel_task, an_owned_future_is_cancelled_with_it) {
  tutti::promise<int> p;
  auto source = p.get_future();
  auto reader = [&]() -> task<int> { co_return co_await std::move(source); };
  auto body = [&]() -> task<> {
    auto f = spawn(reader());
    co_await some_turns();
    EXPECT_FALSE(p.stop_requested());
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_TRUE(p.stop_requested());
  };
  sync_wait(body());
  p.set_value(1);  // dropped
}

TEST_F(cancel_task, children_take_their_time_and_are_waited_for) {
  std::atomic<int> alive{0};
  auto parent = [&]() -> task<> {
    co_await tutti::when_all(live_until_stopped_and(alive, 2s), live_until_stopped_and(alive, 3s));
  };
  auto body = [&]() -> task<> {
    auto f = spawn(parent());
    co_await sleep_for(1s);
    EXPECT_EQ(alive, 2);
    f.cancel();
    co_await sleep_for(2500ms);
    EXPECT_EQ(alive, 1);
    EXPECT_FALSE(f.done());
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_TRUE(end == "cancelled" || end == "value") << end;
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 4s);
  };
  sync_wait(body());
}

TEST_F(cancel_task, the_parent_is_seen_from_below) {
  // One stop for the whole task: what it awaits is the same task.
  bool inside = false;
  auto inner = [&]() -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    inside = tutti::this_task::stop_requested();
  };
  auto outer = [&]() -> task<bool> {
    co_await inner();
    co_return tutti::this_task::stop_requested() && tutti::this_task::stop_token().stop_requested();
  };
  auto body = [&]() -> task<> {
    auto f = spawn(outer());
    co_await some_turns();
    f.cancel();
    const bool outside = co_await std::move(f);
    EXPECT_TRUE(inside && outside);
    EXPECT_FALSE(tutti::this_task::stop_requested()) << "not who asked";
  };
  sync_wait(body());
}

TEST_F(cancel_task, children_started_apart_hear_of_it_only_through_an_await) {
  // A spawned task is one of its own.
  std::atomic<int> alive{0};
  future<void> apart;
  auto parent = [&]() -> task<> {
    apart = spawn(live_for_ever(alive));
    co_await sleep_for(1h);
  };
  auto body = [&]() -> task<> {
    auto f = spawn(parent());
    co_await some_turns();
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    co_await sleep_for(1s);
    EXPECT_EQ(alive, 1);
    apart.cancel();
    const std::string later = co_await end_of([&] { return std::move(apart); });
    EXPECT_EQ(later, "cancelled");
  };
  sync_wait(body());
}

TEST_F(cancel_task, a_stop_callback_is_called) {
  std::atomic<int> called{0};
  auto listening = [&]() -> task<> {
    const std::stop_callback callback(tutti::this_task::stop_token(), [&] { ++called; });
    co_await sleep_for_ever();
  };
  auto body = [&]() -> task<> {
    auto f = spawn(listening());
    co_await some_turns();
    f.cancel();
    EXPECT_EQ(called, 1);
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
  };
  sync_wait(body());
}

TEST_F(cancel_task, twice_and_after_the_end) {
  auto body = []() -> task<> {
    auto f = spawn(sleep_for_ever());
    co_await some_turns();
    f.cancel();
    EXPECT_FALSE(f.cancel());
    co_await some_turns();
    EXPECT_TRUE(f.done());
    EXPECT_FALSE(f.cancel());
    auto g = spawn(give(1));
    co_await some_turns();
    EXPECT_FALSE(g.cancel());
    const int n = co_await std::move(g);
    EXPECT_EQ(n, 1);
  };
  sync_wait(body());
}

TEST_F(cancel_task, itself) {
  future<void> self;
  bool went_on = false;
  auto suicidal = [&]() -> task<> {
    co_await yield_now();
    EXPECT_FALSE(self.cancel());
    went_on = true;
    EXPECT_TRUE(tutti::this_task::stop_requested());
    co_await sleep_for(1h);
    ADD_FAILURE();
  };
  auto body = [&]() -> task<> {
    self = spawn(suicidal());
    co_await some_turns();
    EXPECT_TRUE(went_on);
    const std::string end = co_await end_of([&] { return std::move(self); });
    EXPECT_EQ(end, "cancelled");
  };
  sync_wait(body());
}

TEST_F(cancel_task, the_error_names_the_task) {
  auto body = []() -> task<> {
    auto f = spawn(sleep_for_ever(), {.name = "the reader"});
    co_await some_turns();
    f.cancel();
    std::string text;
    try {
      co_await std::move(f);
    } catch (const tutti::cancelled& e) {
      text = e.what();
    }
    EXPECT_NE(text.find("the reader"), std::string::npos) << text;
  };
  sync_wait(body());
}

TEST_F(cancel_task, an_error_thrown_on_the_way_out_is_the_one_that_counts) {
  auto failing = []() -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    throw std::runtime_error("while cleaning up");
  };
  auto body = [&]() -> task<> {
    auto f = spawn(failing());
    co_await some_turns();
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "while cleaning up");
  };
  sync_wait(body());
}

TEST_F(cancel_task, of_one_that_is_very_deep) {
  struct deep {
    static task<> down(int n) {
      if (n == 0) {
        co_await sleep_for_ever();
      } else {
        co_await down(n - 1);
      }
    }
  };
  auto body = []() -> task<> {
    auto f = spawn(deep::down(100'000));
    co_await some_turns();
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
  };
  sync_wait(body());
}

// ---- shield

TEST_F(cancel_task, a_shield_keeps_the_stop_out) {
  bool stop_seen_inside = true;
  auto inside = [&]() -> task<int> {
    co_await sleep_for(5s);
    stop_seen_inside = tutti::this_task::stop_requested();
    co_return 3;
  };
  std::string after;
  auto shielded = [&]() -> task<int> {
    const int n = co_await tutti::shield(inside());
    EXPECT_TRUE(tutti::this_task::stop_requested()) << "outside it, the stop is there";
    after = co_await end_of(sleep_for_ever);
    co_return n;
  };
  auto body = [&]() -> task<> {
    auto f = spawn(shielded());
    co_await sleep_for(1s);
    f.cancel();
    const int n = co_await std::move(f);
    EXPECT_EQ(n, 3);
    EXPECT_EQ(passed(), 5s);
  };
  sync_wait(body());
  EXPECT_FALSE(stop_seen_inside);
  EXPECT_EQ(after, "cancelled");
}

TEST_F(cancel_task, a_shield_in_a_stopped_task_for_cleaning_up) {
  auto worker = [&]() -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    co_await tutti::shield(tutti_test::sleeper(2s));
    const int n = co_await tutti::shield(give_after(1s, 4));
    EXPECT_EQ(n, 4);
    const std::string end = co_await end_of([] { return tutti::shield(tutti_test::fail_after(1s, "inside")); });
    EXPECT_EQ(end, "inside");
    throw tutti::cancelled("done");
  };
  auto body = [&]() -> task<> {
    auto f = spawn(worker());
    co_await some_turns();
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(passed(), 4s);
  };
  sync_wait(body());
}

TEST_F(cancel_task, a_shield_of_groups_and_timeouts) {
  auto inside = []() -> task<int> {
    int done = 0;
    co_await task_group::run([&](task_group& g) -> task<> {
      auto part = [&]() -> task<> {
        co_await sleep_for(1s);
        ++done;
      };
      for (int i = 0; i < 3; ++i) g.spawn(part());
      co_await sleep_for(2s);
    });
    const std::string end = co_await end_of([] { return tutti::with_timeout(sleep_for_ever(), 1s); });
    if (end == "timed_out") ++done;
    co_return done;
  };
  auto shielded = [&]() -> task<int> { co_return co_await tutti::shield(inside()); };
  auto body = [&]() -> task<> {
    auto f = spawn(shielded());
    co_await some_turns();
    f.cancel();
    const int done = co_await std::move(f);
    EXPECT_EQ(done, 4);
    EXPECT_EQ(passed(), 3s);
  };
  sync_wait(body());
}

// ---- in destructors

struct canceller {
  future<void>& target;
  std::atomic<int>& calls;
  ~canceller() {
    ++calls;
    target.cancel();
  }
};

TEST_F(cancel_task, in_a_destructor) {
  std::atomic<int> alive{0}, calls{0};
  auto body = [&]() -> task<> {
    auto other = spawn(live_for_ever(alive));
    auto ends = [&]() -> task<> {
      const canceller at_the_end{other, calls};
      co_await yield_now();
    };
    co_await some_turns();
    EXPECT_EQ(alive, 1);
    co_await ends();
    EXPECT_EQ(calls, 1);
    const std::string end = co_await end_of([&] { return std::move(other); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
}

TEST_F(cancel_task, in_a_destructor_of_one_that_is_being_cancelled) {
  // Each cancels the next while its own cancellation unwinds it; the last cancels the first, and itself.
  std::atomic<int> calls{0};
  std::array<future<void>, 10> ring;
  auto member = [&](std::size_t i) -> task<> {
    const canceller self{ring[i], calls};
    const canceller next{ring[(i + 1) % ring.size()], calls};
    co_await sleep_for_ever();
  };
  auto body = [&]() -> task<> {
    for (std::size_t i = 0; i < ring.size(); ++i) ring[i] = spawn(member(i));
    co_await some_turns();
    EXPECT_EQ(calls, 0);
    ring[3].cancel();
    co_await some_turns();
    for (auto& f : ring) {
      EXPECT_TRUE(f.done());
      const std::string end = end_of_future(std::move(f));
      EXPECT_EQ(end, "cancelled");
    }
    EXPECT_EQ(calls, 20);
  };
  sync_wait(body());
}

TEST_F(cancel_task, in_a_destructor_of_a_parameter_and_of_a_callable) {
  std::atomic<int> alive{0}, calls{0};
  auto body = [&]() -> task<> {
    auto first = spawn(live_for_ever(alive)), second = spawn(live_for_ever(alive));
    co_await some_turns();
    {
      auto held = std::make_unique<canceller>(first, calls);
      auto with_parameter = [](std::unique_ptr<canceller>) -> task<> { co_return; };
      task<> never_awaited = with_parameter(std::move(held));
    }
    const std::string one = co_await end_of([&] { return std::move(first); });
    EXPECT_EQ(one, "cancelled");
    thread_pool pool(1);
    auto held = std::make_shared<canceller>(second, calls);
    auto f = pool.submit([held = std::move(held)]() -> task<> { co_await yield_now(); });
    co_await std::move(f);
    const std::string other = co_await end_of([&] { return std::move(second); });
    EXPECT_EQ(other, "cancelled");
    EXPECT_EQ(calls, 2);
  };
  sync_wait(body());
}

TEST_F(cancel_task, in_a_destructor_while_an_error_unwinds) {
  std::atomic<int> alive{0}, calls{0};
  auto body = [&]() -> task<> {
    auto other = spawn(live_for_ever(alive));
    auto fails = [&]() -> task<> {
      const canceller at_the_end{other, calls};
      co_await yield_now();
      throw std::runtime_error("unwinding");
    };
    co_await some_turns();
    const std::string end = co_await end_of([&] { return fails(); });
    EXPECT_EQ(end, "unwinding");
    const std::string of_other = co_await end_of([&] { return std::move(other); });
    EXPECT_EQ(of_other, "cancelled");
  };
  sync_wait(body());
}

// ---- cancelled is never unhandled

TEST_F(cancel_task, is_never_unhandled) {
  const unhandled_counter counter;
  auto body = []() -> task<> {
    for (int i = 0; i < 10; ++i) {
      auto f = spawn(sleep_for_ever());
      co_await some_turns();
      f.cancel();
      f = {};
    }
    auto any = tutti::when_any(give_after(1s, 1), give_after(2s, 2));
    static_cast<void>(co_await std::move(any));
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(sleep_for_ever());
      g.stop();
      co_return;
    });
    co_await some_turns();
  };
  sync_wait(body());
  EXPECT_EQ(counter.all(), 0);
}

// ---- from other threads, at any moment

TEST(cancel_race, with_the_completion) {
  const tutti_test::watchdog dog;
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 2000 : 20'000;
  int values = 0, stops = 0;
  std::atomic<int> alive{0};
  auto body = [&](int turns) -> task<int> {
    const living me(alive);
    for (int i = 0; i < turns; ++i) co_await yield_now();
    co_return 1;
  };
  for (int round = 0; round < rounds; ++round) {
    auto f = pool.submit(body(round % 4));
    if (round % 3 == 0) std::this_thread::yield();
    f.cancel();
    const std::string end = end_of_future(std::move(f));
    end == "value" ? ++values : ++stops;
    ASSERT_TRUE(end == "value" || end == "cancelled") << end;
  }
  EXPECT_EQ(values + stops, rounds);
  pool.shutdown();
  EXPECT_EQ(alive, 0);
}

TEST(cancel_race, with_a_future_that_becomes_ready) {
  const tutti_test::watchdog dog;
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 1000 : 10'000;
  for (int round = 0; round < rounds; ++round) {
    tutti::promise<int> p;
    auto source = p.get_future();
    auto body = [&]() -> task<int> { co_return co_await std::move(source); };
    auto f = pool.submit(body());
    std::latch both(2);
    std::jthread setter([&] {
      both.arrive_and_wait();
      p.set_value(1);
    });
    both.arrive_and_wait();
    f.cancel();
    const std::string end = end_of_future(std::move(f));
    ASSERT_TRUE(end == "value" || end == "cancelled") << end;
  }
}

TEST(cancel_race, with_timers) {
  const tutti_test::watchdog dog;
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 1000 : 10'000;
  std::vector<future<void>> all;
  for (int round = 0; round < rounds; ++round) {
    all.push_back(pool.submit(tutti_test::sleeper(std::chrono::microseconds(round % 50))));
    if (all.size() == 20) {
      for (auto& f : all) {
        if (round % 2 == 0) std::this_thread::yield();
        f.cancel();
      }
      for (auto& f : all) {
        const std::string end = end_of_future(std::move(f));
        ASSERT_TRUE(end == "value" || end == "cancelled") << end;
      }
      all.clear();
    }
  }
}

TEST(cancel_race, from_several_threads_at_once) {
  const tutti_test::watchdog dog;
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 200 : 2000;
  std::atomic<int> alive{0};
  for (int round = 0; round < rounds; ++round) {
    const auto f = pool.submit(live_for_ever(alive)).share();
    {
      std::latch all(3);
      std::vector<std::jthread> threads;
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
          all.arrive_and_wait();
          f.cancel();
        });
      }
    }
    EXPECT_THROW((void)f.get(), tutti::cancelled);
  }
  pool.shutdown();
  EXPECT_EQ(alive, 0);
}

}  // namespace
