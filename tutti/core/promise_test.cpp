#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;

TEST(promise, delivers_a_value) {
  promise<std::string> p;
  auto f = p.get_future();
  EXPECT_FALSE(f.done());
  p.set_value(std::size_t{3}, 'a');  // made in place
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), "aaa");
  EXPECT_FALSE(f.valid());
}

TEST(promise, delivers_before_anybody_asks) {
  promise<std::unique_ptr<int>> p;
  p.set_value(std::make_unique<int>(4));
  EXPECT_EQ(*p.get_future().get(), 4);
  promise<void> nothing;
  nothing.set_value();
  nothing.get_future().get();
}

TEST(promise, delivers_across_threads) {
  promise<std::vector<int>> p;
  auto f = p.get_future();
  std::jthread setter([p = std::move(p)]() mutable { p.set_value(std::vector<int>{1, 2, 3}); });
  EXPECT_EQ(f.get(), (std::vector<int>{1, 2, 3}));
}

TEST(promise, delivers_errors) {
  promise<int> p;
  auto f = p.get_future();
  p.set_exception(std::make_exception_ptr(std::domain_error("negative")));
  EXPECT_TRUE(f.done());
  EXPECT_THROW(f.get(), std::domain_error);
}

TEST(promise, is_set_once) {
  promise<int> p;
  auto f = p.get_future();
  p.set_value(1);
  EXPECT_THROW(p.set_value(2), std::logic_error);
  EXPECT_THROW(p.set_exception(std::make_exception_ptr(1)), std::logic_error);
  EXPECT_THROW((void)p.get_future(), std::logic_error);
  EXPECT_EQ(f.get(), 1);
}

TEST(promise, moved_from_is_an_error_not_a_crash) {
  promise<int> p;
  promise<int> q(std::move(p));
  EXPECT_THROW(p.set_value(1), std::logic_error);        // NOLINT(bugprone-use-after-move)
  EXPECT_THROW((void)p.get_future(), std::logic_error);  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(p.stop_requested());                      // NOLINT(bugprone-use-after-move)
  auto f = q.get_future();
  q.set_value(7);
  EXPECT_EQ(f.get(), 7);
}

TEST(promise, assigned_to_itself_it_is_as_before) {
  promise<int> p;
  auto f = p.get_future();
  auto& same = p;
  p = std::move(same);
  EXPECT_FALSE(p.stop_requested());
  p.set_value(1);
  EXPECT_FALSE(p.stop_requested());
  EXPECT_EQ(f.get(), 1);
}

TEST(promise, broken_when_destroyed_unset) {
  future<int> f;
  {
    promise<int> p;
    f = p.get_future();
  }
  EXPECT_THROW(f.get(), tutti::broken_promise);
  promise<int> p;
  f = p.get_future();
  p = promise<int>();  // the one assigned over is destroyed
  EXPECT_THROW(f.get(), tutti::broken_promise);
}

TEST(promise, broken_while_somebody_waits) {
  auto p = std::make_unique<promise<int>>();
  auto f = p->get_future();
  std::latch about_to_wait(1);
  std::jthread breaker([&] {
    about_to_wait.wait();
    p.reset();
  });
  about_to_wait.count_down();
  EXPECT_THROW(f.get(), tutti::broken_promise);
}

TEST(promise, nobody_asked_nobody_told) {
  const tutti_test::unhandled_counter counter;
  {
    promise<int> unused;
  }
  EXPECT_EQ(counter.all(), 0);
  {
    promise<int> p;
    p.set_value(1);
  }
  EXPECT_EQ(counter.all(), 0);
  {
    promise<int> p;
    p.set_exception(std::make_exception_ptr(std::runtime_error("lost")));
  }
  EXPECT_EQ(counter.all(), 1);  // an error always reaches someone
}

