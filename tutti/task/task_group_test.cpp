// task_group: no child outlives it, no error is lost, whatever ends it.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <tutti/base/log.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::task_group;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::fail_after;
using tutti_test::give;
using tutti_test::give_after;
using tutti_test::give_later;
using tutti_test::live_for_ever;
using tutti_test::live_until_stopped_and;
using tutti_test::living;
using tutti_test::sleep_for_ever;
using tutti_test::sleeper;
using tutti_test::unhandled_counter;

using group = tutti_test::virtual_time;

task<> live_for(std::atomic<int>& alive, nanoseconds d) {
  const living me(alive);
  co_await sleep_for(d);
}

// ---- ends

TEST_F(group, waits_for_its_children) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(live_for(alive, 2s));
      g.spawn([&] { return live_for(alive, 3s); });
      g.spawn(live_for(alive, 1s), {.name = "short"});
      co_await yield_now();
      EXPECT_EQ(alive, 3);
    });
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 3s);
  };
  sync_wait(body());
}

TEST_F(group, gives_what_the_body_gives) {
  auto body = []() -> task<> {
    const int n = co_await task_group::run([](task_group& g) -> task<int> {
      g.spawn(sleeper(1s));
      co_return 7;
    });
    EXPECT_EQ(n, 7);
    const auto owned =
        co_await task_group::run([](task_group&) -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(8); });
    EXPECT_EQ(*owned, 8);
    co_await task_group::run([](task_group&) -> task<> { co_return; });
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(group, is_lazy) {
  bool ran = false;
  {
    auto whole = task_group::run([&](task_group&) -> task<> {
      ran = true;
      co_return;
    });
    EXPECT_FALSE(ran);
  }
  EXPECT_FALSE(ran);
}

TEST_F(group, the_body_s_closure_lives_as_long_as_the_group) {
  auto held = std::make_shared<std::string>(100, 'x');
  const std::weak_ptr<std::string> watched = held;
  auto make = [&] {
    return task_group::run([held = std::move(held)](task_group& g) -> task<std::size_t> {
      g.spawn(sleeper(1s));
      co_await sleep_for(2s);
      co_return held->size();
    });
  };
  auto whole = make();
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(sync_wait(std::move(whole)), 100U);
  EXPECT_TRUE(watched.expired());
}

TEST_F(group, a_child_s_closure_lives_as_long_as_the_child) {
  auto body = []() -> task<std::string> {
    std::string seen;
    co_await task_group::run([&](task_group& g) -> task<> {
      std::string text(100, 'y');
      auto child = [text, &seen]() -> task<> {
        co_await sleep_for(1s);
        seen = text;
      };
      g.spawn(child);
      auto owned = std::make_unique<int>(1);
      g.spawn([p = std::move(owned), &seen]() -> task<> {
        co_await sleep_for(2s);
        seen += std::to_string(*p);
      });
      co_return;
    });
    co_return seen;
  };
  std::string expected(100, 'y');
  expected += '1';
  EXPECT_EQ(sync_wait(body()), expected);
}

// ---- children

TEST_F(group, children_run_when_the_body_waits_and_in_order) {
  std::string order;
  auto child = [&](char c) -> task<> {
    order += c;
    co_return;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(child('a'));
      g.spawn(child('b'));
      EXPECT_EQ(order, "") << "not inside spawn";
      co_await yield_now();
      EXPECT_EQ(order, "ab");
      g.spawn(child('c'));
    });
    EXPECT_EQ(order, "abc");
  };
  sync_wait(body());
}

TEST_F(group, results_of_children) {
  auto body = []() -> task<int> {
    co_return co_await task_group::run([](task_group& g) -> task<int> {
      tutti::future<int> slow = g.spawn(give_after(2s, 1));
      tutti::future<int> fast = g.spawn(give(2));
      tutti::future<int> called = g.spawn([] { return give_later(4); });
      int sum = co_await std::move(fast);
      sum += co_await std::move(slow);
      sum += co_await std::move(called);
      co_return sum;
    });
  };
  EXPECT_EQ(sync_wait(body()), 7);
  EXPECT_EQ(passed(), 2s);
}

