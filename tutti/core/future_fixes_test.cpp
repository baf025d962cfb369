// What a review found in futures and what is made of them: helping, chains, cancelling wholes, ranges that must live.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <ranges>
#include <string>
#include <thread>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace fixes {
inline int twice(int n) { return 2 * n; }
inline std::string name_of_this_task(int) { return std::string(tutti::this_task::name()); }
inline int use_up(std::unique_ptr<int> n) { return *n; }
}  // namespace fixes

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::promise;
using tutti::thread_pool;

std::atomic<int> reported{0};
struct count_reports {
  tutti::unhandled_handler before =
      tutti::on_unhandled([](const std::exception_ptr&, const char*, tutti::unhandled_origin) noexcept { ++reported; });
  count_reports() { reported = 0; }
  ~count_reports() { tutti::on_unhandled(before); }
  count_reports(const count_reports&) = delete;
  count_reports& operator=(const count_reports&) = delete;
};

// ---- helping

TEST(future_fixes, a_worker_waits_for_a_continuation_of_what_is_not_there) {
  thread_pool pool(2);
  for (int round = 0; round < 200; ++round) {
    EXPECT_EQ(pool.submit([&] {
                    return pool.submit([] { return 1; })
                        .then([](int n) { return n + 1; })
                        .then([](int n) { return n * 10; })
                        .get();
                  })
                  .get(),
              20);
  }
  std::atomic<bool> open{false};
  auto source = pool.submit([&] {
    while (!open) std::this_thread::yield();
    return 1;
  });
  std::atomic<bool> waiting{false};
  auto waits = pool.submit([&, next = source.then([](int n) { return n + 1; })]() mutable {
    waiting = true;
    return next.get();
  });
  while (!waiting) std::this_thread::yield();
  open = true;
  EXPECT_EQ(waits.get(), 2);
}

TEST(future_fixes, a_priority_goes_to_the_source_of_a_continuation) {
  thread_pool pool(1);
  std::latch gate(1);
  auto busy = pool.submit([&] { gate.wait(); });
  auto next = pool.submit([] { return 1; }).then([](int n) { return n + 1; });
  std::thread opener([&] {
    std::this_thread::sleep_for(10ms);
    gate.count_down();
  });
  auto waits = pool.with({.priority = 5}).submit([&] { return next.wait_for(10s); });
  EXPECT_TRUE(waits.get());
  EXPECT_EQ(next.get(), 2);
  opener.join();
}

TEST(future_fixes, a_worker_waits_for_a_long_chain) {
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] {
                  auto f = pool.submit([] { return 0; });
                  for (int i = 0; i < 100'000; ++i) f = f.then([](int n) { return n + 1; });
                  return f.get();
                })
                .get(),
            100'000);
}

int fib_all(thread_pool& pool, int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::when_all(pool.submit([&pool, n] { return fib_all(pool, n - 1); }), pool.submit([&pool, n] {
                  return fib_all(pool, n - 2);
                })).get();
  return a + b;
}

TEST(future_fixes, nested_when_all_runs_its_parts) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return fib_all(pool, 16); }).get(), 987);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

int fib_completed(thread_pool& pool, int n) {
  if (n < 2) return n;
  std::vector<future<int>> parts;
  for (int i = 1; i <= 2; ++i) parts.push_back(pool.submit([&pool, n, i] { return fib_completed(pool, n - i); }));
  int sum = 0;
  for (auto& part : tutti::as_completed(parts)) sum += part.get();
  return sum;
}

TEST(future_fixes, nested_as_completed_runs_its_parts) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return fib_completed(pool, 12); }).get(), 144);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

int tree_bulk(thread_pool& pool, int depth) {
  if (depth == 0) return 1;
  int sum = 0;
  for (const int n : pool.submit_bulk(std::vector{1, 2, 3}, [&](int) { return tree_bulk(pool, depth - 1); }).get())
    sum += n;
  return sum;
}

TEST(future_fixes, nested_submit_bulk_runs_its_chunks) {
  thread_pool pool(2);
  EXPECT_EQ(pool.submit([&] { return tree_bulk(pool, 6); }).get(), 729);
  EXPECT_LT(pool.stats().spare_threads, 64U);
}

TEST(future_fixes, nested_wait_for_the_first_and_map_unordered_on_a_pool_of_one) {
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] {
                  std::vector<future<int>> parts;
                  for (int i = 0; i < 3; ++i) parts.push_back(pool.submit([i] { return i; }));
                  EXPECT_FALSE(tutti::wait(parts, tutti::wait_for::first).done.empty());
                  int sum = 0;
                  for (auto& part : parts) sum += part.get();
                  for (auto [index, value] : pool.map_unordered(std::vector{1, 2, 3}, [](int n) { return n; }))
                    sum += value;
                  return sum;
                })
                .get(),
            9);
  EXPECT_EQ(pool.stats().spare_threads, 0U);
}

