// Chains of a million links: nothing about them may recurse, neither results nor errors, cancels, priorities or
// destructors.
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <tutti/core/promise.hpp>
#include <tutti/core/when.hpp>
#include <utility>

namespace {

using tutti::future;
using tutti::promise;

constexpr int million = 1'000'000;

template <class Source>
future<int> long_chain(Source& source) {
  auto f = source.get_future();
  for (int i = 0; i < million; ++i) f = f.then([](int n) { return n + 1; });
  return f;
}

TEST(future_depth, a_million_continuations) {
  promise<int> p;
  auto f = long_chain(p);
  p.set_value(0);
  EXPECT_EQ(f.get(), million);
}

TEST(future_depth, a_million_continuations_of_what_is_done) {
  auto f = tutti::make_ready_future(0);
  for (int i = 0; i < million; ++i) f = f.then([](int n) { return n + 1; });
  EXPECT_EQ(f.get(), million);
}

TEST(future_depth, an_error_passes_a_million_links) {
  promise<int> p;
  auto f = long_chain(p);
  p.set_exception(std::make_exception_ptr(std::domain_error("far")));
  EXPECT_THROW(f.get(), std::domain_error);
}

TEST(future_depth, a_cancel_passes_a_million_links) {
  promise<int> p;
  auto f = long_chain(p);
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(p.stop_requested());
  EXPECT_THROW(f.get(), tutti::cancelled);
}

TEST(future_depth, a_priority_passes_a_million_links) {
  promise<int> p;
  auto f = long_chain(p);
  EXPECT_FALSE(f.wait_for(std::chrono::milliseconds(1)));  // lends the source its own
  p.set_value(0);
  EXPECT_EQ(f.get(), million);
}

TEST(future_depth, a_million_cancelled_links_that_take_futures) {
  promise<int> p;
  future<int> f = p.get_future();
  for (int i = 0; i < million; ++i) {
    f = f.then([](future<int> before) { return before.get() + 1; });  // keeps its source until then
  }
  EXPECT_TRUE(f.cancel());
  f = {};
  p.set_value(1);
}

TEST(future_depth, a_cancel_passes_a_long_chain_of_wholes) {
  promise<int> p;
  auto f = p.get_future();
  for (int i = 0; i < million / 10; ++i)
    f = tutti::when_all(std::move(f)).then([](auto all) { return std::get<0>(all); });
  f.cancel();
  EXPECT_TRUE(p.stop_requested());
  EXPECT_THROW(f.get(), tutti::cancelled);
}

TEST(future_depth, a_million_links_are_dropped) {
  promise<int> p;
  {
    auto f = long_chain(p);
  }
  p.set_value(0);
  promise<int> q;
  auto f = long_chain(q);
  q.set_value(0);
  f.wait();  // and destroyed with all their results
}

TEST(future_depth, a_million_futures_of_futures) {
  promise<int> p;
  future<int> f = p.get_future();
  for (int i = 0; i < million / 10; ++i) {
    f = tutti::make_ready_future(0).then([inner = std::move(f)](int) mutable { return std::move(inner); });
  }
  p.set_value(7);
  EXPECT_EQ(f.get(), 7);
}

}  // namespace
