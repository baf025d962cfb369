// What an observer of waits is told, and what happens when it refuses one.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/wait_graph.hpp>
#include <vector>

namespace {

using tutti::wait_party;
using tutti_test::watchdog;

struct event {
  std::string kind;
  const void* who;
  const void* resource;
  std::string what;
  tutti::place here;
};

class recorder final : public tutti::wait_observer {
 public:
  recorder() : before_(tutti::wait_graph::observe(this)) {}
  ~recorder() override { tutti::wait_graph::observe(before_); }

  void begin_wait(const wait& begun) override {
    add({"begin", begun.who.id, resource(begun), begun.what, begun.here});
    if (refuse.load()) throw tutti::deadlock("refused");
  }
  void end_wait(const wait& ended) noexcept override { add({"end", ended.who.id, resource(ended), "", {}}); }
  void born(const tutti::wait_target& made, std::size_t) noexcept override {
    add({"born", nullptr, made.resource, "", {}});
  }
  void gone(const void* lost) noexcept override { add({"gone", nullptr, lost, "", {}}); }
  void holds(const wait_party& who, const tutti::wait_target& held, const tutti::place& here, bool) noexcept override {
    add({"holds", who.id, held.resource, held.kind, here});
  }
  void releases(const void* who, const void* given_up) noexcept override { add({"releases", who, given_up, "", {}}); }

  std::vector<event> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  void ended(const void*) noexcept override {}
  std::size_t count(const std::string& kind) {
    std::size_t n = 0;
    for (const auto& one : events()) n += one.kind == kind;
    return n;
  }
  void wait_for(const std::string& kind, std::size_t n) {
    while (count(kind) < n) std::this_thread::yield();
  }
  std::atomic<bool> refuse{false};

 private:
  static const void* resource(const wait& of) { return of.targets.empty() ? nullptr : of.targets.front().resource; }
  void add(event e) noexcept {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(e));
  }
  std::mutex mutex_;
  std::vector<event> events_;
  tutti::wait_observer* before_;
};

// A thread that sets the promise once a wait has begun.
std::jthread set_once_awaited(tutti::promise<int>& promise, recorder& seen, void (*before)() = [] {}) {
  return std::jthread([&promise, &seen, before] {
    seen.wait_for("begin", 1);
    before();
    promise.set_value(1);
  });
}

TEST(WaitGraph, NobodyListensAtFirst) {
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
  {
    recorder outer;
    recorder inner;
    EXPECT_EQ(tutti::wait_graph::observer(), &inner);
  }
  EXPECT_EQ(tutti::wait_graph::observer(), nullptr);
}

TEST(WaitGraph, AWaitIsToldFromBeginningToEnd) {
  const watchdog dog;
  recorder seen;
  tutti::promise<int> promise;
  auto future = promise.get_future();
  const auto other = set_once_awaited(promise, seen);
  const unsigned line = __LINE__ + 1;
  EXPECT_EQ(future.get(), 1);
  const auto events = seen.events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, "begin");
  EXPECT_EQ(events[0].who, tutti::wait_graph::self_id()) << "outside tasks, the thread waits";
  EXPECT_NE(events[0].resource, nullptr);
  EXPECT_NE(events[0].what.find("future"), std::string::npos) << events[0].what;
  EXPECT_EQ(events[0].here.line, line);
  EXPECT_NE(std::string(events[0].here.file).find("wait_graph_test"), std::string::npos);
  EXPECT_EQ(events[1].kind, "end");
  EXPECT_EQ(events[1].who, events[0].who);
  EXPECT_EQ(events[1].resource, events[0].resource);
}

TEST(WaitGraph, NoWaitNoEvent) {
  recorder seen;
  EXPECT_EQ(tutti::make_ready_future(3).get(), 3);
  tutti::thread_pool pool(1);
  auto task = pool.submit([&] { return tutti::make_ready_future(4).get(); });
  while (!task.done()) std::this_thread::yield();
  EXPECT_EQ(task.get(), 4);
  pool.shutdown();
  EXPECT_EQ(seen.count("begin"), 0U) << "what is there is not waited for";
}

