// The watch: programs that would hang are told why, by name and place; those that would not are left alone.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/wait_graph.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/watch.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::task;
using tutti_test::until;
using tutti_test::watchdog;

class watching : public ::testing::Test {
 protected:
  watchdog dog;
  std::mutex reports_mutex;
  std::vector<std::string> reports;
  tutti::watch watch{{.lock_order = true}, [this](std::string_view text) {
                       const std::lock_guard lock(reports_mutex);
                       reports.emplace_back(text);
                     }};

  std::size_t reported() {
    const std::lock_guard lock(reports_mutex);
    return reports.size();
  }
};

// What two functions of one thread each, or of one task each, throw: exactly one of them `deadlock`.
template <class F>
std::string text_of_deadlock(F f) {
  try {
    f();
  } catch (const tutti::deadlock& d) {
    return d.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(watching, two_threads_two_locks) {
  tutti::mutex left("left"), right("right");
  std::barrier both(2);
  std::string texts[2];
  {
    const auto eat = [&](tutti::mutex& first, tutti::mutex& second, const char* name, std::string& text) {
      ::pthread_setname_np(::pthread_self(), name);
      first.lock();
      both.arrive_and_wait();
      text = text_of_deadlock([&] {
        second.lock();
        second.unlock();
      });
      first.unlock();
    };
    std::jthread ann([&] { eat(left, right, "ann", texts[0]); });
    std::jthread bob([&] { eat(right, left, "bob", texts[1]); });
  }
  EXPECT_NE(texts[0].empty(), texts[1].empty()) << "one is refused, and lets the other go on";
  const std::string text = texts[0] + texts[1];
  for (const char* part :
       {"deadlock: 2 wait for one another", "thread \"ann\"", "thread \"bob\"", "mutex \"left\"", "mutex \"right\"",
        "waits in mutex::lock", "holds mutex", "watch_test.cpp:", "was refused"}) {
    EXPECT_TRUE(has(text, part)) << part << " is not in:\n" << text;
  }
}

TEST_F(watching, three_coroutines_three_locks) {
  std::atomic<int> ready{0};
  tutti::thread_pool pool(2);
  tutti::mutex locks[3] = {tutti::mutex("a"), tutti::mutex("b"), tutti::mutex("c")};
  const auto eat = [&](int i) -> task<std::string> {
    auto first = co_await locks[i].lock_async();
    ++ready;
    while (ready < 3) co_await tutti::yield_now();
    std::string text;
    try {
      auto second = co_await locks[(i + 1) % 3].lock_async();
    } catch (const tutti::deadlock& d) {
      text = d.what();
    }
    co_return text;
  };
  std::vector<tutti::future<std::string>> meals;
  for (int i = 0; i < 3; ++i) meals.push_back(pool.with({.name = "philosopher"}).submit(eat(i)));
  int refused = 0;
  for (auto& meal : meals) {
    const std::string text = meal.get();
    if (text.empty()) continue;
    ++refused;
    EXPECT_TRUE(has(text, "deadlock: 3 wait")) << text;
    EXPECT_TRUE(has(text, "task \"philosopher\" #") && has(text, " waits in mutex::lock_async")) << text;
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(watching, a_lock_held_while_waiting_for_who_wants_it) {
  tutti::thread_pool pool(2);
  tutti::mutex account("account");
  const std::string text = text_of_deadlock([&] {
    const std::lock_guard held(account);
    auto transfer = pool.with({.name = "transfer"}).submit([&] { const std::lock_guard inside(account); });
    transfer.get();
  });
  // Whoever of the two waits last is refused: its error comes out of get() either way.
  EXPECT_TRUE(has(text, "task \"transfer\"") && has(text, "mutex \"account\"")) << text;
}

TEST_F(watching, what_a_worker_runs_on_top_of_its_own_wait) {
  tutti::thread_pool pool(1);
  tutti::mutex account("account");
  auto outer = pool.with({.name = "outer"}).submit([&] {
    const std::lock_guard held(account);
    auto inner = pool.with({.name = "inner"}).submit([&] { const std::lock_guard inside(account); });
    inner.get();
  });
  const std::string text = text_of_deadlock([&] { outer.get(); });
  EXPECT_TRUE(has(text, "task \"outer\"") && has(text, "task \"inner\"")) << text;
}

TEST_F(watching, tasks_that_wait_for_one_another) {
  tutti::thread_pool pool(2);
  tutti::promise<void> start;
  const auto started = start.get_future().share();
  tutti::shared_future<int> first, second;
  first = pool.submit([&, started] {
                started.get();
                return second.get() + 1;
              })
              .share();
  second = pool.submit([&, started] {
                 started.get();
                 return first.get() + 1;
               })
               .share();
  start.set_value();
  EXPECT_TRUE(has(text_of_deadlock([&] { first.get(); }), "wait for one another"));
  EXPECT_TRUE(has(text_of_deadlock([&] { second.get(); }), "wait for one another"));
}

TEST_F(watching, a_parent_that_holds_what_its_children_want) {
  tutti::thread_pool pool(2);
  tutti::mutex m("shared by the family");
  const auto child = [&]() -> task<> { auto held = co_await m.lock_async(); };
  const auto parent = [&]() -> task<> {
    auto held = co_await m.lock_async();
    co_await tutti::when_all(child(), child());
  };
  EXPECT_TRUE(has(text_of_deadlock([&] { pool.submit(parent()).get(); }), "shared by the family"));
}

TEST_F(watching, a_thread_that_drives_a_loop_on_top_of_its_lock) {
  tutti::mutex m("of main");
  const auto wants = [&]() -> task<> { auto held = co_await m.lock_async(); };
  m.lock();
  EXPECT_TRUE(has(text_of_deadlock([&] { tutti::sync_wait(wants()); }), "of main"));
  m.unlock();
  tutti::sync_wait(wants());
}

TEST_F(watching, a_limit_is_a_way_out) {
  tutti::mutex left, right;
  std::barrier both(2);
  std::atomic<int> timed_out{0};
  {
    const auto eat = [&](tutti::mutex& first, tutti::mutex& second) {
      const std::lock_guard held(first);
      both.arrive_and_wait();
      if (!second.lock_for(1ms)) {
        ++timed_out;
      } else {
        second.unlock();
      }
    };
    std::jthread ann([&] { eat(left, right); });
    std::jthread bob([&] { eat(right, left); });
  }
  EXPECT_GE(timed_out, 1);
}

TEST_F(watching, a_guard_that_went_elsewhere) {
  tutti::thread_pool pool(2);
  tutti::mutex m;
  const auto taker = [&]() -> task<tutti::mutex::async_guard> { co_return co_await m.lock_async(); };
  // The task that took it is over; its guard is here.
  auto guard = pool.submit(taker()).get();
  auto next = pool.submit(taker());
  until([] {
    for (const std::string& one : tutti::describe_coroutines()) {
      if (has(one, "lock_async")) return true;
    }
    return false;
  });
  guard.unlock();
  next.get().unlock();
}

TEST_F(watching, lock_orders_that_did_not_bite) {
  tutti::mutex a("a"), b("b");
  const auto take = [](tutti::mutex& outer, tutti::mutex& inner) {
    const std::lock_guard first(outer);
    inner.lock();
    inner.unlock();
  };
  std::thread([&] { take(a, b); }).join();
  EXPECT_EQ(reported(), 0U);
  std::thread([&] { take(b, a); }).join();
  ASSERT_EQ(reported(), 1U);
  EXPECT_TRUE(has(reports[0], "lock order: mutex \"a\"") && has(reports[0], "mutex \"b\"")) << reports[0];
  std::thread([&] { take(b, a); }).join();
  EXPECT_EQ(reported(), 1U) << "once";
}

TEST_F(watching, a_try_cannot_deadlock) {
  tutti::mutex a, b;
  std::thread([&] {
    const std::lock_guard first(a);
    const std::lock_guard second(b);
  }).join();
  std::thread([&] {
    const std::lock_guard first(b);
    if (a.try_lock()) a.unlock();
  }).join();
  EXPECT_EQ(reported(), 0U);
}

TEST_F(watching, a_lock_at_the_place_of_another) {
  alignas(tutti::mutex) unsigned char room[sizeof(tutti::mutex)];
  tutti::mutex b("b");
  auto* first = new (room) tutti::mutex("first");
  std::thread([&] {
    const std::lock_guard outer(*first);
    const std::lock_guard inner(b);
  }).join();
  first->~mutex();
  auto* second = new (room) tutti::mutex("second");
  std::thread([&] {
    const std::lock_guard outer(b);
    const std::lock_guard inner(*second);
  }).join();
  second->~mutex();
  EXPECT_EQ(reported(), 0U) << reports[0];
}

TEST_F(watching, std_guards_show_a_code_address) {
  tutti::mutex a("a"), b("b");
  std::thread([&] {
    const std::lock_guard outer(a);
    const std::lock_guard inner(b);
  }).join();
  std::thread([&] {
    const std::lock_guard outer(b);
    const std::lock_guard inner(a);
  }).join();
  ASSERT_EQ(reported(), 1U);
  EXPECT_FALSE(has(reports[0], "std_mutex.h")) << reports[0];
  EXPECT_TRUE(has(reports[0], "+0x")) << reports[0];
}

class watching_in_time : public tutti_test::virtual_time {};

TEST_F(watching_in_time, starvation_names_who_waits_for_whom) {
  std::vector<std::string> reports;
  tutti::watch watch({.starvation = 5s}, [&](std::string_view text) { reports.emplace_back(text); });
  tutti::mutex m("till");
  const auto holds = [&]() -> task<> {
    auto held = co_await m.lock_async();
    co_await tutti::sleep_for(12s);
  };
  const auto waits = [&]() -> task<> { auto held = co_await m.lock_async(); };
  const auto both = [&]() -> task<> { co_await tutti::when_all(holds(), waits()); };
  tutti::sync_wait(both());
  ASSERT_GE(reports.size(), 1U);
  bool found = false;
  for (const std::string& text : reports) {
    found = found || (has(text, "starvation") && has(text, "mutex \"till\"") && has(text, "held by task"));
  }
  EXPECT_TRUE(found) << reports[0];
}

TEST(watch, the_newest_counts_and_the_one_before_comes_back) {
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
  {
    const tutti::watch outer;
    EXPECT_NE(tutti::wait_graph::observer(), nullptr);
    {
      const tutti::watch inner({.deadlock = false});
    }
    EXPECT_NE(tutti::wait_graph::observer(), nullptr);
  }
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
}

TEST(watch, one_may_end_before_a_newer_one) {
  std::optional<tutti::watch> older(std::in_place);
  std::optional<tutti::watch> newer(std::in_place);
  older.reset();
  EXPECT_TRUE(tutti::watch::is_on());
  newer.reset();
  EXPECT_FALSE(tutti::watch::is_on());
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
}

TEST(watch, its_end_waits_for_a_report) {
  const watchdog dog;
  std::atomic<bool> reporting{false}, go_on{false}, told{false};
  tutti::mutex a, b;
  std::optional<tutti::watch> watch(std::in_place, tutti::watch_options{.lock_order = true}, [&](std::string_view) {
    reporting = true;
    until([&] { return go_on.load(); });
    told = true;
  });
  const auto take = [](tutti::mutex& outer, tutti::mutex& inner) {
    const std::lock_guard first(outer);
    const std::lock_guard second(inner);
  };
  std::thread([&] { take(a, b); }).join();
  std::jthread reporter([&] { take(b, a); });
  until([&] { return reporting.load(); });
  std::jthread ender([&] {
    watch.reset();
    EXPECT_TRUE(told);
  });
  until([] { return !tutti::watch::is_on(); });
  go_on = true;
}

TEST(watch, options_from_text) {
  EXPECT_TRUE(tutti::watch_options_from("deadlock").deadlock);
  EXPECT_FALSE(tutti::watch_options_from("deadlock").lock_order);
  EXPECT_TRUE(tutti::watch_options_from("order,deadlock").lock_order);
  EXPECT_FALSE(tutti::watch_options_from("order").deadlock);
  const auto all = tutti::watch_options_from("all,starvation=2.5");
  EXPECT_TRUE(all.deadlock && all.lock_order);
  EXPECT_EQ(all.starvation, 2500ms);
  for (const char* wrong :
       {"deadlocks", "starvation=", "starvation=-1", "starvation=x", "all,,order", "starvation=0"}) {
    EXPECT_THROW(tutti::watch_options_from(wrong), std::invalid_argument) << wrong;
  }
  EXPECT_THROW(tutti::watch({.starvation = 0ns}), std::invalid_argument);
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
}

TEST(watch_death, where_nothing_may_be_thrown_the_report_is_the_last_word) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const tutti::watch watch;
        tutti::thread_pool pool(1);
        tutti::mutex m("till");
        m.lock();
        auto f = pool.with({.name = "clerk"}).submit([&] { m.lock(); });
        while (tutti_test::waiting_for("mutex::lock") == 0) std::this_thread::yield();
        [&]() noexcept { f.wait(); }();
      },
      "clerk.*till");
}

}  // namespace