TEST_F(group, names) {
  auto name = []() -> task<std::string> {
    co_await yield_now();
    co_return std::string(tutti::this_task::name());
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await task_group::run([&](task_group& g) -> task<std::string> {
      auto f = g.spawn(name(), {.name = "the child"});
      co_return co_await std::move(f);
    });
  };
  EXPECT_EQ(sync_wait(body()), "the child");
}

TEST_F(group, children_of_children) {
  struct tree {
    static task<> grow(task_group g, int depth, std::atomic<int>& leaves) {
      co_await yield_now();
      if (depth == 0) {
        ++leaves;
        co_return;
      }
      g.spawn(grow(g, depth - 1, leaves));
      g.spawn(grow(g, depth - 1, leaves));
    }
  };
  std::atomic<int> leaves{0};
  const auto grow = [&](task_group& g) -> task<> {
    g.spawn(tree::grow(g, 12, leaves));
    co_return;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run(grow);
    EXPECT_EQ(leaves, 4096);
  };
  sync_wait(body());
  leaves = 0;
  tutti::thread_pool pool(2);
  pool.submit(body()).get();
}

TEST_F(group, a_child_that_is_the_last_may_spawn_another) {
  struct relay {
    static task<> run(task_group g, int left, int& ran) {
      ++ran;
      if (left > 0) g.spawn(run(g, left - 1, ran));
      co_return;
    }
  };
  int ran = 0;
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(relay::run(g, 9'999, ran));
      co_return;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 10'000);
}

TEST_F(group, a_hundred_thousand_children) {
  std::atomic<int> ran{0};
  auto child = [&](int i) -> task<> {
    if (i % 2 == 0) co_await yield_now();
    ++ran;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      for (int i = 0; i < 100'000; ++i) g.spawn(child(i));
      co_return;
    });
    EXPECT_EQ(ran, 100'000);
  };
  sync_wait(body());
  ran = 0;
  tutti::thread_pool pool(2);
  pool.submit(body()).get();
}

TEST_F(group, a_hundred_thousand_sleepers_stopped_by_one_error) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        for (int i = 0; i < 100'000; ++i) g.spawn(live_for_ever(alive));
        g.spawn(fail_after(1s, "enough"));
        co_return;
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "enough");
  EXPECT_EQ(alive, 0);
}

TEST_F(group, one_after_the_other_for_a_long_time) {
  int ran = 0;
  auto child = [&]() -> task<> {
    ++ran;
    co_return;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      for (int i = 0; i < 100'000; ++i) {
        g.spawn(child());
        if (i % 10 == 0) co_await yield_now();
      }
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 100'000);
}

TEST_F(group, spawned_into_by_other_threads) {
  std::atomic<int> ran{0};
  tutti::thread_pool pool(2);
  auto child = [&]() -> task<> {
    co_await yield_now();
    ++ran;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      std::vector<tutti::future<void>> spawners;
      for (int t = 0; t < 4; ++t) {
        spawners.push_back(pool.submit([&] {
          for (int i = 0; i < 1000; ++i) g.spawn(child());
        }));
      }
      for (auto& f : spawners) co_await std::move(f);
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 4000);
}

// ---- errors

TEST_F(group, the_first_error_of_a_child_stops_the_rest) {
  std::atomic<int> alive{0};
  std::string body_saw;
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(live_for_ever(alive));
        g.spawn(live_until_stopped_and(alive, 2s));
        g.spawn(fail_after(1s, "a child's"));
        body_saw = co_await end_of([&] { return live_for_ever(alive); });
      });
    });
    EXPECT_EQ(end, "a child's");
    EXPECT_EQ(body_saw, "cancelled");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 3s) << "thrown when all have ended";
    EXPECT_FALSE(tutti::this_task::stop_requested()) << "only the group was stopped";
    co_await sleep_for(1s);
  };
  sync_wait(body());
}

