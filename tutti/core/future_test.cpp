#include <gtest/gtest.h>

#include <atomic>
#include <coroutine>
#include <latch>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::promise;
using tutti::thread_pool;

TEST(future, empty_ones_say_so) {
  future<int> f;
  EXPECT_FALSE(f.valid());
  EXPECT_FALSE(f.done());
  EXPECT_THROW(f.get(), std::logic_error);
  EXPECT_THROW(f.wait(), std::logic_error);
  EXPECT_THROW((void)f.wait_for(1s), std::logic_error);
  EXPECT_THROW((void)f.cancel(), std::logic_error);
  EXPECT_THROW((void)f.then([](int) {}), std::logic_error);
  EXPECT_THROW(f.on_done([] {}), std::logic_error);
  EXPECT_THROW((void)f.share(), std::logic_error);
  try {
    f.get();
  } catch (const std::logic_error& e) {
    EXPECT_NE(std::string(e.what()).find("get"), std::string::npos) << e.what();
  }
  const tutti::shared_future<int> shared;
  EXPECT_FALSE(shared.valid());
  EXPECT_FALSE(shared.done());
  EXPECT_FALSE(shared.cancel());
  EXPECT_THROW((void)shared.get(), std::logic_error);
}

TEST(future, gives_its_result_once) {
  thread_pool pool{1};
  auto f = pool.submit([] { return 1; });
  EXPECT_TRUE(f.valid());
  EXPECT_EQ(f.get(), 1);
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(f.get(), std::logic_error);
  auto g = pool.submit([]() -> int { throw std::runtime_error("once"); });
  EXPECT_THROW(g.get(), std::runtime_error);
  EXPECT_FALSE(g.valid());
}

TEST(future, moves) {
  promise<int> p;
  auto f = p.get_future();
  future<int> g = std::move(f);
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move)
  future<int> h;
  h = std::move(g);
  p.set_value(3);
  EXPECT_EQ(h.get(), 3);
  EXPECT_FALSE(std::is_copy_constructible_v<future<int>>);
  EXPECT_FALSE(std::is_copy_assignable_v<future<int>>);
  EXPECT_FALSE(std::is_copy_constructible_v<promise<int>>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<future<int>>);
}

struct no_default {
  explicit no_default(int n) : value(n) {}
  no_default(no_default&&) = default;
  no_default& operator=(no_default&&) = delete;
  int value;
};

TEST(future, carries_any_type_that_moves) {
  thread_pool pool{1};
  EXPECT_EQ(pool.submit([] { return no_default(3); }).get().value, 3);
  EXPECT_EQ(*pool.submit([] { return std::make_unique<int>(8); }).get(), 8);
  EXPECT_EQ(pool.submit([] { return std::make_exception_ptr(1); }).get() != nullptr, true);  // a value, not an error
  struct alignas(64) wide {
    char bytes[4096];
  };
  EXPECT_EQ(pool.submit([] { return wide{}; }).get().bytes[4095], 0);
}