TEST(WaitGraph, WhatATaskRunsItselfIsWaitedForAllTheSame) {
  recorder seen;
  tutti::thread_pool pool(1);
  const void* awaited = nullptr;
  auto outer = pool.submit([&] {
    auto inner = pool.submit([] { return 4; });
    awaited = inner.state();
    return inner.get();
  });
  while (!outer.done()) std::this_thread::yield();
  EXPECT_EQ(outer.get(), 4);
  pool.shutdown();
  ASSERT_EQ(seen.count("begin"), 1U) << "it lies below, on the same stack";
  EXPECT_EQ(seen.events().front().resource, awaited) << "a task is known by its future's state";
  EXPECT_EQ(seen.count("end"), 1U);
}

TEST(WaitGraph, InATaskTheTaskWaits) {
  const watchdog dog;
  recorder seen;
  tutti::thread_pool pool(2);
  tutti::promise<int> promise;
  auto shared = promise.get_future().share();
  auto first = pool.submit([shared] { return shared.get(); });
  auto second = pool.submit([shared] { return shared.get(); });
  seen.wait_for("begin", 2);
  const auto events = seen.events();
  EXPECT_NE(events[0].who, events[1].who) << "two tasks";
  EXPECT_EQ(events[0].resource, events[1].resource) << "one future";
  for (const auto& one : events) {
    EXPECT_TRUE(one.who == first.state() || one.who == second.state());
  }
  promise.set_value(9);
  EXPECT_EQ(first.get() + second.get(), 18);
  pool.shutdown();
  EXPECT_EQ(seen.count("begin"), seen.count("end"));
}

TEST(WaitGraph, AWaitThatRunsIntoItsLimitEndsToo) {
  const watchdog dog;
  recorder seen;
  tutti::promise<int> promise;
  auto future = promise.get_future();
  EXPECT_FALSE(future.wait_for(std::chrono::milliseconds(1)));
  EXPECT_EQ(seen.count("begin"), seen.count("end"));
  EXPECT_FALSE(future.wait_for({}));
}

TEST(WaitGraph, TheRefusedWaitThrows) {
  const watchdog dog;
  tutti::promise<int> promise;
  auto future = promise.get_future();
  {
    recorder seen;
    seen.refuse = true;
    EXPECT_THROW(future.wait(), tutti::deadlock);
    EXPECT_EQ(seen.count("end"), 0U) << "a wait that never began has no end";
  }
  promise.set_value(2);
  EXPECT_EQ(future.get(), 2) << "the future is as it was";
}

TEST(WaitGraph, ARefusalInATaskGoesToItsFutureAndThePoolGoesOn) {
  const watchdog dog;
  recorder seen;
  // Both threads are still there: two tasks meet.
  std::atomic<int> met{0};
  tutti::thread_pool pool(2);
  tutti::promise<int> promise;
  auto shared = promise.get_future().share();
  seen.refuse = true;
  for (int i = 0; i < 20; ++i) {
    auto refused = pool.submit([shared] { return shared.get(); });
    while (!refused.done()) std::this_thread::yield();
    EXPECT_THROW(refused.get(), tutti::deadlock);
  }
  seen.refuse = false;
  const auto meet = [&] {
    ++met;
    while (met != 2) std::this_thread::yield();
  };
  auto a = pool.submit(meet), b = pool.submit(meet);
  a.get();
  b.get();
  EXPECT_EQ(pool.stats().spare_threads, 0U);
  promise.set_value(1);
}

TEST(WaitGraph, HoldsAndReleases) {
  recorder seen;
  int lock = 0;
  const auto here = tutti::place::current();
  tutti::wait_graph::holds({.resource = &lock, .rule = tutti::wait_rule::all_release, .kind = "lock"}, here);
  tutti::wait_graph::releases(&lock);
  const auto events = seen.events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, "holds");
  EXPECT_EQ(events[0].resource, &lock);
  EXPECT_EQ(events[0].here.line, here.line);
  EXPECT_EQ(events[1].kind, "releases");
  EXPECT_EQ(events[1].who, events[0].who);
}

TEST(WaitGraph, AnObserverThatLeavesDuringAWaitIsToldOfItsEnd) {
  const watchdog dog;
  recorder seen;
  tutti::promise<int> promise;
  auto future = promise.get_future();
  const auto other = set_once_awaited(promise, seen, [] { tutti::wait_graph::observe(nullptr); });
  EXPECT_EQ(future.get(), 1);
  EXPECT_EQ(seen.count("end"), 1U);
}

}  // namespace