TEST_F(group, an_error_after_the_body_has_ended) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<int> {
        g.spawn(live_for_ever(alive));
        g.spawn(fail_after(1s, "late"));
        co_return 1;
      });
    });
    EXPECT_EQ(end, "late");
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(group, an_error_of_the_body_stops_the_children) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(live_for_ever(alive));
        g.spawn(live_until_stopped_and(alive, 2s));
        co_await sleep_for(1s);
        throw std::runtime_error("the body's");
      });
    });
    EXPECT_EQ(end, "the body's");
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 3s);
  };
  sync_wait(body());
}

TEST_F(group, an_error_of_the_body_before_its_first_await) {
  std::atomic<int> alive{0};
  bool ran = false;
  auto child = [&](living) -> task<> {
    ran = true;
    co_await sleep_for_ever();
  };
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(child(living(alive)));
        throw std::runtime_error("at once");
        co_return;
      });
    });
    EXPECT_EQ(end, "at once");
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

TEST_F(group, the_other_errors_go_to_on_unhandled) {
  const unhandled_counter counter;
  auto stubborn = [](nanoseconds cleanup, std::string text) -> task<> {
    static_cast<void>(co_await end_of(sleep_for_ever));
    co_await tutti::shield(sleeper(cleanup));
    throw std::runtime_error(text);
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(stubborn(2s, "third"), {.name = "the third"});
        g.spawn(stubborn(1s, "second"), {.name = "the second"});
        g.spawn(fail_after(1s, "first"));
        co_return;
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "first");
  EXPECT_EQ(counter.of(tutti::unhandled_origin::sibling), 2);
  EXPECT_EQ(counter.all(), 2);
  EXPECT_EQ(unhandled_counter::last_task, "the third");
}

task<> fails_too() {
  static_cast<void>(co_await end_of(sleep_for_ever));
  throw std::runtime_error("second");
}

TEST_F(group, the_log_calls_the_other_tasks_as_dump_does) {
  const tutti::log_capture log;
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(fails_too());
        g.spawn(fail_after(1s, "first"));
        co_return;
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "first");
  EXPECT_TRUE(log.contains("exception of one of several tasks, too late to be thrown"));
  EXPECT_TRUE(log.contains("fails_too")) << "by its name";
  EXPECT_FALSE(log.contains("fails_too()")) << "not by its signature";
}

TEST_F(group, a_child_that_was_cancelled_is_no_error) {
  auto gives_up = []() -> task<> {
    co_await yield_now();
    throw tutti::cancelled("gives up");
  };
  auto body = [&]() -> task<int> {
    co_return co_await task_group::run([&](task_group& g) -> task<int> {
      g.spawn(gives_up());
      co_await sleep_for(1s);
      co_return 3;
    });
  };
  EXPECT_EQ(sync_wait(body()), 3);
}

TEST_F(group, an_error_where_the_callable_is_called) {
  std::atomic<int> alive{0};
  bool refuse = true;
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        g.spawn(live_for_ever(alive));
        g.spawn([&]() -> task<> {  // no coroutine itself
          if (refuse) throw std::runtime_error("no task");
          return sleep_for_ever();
        });
        co_await sleep_for_ever();
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "no task");
  EXPECT_EQ(alive, 0);
}

TEST_F(group, an_error_where_the_body_is_called_stops_what_it_has_spawned) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return task_group::run([&](task_group& g) {  // no coroutine itself
        g.spawn(live_for_ever(alive));
        if (alive == 0) throw std::runtime_error("no body");
        return sleep_for_ever();
      });
    });
  };
  EXPECT_EQ(sync_wait(body()), "no body");
  EXPECT_EQ(alive, 0);
}

TEST_F(group, errors_in_groups_in_groups) {
  std::atomic<int> alive{0};
  struct nested {
    static task<> run(std::atomic<int>& alive, int depth) {
      co_await task_group::run([&](task_group& g) -> task<> {
        g.spawn(live_for_ever(alive));
        if (depth == 0) {
          g.spawn(fail_after(1s, "the innermost"));
        } else {
          g.spawn(run(alive, depth - 1));
        }
        co_await live_for_ever(alive);
      });
    }
  };
  auto body = [&]() -> task<std::string> { co_return co_await end_of([&] { return nested::run(alive, 10); }); };
  EXPECT_EQ(sync_wait(body()), "the innermost");
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(passed(), 1s);
}

// ---- stop