TEST(future, destroys_an_unread_result_once) {
  auto counted = std::make_shared<int>(1);
  {
    thread_pool pool{1};
    auto f = pool.submit([counted] { return counted; });
    f.wait();
    auto dropped = pool.submit([counted] { return counted; });
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(future, waiting_leaves_the_result) {
  thread_pool pool{1};
  auto f = pool.submit([] { return 5; });
  f.wait();
  f.wait();
  EXPECT_TRUE(f.done());
  EXPECT_TRUE(f.wait_for(0s));
  EXPECT_TRUE(f.wait_for(-1s));
  EXPECT_EQ(f.get(), 5);
}

TEST(future, zero_or_less_only_looks) {
  promise<int> p;
  auto f = p.get_future();
  EXPECT_FALSE(f.wait_for(0s));
  EXPECT_FALSE(f.wait_for(-5h));
  EXPECT_FALSE(f.wait_for(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(f.wait_until(tutti::now()));
  p.set_value(1);
  EXPECT_TRUE(f.wait_for(std::chrono::nanoseconds::max()));
}

TEST(future, time_limits_go_by_the_clock_in_force) {
  tutti::virtual_clock clock;
  promise<int> p;
  auto f = p.get_future();
  std::atomic<bool> over{false};
  std::jthread waiter([&] {
    EXPECT_FALSE(f.wait_for(1h));
    over = true;
  });
  while (!over) {  // however late the waiter comes
    clock.advance(20min);
    std::this_thread::yield();
  }
  waiter.join();
  p.set_value(1);
  EXPECT_TRUE(f.wait_for(1h));
}

TEST(future, an_endless_limit_ends_with_the_result) {
  std::latch gate(1);
  thread_pool pool{1};
  auto f = pool.submit([&] {
    gate.wait();
    return 1;
  });
  std::jthread waiter([&] { EXPECT_TRUE(f.wait_for(std::chrono::nanoseconds::max())); });
  gate.count_down();
  waiter.join();
  EXPECT_EQ(f.get(), 1);
}

TEST(future, a_wait_can_be_stopped) {
  promise<int> p;
  auto f = p.get_future();
  std::stop_source source;
  std::jthread waiter([&] { EXPECT_EQ(f.wait(source.get_token()), tutti::wait_result::stopped); });
  source.request_stop();
  waiter.join();
  EXPECT_FALSE(f.done());  // the work goes on
  EXPECT_EQ(f.wait(source.get_token()), tutti::wait_result::stopped);
  p.set_value(1);
  EXPECT_EQ(f.wait(source.get_token()), tutti::wait_result::ready);
  EXPECT_EQ(f.get(), 1);
}

// ---- on_done

TEST(future, on_done_hears_of_success_and_failure) {
  promise<int> good, bad;
  auto f = good.get_future();
  auto g = bad.get_future();
  int heard = 0;
  std::exception_ptr first = std::make_exception_ptr(0), second;
  f.on_done([&](const std::exception_ptr& error) {
    first = error;
    ++heard;
  });
  f.on_done([&] { ++heard; });
  g.on_done([&](std::exception_ptr error) {
    second = std::move(error);
    ++heard;
  });
  EXPECT_EQ(heard, 0);
  good.set_value(1);
  bad.set_exception(std::make_exception_ptr(std::domain_error("bad")));
  EXPECT_EQ(heard, 3);
  EXPECT_EQ(first, nullptr);
  EXPECT_THROW(std::rethrow_exception(second), std::domain_error);
  f.on_done([&] { ++heard; });  // late: at once, here
  EXPECT_EQ(heard, 4);
  EXPECT_EQ(f.get(), 1);  // the result is still there
}

TEST(future, on_done_hears_of_a_cancel) {
  promise<int> p;
  auto f = p.get_future();
  bool heard = false;
  f.on_done([&](const std::exception_ptr& error) { heard = error != nullptr; });
  f.cancel();
  EXPECT_TRUE(heard);
}

TEST(future, on_done_outlives_the_future) {
  promise<int> p;
  bool heard = false;
  {
    p.get_future().on_done([&] { heard = true; });
  }
  p.set_value(1);
  EXPECT_TRUE(heard);
}

// ---- share

TEST(future, shared_ones_are_read_by_all) {
  std::latch gate(1);
  std::atomic<int> same{0};
  thread_pool pool{2};
  const auto shared = pool.submit([&] {
                            gate.wait();
                            return std::string(100, 's');
                          })
                          .share();
  std::vector<std::jthread> readers;
  const std::string* address = nullptr;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([shared, &same] { same += shared.get() == std::string(100, 's') ? 1 : 0; });
  }
  gate.count_down();
  readers.clear();
  EXPECT_EQ(same, 4);
  address = &shared.get();
  const auto copy = shared;  // NOLINT(performance-unnecessary-copy-initialization): the copy is the point
  EXPECT_EQ(&copy.get(), address);
}

TEST(future, shared_errors_are_thrown_to_all) {
  promise<void> p;
  const auto shared = p.get_future().share();
  p.set_exception(std::make_exception_ptr(std::domain_error("all")));
  EXPECT_THROW(shared.get(), std::domain_error);
  EXPECT_THROW(shared.get(), std::domain_error);
  EXPECT_TRUE(shared.wait_for(0s));
  EXPECT_FALSE(shared.cancel());
}

// ---- coroutines

struct detached {
  struct promise_type {
    detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

detached pass_on(future<int> from, promise<int> to) {
  try {
    const int value = co_await std::move(from);
    to.set_value(value + 1);
  } catch (...) {
    to.set_exception(std::current_exception());
  }
}

TEST(future, can_be_awaited) {
  for (const bool done_before : {false, true}) {
    promise<int> p, q;
    auto result = q.get_future();
    auto f = p.get_future();
    if (done_before) p.set_value(1);
    pass_on(std::move(f), std::move(q));
    if (!done_before) p.set_value(1);
    EXPECT_EQ(result.get(), 2);
  }
  promise<int> p, q;
  auto result = q.get_future();
  pass_on(p.get_future(), std::move(q));
  p.set_exception(std::make_exception_ptr(std::domain_error("awaited")));
  EXPECT_THROW(result.get(), std::domain_error);
}

TEST(future, awaiting_goes_on_where_it_was) {
  thread_pool pool{1};
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  promise<int> p;
  promise<std::thread::id> q;
  auto after = q.get_future();
  auto body = [](future<int> from, promise<std::thread::id> to) -> detached {
    co_await std::move(from);
    to.set_value(std::this_thread::get_id());
  };
  auto f = p.get_future();
  pool.submit([&] { body(std::move(f), std::move(q)); }).get();
  p.set_value(1);
  EXPECT_EQ(after.get(), worker);
}

}  // namespace
