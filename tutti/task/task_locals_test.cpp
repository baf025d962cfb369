// task_local in coroutines: a binding belongs to the coroutine that made it, not to the thread it happens to run on.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <tests/support/tasks.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::task_local;
using tutti::yield_now;
using tutti_test::watchdog;

using task_locals = tutti_test::virtual_time;

const task_local<std::string> request{"none"};
const task_local<int> level;

task<std::string> read_later() {
  co_await yield_now();
  co_return request.get();
}
task<std::string> read_now() { co_return request.get(); }

TEST_F(task_locals, last_across_awaits) {
  tutti::thread_pool pool(2);
  auto body = [&]() -> task<> {
    EXPECT_EQ(request.get(), "none");
    {
      const auto bound = request.bind("r-1");
      co_await yield_now();
      EXPECT_EQ(request.get(), "r-1");
      co_await sleep_for(1s);
      EXPECT_EQ(request.get(), "r-1");
      auto f = pool.submit([] { return request.get(); });
      const std::string on_the_pool = co_await std::move(f);
      EXPECT_EQ(on_the_pool, "r-1");
      EXPECT_EQ(request.get(), "r-1");
      {
        const auto deeper = request.bind("r-2");
        co_await yield_now();
        EXPECT_EQ(request.get(), "r-2");
      }
      EXPECT_EQ(request.get(), "r-1");
    }
    co_await yield_now();
    EXPECT_EQ(request.get(), "none");
  };
  sync_wait(body());
  EXPECT_EQ(request.get(), "none");
  auto f = pool.submit(body());
  sync_wait([](tutti::future<void> g) -> task<> { co_await std::move(g); }(std::move(f)));
}

TEST_F(task_locals, do_not_leak_to_whoever_runs_meanwhile) {
  auto binding = [](std::string value) -> task<> {
    const auto bound = request.bind(value);
    for (int i = 0; i < 10; ++i) {
      co_await yield_now();
      EXPECT_EQ(request.get(), value);
    }
  };
  auto not_binding = []() -> task<> {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(request.get(), "none");
      co_await yield_now();
    }
  };
  auto body = [&]() -> task<> {
    co_await tutti::when_all(binding("a"), not_binding(), binding("b"), not_binding());
    EXPECT_EQ(request.get(), "none");
  };
  sync_wait(body());
  tutti::thread_pool pool(1);
  auto plain_calls = [&]() -> task<> {
    auto a = pool.submit(binding("c"));
    auto b = pool.submit(not_binding());
    for (int i = 0; i < 10; ++i) {
      auto f = pool.submit([] { return request.get(); });
      const std::string seen = co_await std::move(f);
      EXPECT_EQ(seen, "none");
    }
    co_await std::move(a);
    co_await std::move(b);
  };
  sync_wait(plain_calls());
}

TEST_F(task_locals, pass_down_to_what_is_awaited_and_not_up) {
  auto child = []() -> task<> {
    EXPECT_EQ(request.get(), "parent's");
    const auto bound = request.bind("child's");
    co_await yield_now();
    EXPECT_EQ(request.get(), "child's");
  };
  auto at_once = []() -> task<> {
    const auto bound = request.bind("another's");
    EXPECT_EQ(request.get(), "another's");
    co_return;
  };
  auto body = [&]() -> task<> {
    const auto bound = request.bind("parent's");
    co_await child();
    EXPECT_EQ(request.get(), "parent's");
    co_await at_once();
    EXPECT_EQ(request.get(), "parent's");
    const std::string below = co_await read_later();
    EXPECT_EQ(below, "parent's");
  };
  sync_wait(body());
}

TEST_F(task_locals, are_those_at_the_await_for_what_is_awaited) {
  // A task that was made under another binding runs in the awaiting one.
  auto body = []() -> task<> {
    std::optional<task<std::string>> made;
    {
      const auto bound = request.bind("where it was made");
      made = read_later();
    }
    const auto bound = request.bind("where it is awaited");
    const std::string seen = co_await std::move(*made);
    EXPECT_EQ(seen, "where it is awaited");
  };
  sync_wait(body());
}

TEST_F(task_locals, are_inherited_by_children_when_they_are_spawned) {
  tutti::thread_pool pool(1);
  auto body = [&]() -> task<> {
    tutti::future<std::string> spawned, submitted, called;
    {
      const auto bound = request.bind("r-3");
      spawned = spawn(read_later());
      submitted = pool.submit(read_later());
      called = pool.submit([] { return read_later(); });
    }
    const std::string a = co_await std::move(spawned);
    EXPECT_EQ(a, "r-3") << "the binding is over, the child still has it";
    const std::string b = co_await std::move(submitted);
    EXPECT_EQ(b, "r-3");
    const std::string c = co_await std::move(called);
    EXPECT_EQ(c, "r-3");
  };
  sync_wait(body());
}