TEST_F(group, can_be_stopped) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    const int n = co_await task_group::run([&](task_group& g) -> task<int> {
      g.spawn(live_for_ever(alive));
      g.spawn(live_until_stopped_and(alive, 2s));
      co_await sleep_for(1s);
      EXPECT_EQ(alive, 2);
      g.stop();
      co_return 5;
    });
    EXPECT_EQ(n, 5) << "children that were stopped are no error";
    EXPECT_EQ(alive, 0);
    EXPECT_EQ(passed(), 3s);
  };
  sync_wait(body());
}

TEST_F(group, by_a_child) {
  std::atomic<int> alive{0};
  auto stopper = [](task_group g) -> task<> {
    co_await sleep_for(1s);
    g.stop();
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(live_for_ever(alive));
      g.spawn(stopper(g));
      co_return;
    });
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 1s);
}

TEST_F(group, spawning_into_a_stopped_one_leaves_nothing_behind) {
  std::atomic<int> alive{0};
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.stop();
      try {
        g.spawn(live_for_ever(alive));
      } catch (const tutti::closed&) {
      }
      co_return;
    });
    EXPECT_EQ(alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(passed(), 0s);
}

// ---- after the end

TEST_F(group, is_closed_after_its_end) {
  std::optional<task_group> kept;
  std::atomic<int> alive{0};
  bool ran = false;
  auto child = [&](living) -> task<> {
    ran = true;
    co_return;
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      kept = g;
      co_return;
    });
    const std::string end = co_await end_of([&]() -> task<> {
      kept->spawn(child(living(alive)));
      return tutti_test::nothing();
    });
    EXPECT_EQ(end, "closed");
    EXPECT_EQ(alive, 0);
    EXPECT_THROW(kept->spawn([&] { return child(living(alive)); }), tutti::closed);
    EXPECT_THROW((void)kept->spawn(give(1)), tutti::closed);
    kept->stop();  // nobody is left to hear it
  };
  sync_wait(body());
  EXPECT_THROW(kept->spawn(child(living(alive))), tutti::closed);
  EXPECT_FALSE(ran);
  EXPECT_EQ(alive, 0);
}

TEST_F(group, is_closed_after_an_error_too) {
  std::optional<task_group> kept;
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] {
      return task_group::run([&](task_group& g) -> task<> {
        kept = g;
        throw std::runtime_error("over");
        co_return;
      });
    });
    EXPECT_EQ(end, "over");
    EXPECT_THROW(kept->spawn(sleep_for_ever()), tutti::closed);
  };
  sync_wait(body());
}

// The body has ended, children have not: it is still open.
TEST_F(group, is_open_as_long_as_a_child_lives) {
  std::atomic<int> ran{0};
  auto late = [&]() -> task<> {
    co_await sleep_for(1s);
    ++ran;
  };
  auto child = [&](task_group g) -> task<> {
    co_await sleep_for(1s);
    g.spawn(late());
  };
  auto body = [&]() -> task<> {
    co_await task_group::run([&](task_group& g) -> task<> {
      g.spawn(child(g));
      co_return;
    });
  };
  sync_wait(body());
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(passed(), 2s);
}

TEST_F(group, on_a_pool_that_is_shut_down) {
  std::atomic<int> alive{0};
  for (const auto mode : {tutti::finish, tutti::cancel}) {
    std::atomic<bool> begun{false};
    tutti::thread_pool pool(2);
    auto whole = [&]() -> task<> {
      co_await task_group::run([&](task_group& g) -> task<> {
        for (int i = 0; i < 10; ++i) g.spawn(live_for(alive, 1s));
        begun = true;
        co_await sleep_for(2s);
      });
    };
    auto f = pool.submit(whole());
    while (!begun) std::this_thread::yield();
    std::jthread closer([&] { pool.shutdown(mode); });
    sync_wait(sleeper(5s));  // moves the time
    closer.join();
    EXPECT_TRUE(f.done());
    EXPECT_EQ(tutti_test::end_of_future(std::move(f)), mode == tutti::finish ? "value" : "cancelled");
    EXPECT_EQ(alive, 0);
  }
}

}  // namespace