TEST(future_fixes, looking_for_the_first_does_not_wait_for_another) {
  thread_pool pool(1);
  promise<int> never;
  EXPECT_TRUE(pool.submit([&] {
                    std::vector<future<int>> parts;
                    parts.push_back(tutti::when_all(never.get_future(), pool.submit([] { return 1; })).then([](auto) {
                      return 1;
                    }));
                    parts.push_back(pool.submit([] { return 2; }));
                    const bool found = !tutti::wait(parts, tutti::wait_for::first).done.empty();
                    never.set_value(0);
                    return found;
                  })
                  .get());
}

// ---- chains

constexpr int million = 1'000'000;

TEST(future_fixes, a_million_cancelled_links_that_take_futures) {
  promise<int> p;
  future<int> f = p.get_future();
  for (int i = 0; i < million; ++i) {
    f = f.then([](future<int> before) { return before.get() + 1; });  // keeps its source until then
  }
  EXPECT_TRUE(f.cancel());
  f = {};
  p.set_value(1);
}

TEST(future_fixes, a_million_links_are_asked_for_quickly) {
  promise<int> p;
  auto f = p.get_future();
  for (int i = 0; i < million; ++i) f = f.then([](int n) { return n + 1; });
  EXPECT_FALSE(f.wait_for(1ms));  // passes the priority on
  p.set_value(0);
  EXPECT_EQ(f.get(), million);
}

TEST(future_fixes, a_long_chain_of_wholes) {
  promise<int> p;
  auto f = p.get_future();
  for (int i = 0; i < 100'000; ++i) f = tutti::when_all(std::move(f)).then([](auto all) { return std::get<0>(all); });
  f.cancel();
  EXPECT_TRUE(p.stop_requested());
  EXPECT_THROW(f.get(), tutti::cancelled);
}

// ---- cancelling wholes

TEST(future_fixes, a_cancelled_bulk_is_done_when_nothing_touches_its_range) {
  thread_pool pool(2);
  std::atomic<int> inside{0}, calls{0};
  std::atomic<bool> asked{false};
  std::vector<int> range(1000, 1);
  auto whole = pool.submit_bulk(range,
                                [&](int& n) {
                                  ++inside;
                                  ++calls;
                                  while (!asked) std::this_thread::yield();
                                  n = 2;
                                  --inside;
                                },
                                {.chunk = 100});
  while (calls == 0) std::this_thread::yield();
  EXPECT_FALSE(whole.cancel());
  asked = true;
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_EQ(inside, 0);
  EXPECT_LT(calls, 50);
}

TEST(future_fixes, a_cancelled_when_all_waits_for_the_parts_that_run) {
  thread_pool pool(1);
  std::atomic<bool> running{false}, over{false};
  auto first = pool.submit([&] {
    running = true;
    while (!tutti::this_task::stop_requested()) std::this_thread::yield();
    std::this_thread::sleep_for(20ms);
    over = true;
    return 1;
  });
  auto whole = tutti::when_all(std::move(first), pool.submit([] { return 2; }));
  while (!running) std::this_thread::yield();
  whole.cancel();
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_TRUE(over);
}

TEST(future_fixes, cancelling_reaches_the_parts_of_when_any_and_of_a_flattened_future) {
  promise<int> a, b;
  std::vector<future<int>> both;
  both.push_back(a.get_future());
  both.push_back(b.get_future());
  auto any = tutti::when_any(std::move(both));
  any.cancel();
  EXPECT_TRUE(a.stop_requested() && b.stop_requested());
  EXPECT_THROW(any.get(), tutti::cancelled);

  tutti::inline_executor here;
  promise<int> inner;
  auto flat = here.submit([] {}).then([&] { return inner.get_future(); });
  EXPECT_FALSE(flat.done());
  flat.cancel();
  EXPECT_TRUE(inner.stop_requested());
  EXPECT_THROW(flat.get(), tutti::cancelled);
}

TEST(future_fixes, a_flattened_future_belongs_to_the_pool_of_its_source) {
  thread_pool pool(1);
  auto flat = pool.submit([] {}).then([&] { return pool.submit([] { return 1; }); });
  EXPECT_EQ(flat.state()->home(), pool.id());
  EXPECT_EQ(flat.then([](int) { return std::this_thread::get_id(); }).get(),
            pool.submit([] { return std::this_thread::get_id(); }).get());
}

// ---- ranges

TEST(future_fixes, bulk_keeps_rvalue_ranges) {
  thread_pool pool(2);
  std::latch gate(1);
  auto busy = pool.submit([&] { gate.wait(); });
  auto busy_too = pool.submit([&] { gate.wait(); });
  auto whole =
      pool.submit_bulk(std::vector<std::string>(100, std::string(50, 'x')), [](const std::string& s) { return s; });
  std::vector<std::string> elements(10, std::string(50, 'y'));
  auto views = pool.submit_bulk(elements | std::views::filter([](const std::string&) { return true; }),
                                [](std::string& s) { return &s; });
  gate.count_down();
  for (const auto& s : whole.get()) EXPECT_EQ(s, std::string(50, 'x'));
  EXPECT_EQ(views.get().front(), &elements.front());  // a view's elements are the caller's
}

// ---- map

struct breaking_range {
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    int at = 0;
    int operator*() const {
      if (at == 5) throw std::domain_error("no more");
      return at;
    }
    iterator& operator++() {
      ++at;
      return *this;
    }
    void operator++(int) { ++at; }
    bool operator==(std::default_sentinel_t) const { return at == 100; }
  };
  iterator begin() const { return {}; }
  std::default_sentinel_t end() const { return {}; }
};

