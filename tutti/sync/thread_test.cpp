// The named thread: what it runs is a task with a name, and its exception arrives where it is joined.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/wait_counter.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/thread.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::event;
using tutti::task;
using tutti::thread;
using tutti::unhandled_origin;
using tutti_test::end_of_future;
using tutti_test::unhandled_counter;
using tutti_test::until;
using tutti_test::wait_counter;
using tutti_test::watchdog;

std::string system_name() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

TEST(Thread, RunsAFunctionWithCopiesOfItsArguments) {
  int sum = 0;
  auto moved = std::make_unique<int>(40);
  thread t("adder", [](std::unique_ptr<int> a, int b, int& to) { to = *a + b; }, std::move(moved), 2, std::ref(sum));
  EXPECT_TRUE(t.joinable());
  EXPECT_NE(t.id(), std::thread::id());
  t.join();
  EXPECT_EQ(sum, 42);
  EXPECT_FALSE(t.joinable());
  EXPECT_EQ(t.id(), std::thread::id());
  EXPECT_TRUE(t.done());
}

TEST(Thread, HasItsName) {
  std::string as_task, as_thread;
  thread t("philosopher 3, thinking", [&] {
    as_task = tutti::this_task::name();
    as_thread = system_name();
  });
  EXPECT_EQ(t.name(), "philosopher 3, thinking");
  t.join();
  EXPECT_EQ(t.name(), "philosopher 3, thinking");
  EXPECT_EQ(as_task, "philosopher 3, thinking");
  EXPECT_EQ(as_thread, "philosopher 3, ");
}

TEST(Thread, ItsShortNameDoesNotEndInsideACharacter) {
  std::string as_thread, unnamed;
  thread("fourteen bytes\u00e9", [&] { as_thread = system_name(); }).join();
  EXPECT_EQ(as_thread, "fourteen bytes");
  thread("", [&] { unnamed = system_name(); }).join();
  EXPECT_EQ(unnamed, system_name()) << "no name is the parent's, as everywhere";
}

TEST(Thread, JoinThrowsWhatTheFunctionThrew) {
  const unhandled_counter unhandled;
  thread t("thrower", [] { throw std::out_of_range("no"); });
  EXPECT_THROW(t.join(), std::out_of_range);
  EXPECT_FALSE(t.joinable());
  thread u("thrower", [] { throw std::out_of_range("no"); });
  until([&] { return u.done(); });
  EXPECT_THROW(static_cast<void>(u.join_for(0s)), std::out_of_range);
  EXPECT_FALSE(u.joinable());
  EXPECT_EQ(unhandled_counter::all(), 0);
}

TEST(Thread, WhatNobodyTookIsUnhandled) {
  const unhandled_counter unhandled;
  {
    const thread t("thrower", [] { throw std::runtime_error("no"); });
  }
  EXPECT_EQ(unhandled_counter::of(unhandled_origin::dropped_future), 1);
  EXPECT_EQ(unhandled_counter::last_task, "thrower");
  {
    const thread t("stopped", [] { throw tutti::cancelled("asked to"); });
  }
  EXPECT_EQ(unhandled_counter::all(), 1) << "cancelled is never unhandled";
}

TEST(Thread, IsAskedToStopWhenItIsDestroyed) {
  const watchdog dog;
  bool by_token = false, by_task = false;
  {
    const thread a("a", [&](const std::stop_token& stop) {
      until([&] { return stop.stop_requested(); });
      by_token = true;
    });
    const thread b("b", [&] {
      tutti_test::until_stopped();
      by_task = true;
    });
  }
  EXPECT_TRUE(by_token);
  EXPECT_TRUE(by_task);
}

TEST(Thread, ItsTokenEndsWaits) {
  const watchdog dog;
  event never;
  thread t("waiter", [&](const std::stop_token& stop, int) { never.wait(stop); }, 1);
  t.request_stop();
  EXPECT_THROW(t.join(), tutti::cancelled);
  t.request_stop();  // harmless
}

TEST(Thread, JoinForHasALimit) {
  const watchdog dog;
  std::atomic<bool> go{false};
  thread t("held", [&] { until([&] { return go.load(); }); });
  EXPECT_FALSE(t.join_for(0s));
  EXPECT_FALSE(t.join_for(-1s));
  EXPECT_FALSE(t.join_for(1ms));
  EXPECT_FALSE(tutti_test::after_an_hour([&] { return t.join_for(1h); }));
  EXPECT_TRUE(t.joinable());
  EXPECT_FALSE(t.done());
  go = true;
  EXPECT_TRUE(t.join_for(std::chrono::nanoseconds::max()));
  EXPECT_FALSE(t.joinable());
}

TEST(Thread, AStopEndsTheJoinNotTheThread) {
  const watchdog dog;
  const wait_counter waits;
  event go;
  bool asked = false;
  {
    thread t("held", [&](const std::stop_token& stop) {
      go.wait();
      asked = stop.stop_requested();
    });
    std::jthread joiner([&](const std::stop_token& stop) { EXPECT_THROW(t.join(stop), tutti::cancelled); });
    waits.until_waiting(2);
    joiner.request_stop();
    joiner.join();
    EXPECT_TRUE(t.joinable());
    go.set();
    t.join();
  }
  EXPECT_FALSE(asked);
}

