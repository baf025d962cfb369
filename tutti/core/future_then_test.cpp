// Continuations: what they are given, where they run, and how errors, futures and cancels pass through them.
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;

TEST(future, then_takes_the_result) {
  thread_pool pool{2};
  auto f = pool.submit([] { return 20; }).then([](int n) { return std::to_string(n + 1); });
  static_assert(std::is_same_v<decltype(f), future<std::string>>);
  EXPECT_EQ(f.get(), "21");
  bool ran = false;
  pool.submit([] {}).then([&] { ran = true; }).get();
  EXPECT_TRUE(ran);
  auto g = pool.submit([] { return std::make_unique<int>(1); }).then([](std::unique_ptr<int> n) { return *n; });
  EXPECT_EQ(g.get(), 1);
}

TEST(future, then_runs_on_the_pool_the_future_came_from) {
  std::latch gate(1);
  thread_pool pool{1};
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  auto early = pool.submit([&] { gate.wait(); }).then([] { return std::this_thread::get_id(); });
  gate.count_down();
  EXPECT_EQ(early.get(), worker);
  auto done = pool.submit([] {});
  done.wait();
  EXPECT_EQ(done.then([] { return std::this_thread::get_id(); }).get(), worker);
  // And on, from link to link.
  auto chained = pool.submit([] {}).then([] {}).then([] { return std::this_thread::get_id(); });
  EXPECT_EQ(chained.get(), worker);
}

TEST(future, then_is_skipped_by_an_error) {
  thread_pool pool{1};
  bool ran = false;
  auto f = pool.submit([]() -> int { throw std::domain_error("first"); }).then([&](int) { ran = true; }).then([&] {
    ran = true;
  });
  EXPECT_THROW(f.get(), std::domain_error);
  EXPECT_FALSE(ran);
}

TEST(future, then_may_take_the_future_and_handle_the_error) {
  thread_pool pool{1};
  auto f = pool.submit([]() -> int { throw std::domain_error("first"); }).then([](future<int> failed) {
    EXPECT_TRUE(failed.done());
    try {
      return failed.get();
    } catch (const std::domain_error&) {
      return -1;
    }
  });
  EXPECT_EQ(f.get(), -1);
  auto g = pool.submit([] {}).then([](future<void> fine) {
    fine.get();
    return 1;
  });
  EXPECT_EQ(g.get(), 1);
}

TEST(future, then_flattens_a_future) {
  thread_pool pool{2};
  auto f = pool.submit([] { return 4; }).then([&](int n) { return pool.submit([n] { return n * n; }); });
  static_assert(std::is_same_v<decltype(f), future<int>>);
  EXPECT_EQ(f.get(), 16);
  auto failed = pool.submit([] {}).then([&] { return pool.submit([]() -> int { throw std::domain_error("inner"); }); });
  EXPECT_THROW(failed.get(), std::domain_error);
  auto outer = pool.submit([] {}).then([&]() -> future<int> { throw std::range_error("outer"); });
  EXPECT_THROW(outer.get(), std::range_error);
  auto nothing = pool.submit([] {}).then([] { return future<int>(); });
  EXPECT_THROW(nothing.get(), std::logic_error);
  auto no_value = pool.submit([] {}).then([&] { return pool.submit([] {}); });
  static_assert(std::is_same_v<decltype(no_value), future<void>>);
  no_value.get();
}

TEST(future, a_flattened_one_belongs_to_the_pool_of_its_source) {
  thread_pool pool{1};
  auto flat = pool.submit([] {}).then([&] { return pool.submit([] { return 1; }); });
  EXPECT_EQ(flat.state()->home(), pool.id());
  EXPECT_EQ(flat.then([](int) { return std::this_thread::get_id(); }).get(),
            pool.submit([] { return std::this_thread::get_id(); }).get());
}

TEST(future, then_on_an_inline_executor) {
  tutti::inline_executor here;
  EXPECT_EQ(here.submit([] { return 2; }).then([](int n) { return n * 3; }).get(), 6);
}

TEST(future, then_can_be_cancelled_before_its_source_is_done) {
  promise<int> p;
  bool ran = false;
  auto f = p.get_future().then([&](int) { ran = true; });
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(p.stop_requested());  // nobody needs the source any more
  p.set_value(1);
  EXPECT_THROW(f.get(), tutti::cancelled);
  EXPECT_FALSE(ran);
}

}  // namespace