TEST(future_fixes, an_input_that_fails_is_thrown_by_the_iterator_and_what_was_started_can_be_read) {
  tutti::inline_executor here;
  auto results = here.map(breaking_range{}, fixes::twice, {.chunk = 1});
  auto at = results.begin();
  std::vector<int> seen;
  int thrown = 0;
  while (at != results.end()) {
    try {
      seen.push_back(*at);
    } catch (const std::logic_error&) {
      ++thrown;
    }
    try {
      ++at;
    } catch (const std::domain_error&) {
      ++thrown;
      EXPECT_THROW(static_cast<void>(*at), std::logic_error);
      ++at;
    }
  }
  EXPECT_EQ(seen, (std::vector{0, 2, 4, 6, 8}));
  EXPECT_EQ(thrown, 1);
  auto closed = std::make_unique<thread_pool>(1);
  auto late = closed->map(std::vector{1, 2}, fixes::twice);
  closed->shutdown();
  EXPECT_THROW(static_cast<void>(late.begin()), tutti::closed);
}

// ---- the rest

TEST(future_fixes, retries_need_arguments_that_can_be_copied) {
  thread_pool pool(1);
  EXPECT_THROW(static_cast<void>(pool.with({.retries = 1}).submit<fixes::use_up>(std::make_unique<int>(1))),
               std::invalid_argument);
  EXPECT_EQ(pool.submit<fixes::use_up>(std::make_unique<int>(1)).get(), 1);
}

TEST(future_fixes, tasks_are_named_after_their_function) {
  thread_pool pool(1);
  EXPECT_EQ(pool.submit<fixes::name_of_this_task>(1).get(), "fixes::name_of_this_task");
  EXPECT_EQ((pool.submit<tutti::named<"calc.x", fixes::name_of_this_task>>(1).get()), "calc.x");
  EXPECT_EQ(pool.submit_bulk<fixes::name_of_this_task>(std::vector{1}).get()[0], "fixes::name_of_this_task");
  for (const std::string& name : pool.map<fixes::name_of_this_task>(std::vector{1}))
    EXPECT_EQ(name, "fixes::name_of_this_task");
}

TEST(future_fixes, promises_assigned_to_themselves_and_set) {
  promise<int> p;
  auto f = p.get_future();
  auto& same = p;
  p = std::move(same);
  EXPECT_FALSE(p.stop_requested());
  p.set_value(1);
  EXPECT_FALSE(p.stop_requested());
  EXPECT_EQ(f.get(), 1);
  promise<int> q;
  f = q.get_future();
  f.cancel();
  q.set_value(1);
  EXPECT_TRUE(q.stop_requested());
}

TEST(future_fixes, only_who_is_given_the_error_has_seen_it) {
  const count_reports counting;
  const auto error = std::make_exception_ptr(std::domain_error("lost"));
  {
    promise<int> p;
    auto f = p.get_future();
    f.on_done([] {});
    p.set_exception(error);
  }
  EXPECT_EQ(reported, 1);
  {
    promise<int> p;
    auto f = p.get_future();
    f.on_done([](const std::exception_ptr&) {});
    p.set_exception(error);
  }
  EXPECT_EQ(reported, 1);
  {
    promise<int> p;
    auto whole = tutti::when_all(p.get_future());
    p.set_exception(error);
    EXPECT_THROW(whole.get(), std::domain_error);
  }
  EXPECT_EQ(reported, 1);
}

}  // namespace