TEST(Thread, IsJoinedByACoroutine) {
  const watchdog dog;
  event go;
  tutti::run_loop loop;
  loop.run([&]() -> task<> {
    thread t("held", [&] { go.wait(); });
    EXPECT_THROW(t.join(), tutti::would_block);
    EXPECT_FALSE(t.join_for(0s));
    go.set();
    co_await t.join_async();
    EXPECT_FALSE(t.joinable());
    thread u("thrower", [] { throw std::out_of_range("no"); });
    bool thrown = false;
    try {
      co_await u.join_async();
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  }());
}

TEST(Thread, AStoppedCoroutineLeavesIt) {
  const watchdog dog;
  const wait_counter waits;
  event go;
  tutti::thread_pool pool(1);
  thread t("held", [&] { go.wait(); });
  auto joiner = pool.submit([&]() -> task<> { co_await t.join_async(); });
  waits.until_waiting(2);
  joiner.cancel();
  EXPECT_EQ(end_of_future(std::move(joiner)), "cancelled");
  EXPECT_TRUE(t.joinable());
  go.set();
  t.join();
}

TEST(Thread, Moves) {
  const watchdog dog;
  std::atomic<int> ran{0};
  std::vector<thread> all;
  for (int i = 0; i < 5; ++i) all.emplace_back("one of five", [&] { ++ran; });
  thread none;
  EXPECT_FALSE(none.joinable());
  EXPECT_FALSE(none.done());
  EXPECT_EQ(none.name(), "");
  none.request_stop();
  thread taken = std::move(all.back());
  EXPECT_FALSE(all.back().joinable());        // NOLINT(bugprone-use-after-move): empty
  taken = thread("another", [&] { ++ran; });  // joins the one before
  EXPECT_GE(ran, 1);
  taken.join();
  all.clear();
  EXPECT_EQ(ran, 6);
}

// What it was given is gone when it is done: the end of a channel, say, is closed then.
TEST(Thread, ItsFunctionAndArgumentsEndWithIt) {
  const watchdog dog;
  auto captured = std::make_shared<int>(1), given = std::make_shared<int>(2);
  const std::weak_ptr<int> first = captured, second = given;
  thread t("owner", [captured = std::move(captured)](const std::shared_ptr<int>&) {}, std::move(given));
  until([&] { return t.done(); });
  EXPECT_TRUE(first.expired());
  EXPECT_TRUE(second.expired());
  t.join();
}

tutti::task_local<int> depth{7};

TEST(Thread, TaskLocalsFollow) {
  int seen = 0;
  const auto bound = depth.bind(8);
  thread("inherits", [&] { seen = depth.get(); }).join();
  EXPECT_EQ(seen, 8);
}

// ---------------------------------------------------------------- who it is, for observers of waits

TEST(Thread, ItsPartyIsWhatJoinWaitsFor) {
  const watchdog dog;
  class notes final : public tutti::wait_observer {
   public:
    notes() : before_(tutti::wait_graph::observe(this)) {}
    ~notes() { tutti::wait_graph::observe(before_); }
    void begin_wait(const wait& begun) override {
      const std::lock_guard lock(mutex);
      if (std::string(begun.what) == "thread::join") {
        EXPECT_EQ(begun.targets.size(), 1U);
        EXPECT_EQ(begun.targets.front().rule, tutti::wait_rule::it_ends);
        EXPECT_EQ(begun.targets.front().name, "worker");
        joined = begun.targets.front().resource;
      } else {
        party = begun.who.id;
      }
      ++waits;
    }
    void end_wait(const wait&) noexcept override {}
    void born(const tutti::wait_target&, std::size_t) noexcept override {}
    void gone(const void*) noexcept override {}
    void holds(const tutti::wait_party&, const tutti::wait_target&, const tutti::place&, bool) noexcept override {}
    void releases(const void*, const void*) noexcept override {}
    void ended(const void*) noexcept override {}
    std::mutex mutex;
    const void* joined = nullptr;
    const void* party = nullptr;
    std::atomic<int> waits{0};

   private:
    tutti::wait_observer* const before_;
  } seen;
  event go;
  const void* self = nullptr;
  thread t("worker", [&] {
    self = tutti::wait_graph::self_id();
    go.wait();
  });
  std::jthread joiner([&] { t.join(); });
  until([&] { return seen.waits == 2; });
  go.set();
  joiner.join();
  EXPECT_EQ(seen.joined, self);
  EXPECT_EQ(seen.party, self);
}

TEST(Thread, ADumpShowsItByItsName) {
  const watchdog dog;
  event go;
  thread t("philosopher 4", [&] { go.wait(); });
  until([] { return tutti_test::task_waits("philosopher 4"); });
  std::ostringstream out;
  tutti::dump(out);
  EXPECT_NE(out.str().find("philosopher 4"), std::string::npos) << out.str();
  go.set();
  t.join();
}

// ---------------------------------------------------------------- misuse

TEST(Thread, MisuseIsNamed) {
  const auto text_of = [](auto&& misuse) {
    try {
      misuse();
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  thread none;
  EXPECT_EQ(text_of([&] { none.join(); }), "thread: thread::join: there is none");
  thread t("once", [] {});
  t.join();
  EXPECT_THROW(t.join(), std::logic_error);
  EXPECT_THROW(static_cast<void>(t.join_async()), std::logic_error);
  EXPECT_EQ(text_of([&] { static_cast<void>(t.join_for(1s)); }),
            "thread \"once\": thread::join_for: it was joined already");
}

TEST(Thread, JoiningItselfIsADeadlock) {
  const watchdog dog;
  event go;
  thread t;
  t = thread("narcissus", [&] {
    go.wait();
    t.join();
  });
  go.set();
  EXPECT_THROW(t.join(), tutti::deadlock);
}

}  // namespace
