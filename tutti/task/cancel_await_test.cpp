// A stop reaches every kind of await, wherever the task is, however it is asked, and as often as it waits again.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <iterator>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
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
using tutti_test::live_for_ever;
using tutti_test::living;
using tutti_test::sleep_for_ever;
using tutti_test::some_turns;
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

}  // namespace
