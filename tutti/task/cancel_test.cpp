// What a stopped task may do and what it must wait for; shields, destructors, and stops at any moment.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <optional>
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
using tutti_test::some_turns;
using tutti_test::unhandled_counter;
using tutti_test::until_stopped;
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
  std::atomic<bool> begun{false};
  thread_pool pool(1);
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

TEST_F(cancel_task, a_stop_callback_may_wait_for_the_pool_of_the_task_that_is_stopped) {
  thread_pool one(1), other(1);
  std::promise<std::stop_token> inside;
  auto body = [&]() -> task<> {
    auto work = other.submit([&] {
      inside.set_value(tutti::this_task::stop_token());
      tutti_test::until_stopped();
    });
    co_await std::move(work);
  };
  auto f = one.submit(body());
  // Called within cancel(), once what it stops has ended and the coroutine goes on on its pool's only thread.
  const std::stop_callback waits(inside.get_future().get(), [&] {
    tutti_test::run_dry(other);
    one.submit([] {}).get();
  });
  tutti_test::run_dry(one);  // it waits
  f.cancel();
  EXPECT_EQ(end_of_future(std::move(f)), "value");
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
  std::atomic<int> alive{0};
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 2000 : 20'000;
  int values = 0, stops = 0;
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
  std::atomic<int> alive{0};
  thread_pool pool(2);
  constexpr int rounds = tutti_test::sanitized ? 200 : 2000;
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