TEST_F(task_locals, are_inherited_through_every_combinator) {
  auto body = []() -> task<> {
    const auto bound = request.bind("r-4");
    const auto all = co_await tutti::when_all(read_later(), read_now());
    EXPECT_EQ(std::get<0>(all), "r-4");
    EXPECT_EQ(std::get<1>(all), "r-4");
    const auto any = co_await tutti::when_any(read_later());
    EXPECT_EQ(std::get<0>(any.value), "r-4");
    const std::string timed = co_await tutti::with_timeout(read_later(), 1s);
    EXPECT_EQ(timed, "r-4");
    const std::string shielded = co_await tutti::shield(read_later());
    EXPECT_EQ(shielded, "r-4");
    const std::string retried = co_await tutti::retry(read_later, tutti::retry_options{});
    EXPECT_EQ(retried, "r-4");
    const std::string grouped = co_await tutti::task_group::run([](tutti::task_group& g) -> task<std::string> {
      auto f = g.spawn(read_later());
      const std::string of_child = co_await std::move(f);
      co_return request.get() + of_child;
    });
    EXPECT_EQ(grouped, "r-4r-4");
    std::vector<int> range(3);
    co_await tutti::for_each_async(range, 2, [](int) -> task<> {
      const std::string in_loop = co_await read_later();
      EXPECT_EQ(in_loop, "r-4");
    });
    auto numbers = []() -> tutti::async_generator<std::string> {
      co_await yield_now();
      co_yield request.get();
    }();
    const auto generated = co_await numbers.next();
    EXPECT_EQ(generated, "r-4");
  };
  sync_wait(body());
}

TEST_F(task_locals, are_inherited_by_sync_wait_and_loops_from_their_thread) {
  const auto bound = request.bind("the thread's");
  EXPECT_EQ(sync_wait(read_later()), "the thread's");
  EXPECT_EQ(sync_wait(read_now()), "the thread's");
}

TEST_F(task_locals, follow_a_coroutine_to_another_executor) {
  tutti::thread_pool pool(1);
  auto body = [&]() -> task<> {
    const auto bound = request.bind("r-5");
    co_await tutti::resume_on(pool);
    EXPECT_EQ(request.get(), "r-5");
    const auto deeper = level.bind(2);
    co_await yield_now();
    EXPECT_EQ(level.get(), 2);
    EXPECT_EQ(request.get(), "r-5");
  };
  sync_wait(body());
  EXPECT_EQ(sync_wait(read_now()), "none");
  EXPECT_EQ(pool.submit([] { return request.get(); }).get(), "none");
}

TEST_F(task_locals, a_value_lives_as_long_as_somebody_may_read_it) {
  static const task_local<std::shared_ptr<int>> held;
  auto value = std::make_shared<int>(7);
  const std::weak_ptr<int> watched = value;
  auto child = []() -> task<int> {
    co_await sleep_for(1s);
    co_return *held.get();
  };
  auto body = [&]() -> task<> {
    tutti::future<int> f;
    {
      const auto bound = held.bind(std::move(value));
      f = spawn(child());
    }
    EXPECT_FALSE(watched.expired());
    const int n = co_await std::move(f);
    EXPECT_EQ(n, 7);
  };
  sync_wait(body());
  EXPECT_TRUE(watched.expired());
}

TEST_F(task_locals, unwound_by_an_error_and_by_a_stop) {
  auto failing = []() -> task<> {
    const auto bound = request.bind("inside");
    co_await yield_now();
    throw std::runtime_error("told");
  };
  auto sleeping = []() -> task<> {
    const auto bound = request.bind("inside");
    co_await tutti_test::sleep_for_ever();
  };
  auto catching = [&]() -> task<> {
    const std::string end = co_await tutti_test::end_of([&] { return failing(); });
    EXPECT_EQ(end, "told");
    EXPECT_EQ(request.get(), "none");
    const std::string stopped = co_await tutti_test::end_of([&] { return sleeping(); });
    EXPECT_EQ(stopped, "cancelled");
    EXPECT_EQ(request.get(), "none");
  };
  auto body = [&]() -> task<> {
    auto f = spawn(catching());
    co_await sleep_for(1s);
    f.cancel();
    co_await std::move(f);
  };
  sync_wait(body());
}

TEST(task_locals_on_a_pool, stay_with_their_coroutine_wherever_it_goes) {
  const watchdog dog;
  tutti::thread_pool pool(4);
  auto one = [](int id) -> task<int> {
    const auto bound = level.bind(id);
    int right = 0;
    for (int i = 0; i < 50; ++i) {
      co_await yield_now();
      right += level.get() == id ? 1 : 0;
      if (i % 10 == 0) {
        const auto deeper = request.bind(std::to_string(i));
        co_await sleep_for(1us);
        right += request.get() == std::to_string(i) ? 1 : 0;
      }
    }
    co_return right;
  };
  std::vector<tutti::future<int>> all;
  for (int i = 1; i <= 200; ++i) all.push_back(pool.submit(one(i)));
  for (auto& f : all) EXPECT_EQ(f.get(), 55);
}

}  // namespace