TEST(promise, what_is_set_after_a_cancel_is_dropped) {
  promise<int> p;
  auto f = p.get_future();
  EXPECT_FALSE(p.stop_requested());
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(p.stop_requested());
  EXPECT_TRUE(f.done());
  p.set_value(1);
  EXPECT_THROW(f.get(), tutti::cancelled);
  promise<int> q;
  f = q.get_future();
  f.cancel();
  q.set_exception(std::make_exception_ptr(1));
  EXPECT_THROW(f.get(), tutti::cancelled);
}

TEST(promise, knows_of_a_cancel_also_when_it_is_set) {
  promise<int> p;
  auto f = p.get_future();
  f.cancel();
  p.set_value(1);
  EXPECT_TRUE(p.stop_requested());
}

struct breaks_when_made {
  explicit breaks_when_made(int n) {
    if (n < 0) throw std::out_of_range("negative");
  }
};

TEST(promise, a_value_that_cannot_be_made_is_the_error) {
  promise<breaks_when_made> p;
  auto f = p.get_future();
  p.set_value(-1);
  EXPECT_THROW(f.get(), std::out_of_range);
}

TEST(promise, ready_future) {
  auto f = tutti::make_ready_future(std::string("here"));
  static_assert(std::is_same_v<decltype(f), future<std::string>>);
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), "here");
}

TEST(promise, continuations_never_run_inside_set_value) {
  promise<int> p;
  std::mutex held;  // would deadlock, or throw, if the continuation ran here
  std::thread::id ran_on;
  auto f = p.get_future().then([&](int n) {
    const std::lock_guard lock(held);
    ran_on = std::this_thread::get_id();
    return n + 1;
  });
  {
    const std::lock_guard lock(held);
    p.set_value(1);
  }
  EXPECT_EQ(f.get(), 2);
  EXPECT_NE(ran_on, std::this_thread::get_id());
}

TEST(promise, continuations_never_run_inside_then) {
  std::mutex held;
  future<int> f;
  {
    const std::lock_guard lock(held);
    f = tutti::make_ready_future(1).then([&](int n) {
      const std::lock_guard again(held);
      return n + 1;
    });
  }
  EXPECT_EQ(f.get(), 2);
}

TEST(promise, on_done_runs_inside_set_value) {
  promise<int> p;
  auto f = p.get_future();
  std::thread::id ran_on;
  f.on_done([&] { ran_on = std::this_thread::get_id(); });
  p.set_value(1);
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(promise, a_worker_that_sets_runs_the_continuation_elsewhere_or_later) {
  thread_local bool inside = false;
  tutti::thread_pool pool{1};
  promise<int> p;
  bool was_inside = true;
  auto f = p.get_future().then([&](int n) {
    was_inside = inside;
    return n;
  });
  pool.submit([&] {
        inside = true;
        p.set_value(5);
        inside = false;
      })
      .get();
  EXPECT_EQ(f.get(), 5);
  EXPECT_FALSE(was_inside);
}

// ---- without bound in depth

constexpr int million = 1'000'000;

TEST(promise_depth, a_million_promises_in_a_row) {
  std::vector<promise<int>> promises(million);
  std::vector<future<void>> links;
  links.reserve(million);
  for (std::size_t i = 0; i + 1 < promises.size(); ++i) {
    links.push_back(promises[i].get_future().then([&next = promises[i + 1]](int n) { next.set_value(n + 1); }));
  }
  auto last = promises.back().get_future();
  promises.front().set_value(1);
  EXPECT_EQ(last.get(), million);
  for (auto& link : links) link.get();
}

TEST(promise_depth, a_million_inline_callbacks_in_a_row) {
  std::vector<promise<int>> promises(million);
  std::vector<future<int>> futures;
  futures.reserve(million);
  for (auto& p : promises) futures.push_back(p.get_future());
  for (std::size_t i = 0; i + 1 < futures.size(); ++i) {
    futures[i].on_done([&next = promises[i + 1]] { next.set_value(1); });
  }
  promises.front().set_value(1);
  EXPECT_EQ(futures.back().get(), 1);
}

}  // namespace
