// Exceptions: thrown everywhere a user's code can throw, they reach someone, and the pool goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <tests/support/unhandled_counter.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/core/when.hpp>
#include <utility>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;
using tutti::unhandled_origin;
using tutti_test::unhandled_counter;

struct boom : std::runtime_error {
  boom() : runtime_error("boom") {}
};

// Throws in its n-th copy or move.
struct fragile {
  explicit fragile(int moves) : left(moves) {}
  fragile(const fragile& other) : left(other.left) { count(); }
  fragile(fragile&& other) : left(other.left) { count(); }  // NOLINT(performance-noexcept-move-constructor)
  fragile& operator=(const fragile&) = delete;
  ~fragile() = default;
  void count() {
    if (left-- == 0) throw boom();
  }
  int operator()() const { return 1; }
  int left;
};

TEST(rules_throwing, a_task_of_any_type_of_exception) {
  thread_pool pool{2};
  EXPECT_THROW(pool.submit([] { throw boom(); }).get(), boom);
  EXPECT_THROW(pool.submit([] { throw 42; }).get(), int);                       // NOLINT(hicpp-exception-baseclass)
  EXPECT_THROW(pool.submit([] { throw "text"; }).get(), const char*);           // NOLINT(hicpp-exception-baseclass)
  EXPECT_THROW(pool.with({.retries = 3}).submit([] { throw 42; }).get(), int);  // NOLINT(hicpp-exception-baseclass)
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST(rules_throwing, a_callable_that_cannot_be_moved_in) {
  thread_pool pool{1};
  int made = 0;
  for (int moves = 0; moves < 20; ++moves) {
    const fragile g(moves);
    try {
      EXPECT_EQ(pool.submit(g).get(), 1);
      ++made;
    } catch (const boom&) {
    }
    try {
      pool.post(g);
    } catch (const boom&) {
    }
    try {
      for (const int n : pool.map(std::vector<int>{1}, [g](int i) { return g() + i; })) EXPECT_EQ(n, 2);
    } catch (const boom&) {
    }
    try {
      EXPECT_EQ(tutti::make_ready_future(1).then([g](int n) { return n + g(); }).get(), 2);
    } catch (const boom&) {
    }
    try {
      promise<int> p;
      p.get_future().on_done(g);
      p.set_value(1);
    } catch (const boom&) {
    }
    try {
      tutti::call_later(std::chrono::hours(1), g).cancel();
    } catch (const boom&) {
    }
  }
  EXPECT_GT(made, 10);
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST(rules_throwing, a_result_that_cannot_be_moved_out) {
  thread_pool pool{1};
  int good = 0;
  for (int moves = 0; moves < 12; ++moves) {
    try {
      static_cast<void>(pool.submit([moves] { return fragile(moves); }).get());
      ++good;
    } catch (const boom&) {
    }
    try {
      static_cast<void>(pool.submit_bulk(std::vector<int>{1, 2, 3}, [moves](int) { return fragile(moves); }).get());
    } catch (const boom&) {
    }
    try {
      for (const fragile& f : pool.map(std::vector<int>{1, 2, 3}, [moves](int) { return fragile(moves); }))
        EXPECT_EQ(f(), 1);
    } catch (const boom&) {
    }
    try {
      tutti::fork_join([moves] { return fragile(moves); }, [moves] { return fragile(moves); });
    } catch (const boom&) {
    }
  }
  EXPECT_GT(good, 0);
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST(rules_throwing, an_element_of_map_and_iteration_goes_on) {
  thread_pool pool{2};
  std::vector<int> input(100);
  for (int i = 0; i < 100; ++i) input[static_cast<std::size_t>(i)] = i;
  const auto odd_throws = [](int i) { return i % 2 == 1 ? throw boom() : i; };
  for (const std::size_t chunk : {0U, 1U, 7U, 1000U}) {
    int good = 0, bad = 0;
    auto results = pool.map(input, odd_throws, {.chunk = chunk});
    int at = 0;
    for (auto it = results.begin(); it != results.end(); ++it, ++at) {
      try {
        EXPECT_EQ(*it, at);
        ++good;
      } catch (const boom&) {
        EXPECT_EQ(at % 2, 1);
        ++bad;
      }
    }
    EXPECT_EQ(good, 50);
    EXPECT_EQ(bad, 50);
  }
  EXPECT_THROW((void)pool.submit_bulk(input, odd_throws).get(), boom);
}

// An input range that throws at a place of one's choice.
struct rough_range {
  int throw_at, end_at;
  bool in_read;
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    const rough_range* owner;
    int at;
    int operator*() const {
      if (owner->in_read && at == owner->throw_at) throw boom();
      return at;
    }
    iterator& operator++() {
      ++at;
      if (!owner->in_read && at == owner->throw_at) throw boom();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return at == owner->end_at; }
  };
  iterator begin() const { return {this, 0}; }
  std::default_sentinel_t end() const { return {}; }
};

TEST(rules_throwing, the_input_of_map) {
  thread_pool pool{2};
  for (const bool in_read : {true, false}) {
    for (const int throw_at : {0, 1, 5, 50}) {
      if (!in_read && throw_at == 0) continue;
      for (const std::size_t chunk : {0U, 1U, 4U}) {
        int seen = 0;
        EXPECT_THROW(
            for (const int n : pool.map(rough_range{throw_at, 100, in_read}, [](int i) { return i; },
                                        {.chunk = chunk})) {
              EXPECT_EQ(n, seen);
              ++seen;
            },
            boom);
        EXPECT_LE(seen, throw_at);
        EXPECT_THROW(
            for (const auto& n : pool.map_unordered(rough_range{throw_at, 100, in_read}, [](int i) { return i; },
                                                    {.chunk = chunk})) { EXPECT_LT(n.value, throw_at); },
            boom);
        EXPECT_THROW(
            (void)pool.submit_bulk(rough_range{throw_at, 100, in_read}, [](int i) { return i; }, {.chunk = chunk}),
            boom);
      }
    }
  }
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST(rules_throwing, a_continuation) {
  thread_pool pool{1};
  auto f = pool.submit([] { return 1; }).then([](int) -> int { throw boom(); }).then([](int n) { return n; });
  EXPECT_THROW(f.get(), boom);
}

TEST(rules_throwing, callbacks_and_timers) {
  const unhandled_counter counter;
  promise<int> p;
  auto f = p.get_future();
  f.on_done([] { throw boom(); });
  f.on_done([](const std::exception_ptr&) { throw boom(); });
  p.set_value(1);
  EXPECT_EQ(counter.of(unhandled_origin::callback), 2);
  f.on_done([] { throw boom(); });
  EXPECT_EQ(counter.of(unhandled_origin::callback), 3);
  EXPECT_EQ(f.get(), 1);
  std::latch after(1);
  tutti::call_later(std::chrono::nanoseconds(0), [] { throw boom(); });
  tutti::call_later(std::chrono::nanoseconds(0), [&] { after.count_down(); });
  after.wait();  // timers are called in order
  EXPECT_EQ(counter.of(unhandled_origin::callback), 4);
  EXPECT_EQ(counter.all(), 4);
}

TEST(rules_throwing, a_posted_function) {
  const unhandled_counter counter;
  {
    thread_pool pool{2};
    pool.with({.name = "posted here"}).post([] { throw boom(); });
    pool.post([] { throw tutti::cancelled("never unhandled"); });
    tutti::inline_executor here;
    here.post([] { throw boom(); });
  }
  EXPECT_EQ(counter.of(unhandled_origin::post), 2);
  EXPECT_EQ(counter.all(), 2);
}

TEST(rules_throwing_death, a_posted_function_ends_the_program_by_default) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        thread_pool pool{1};
        pool.with({.name = "the culprit"}).post([] { throw std::runtime_error("exploded on purpose"); });
        pool.shutdown();
      },
      "exploded on purpose");
}

// ---- dropped futures

TEST(rules_throwing, dropped_futures_tell) {
  const unhandled_counter counter;
  {
    std::latch gate(1);
    thread_pool pool{1};
    {
      auto before = pool.with({.name = "dropped early"}).submit([&] { gate.wait(), throw boom(); });
    }
    gate.count_down();
    pool.submit([] {}).get();  // first in, first out
    {
      auto after = pool.with({.name = "dropped late"}).submit([] { throw boom(); });
      after.wait();
    }
  }
  EXPECT_EQ(counter.of(unhandled_origin::dropped_future), 2);
  EXPECT_EQ(counter.all(), 2);
  EXPECT_EQ(unhandled_counter::last_task, "dropped late");
}

TEST(rules_throwing, dropped_futures_are_logged_by_default) {
  const tutti::log_capture log;
  {
    thread_pool pool{1};
    auto f = pool.with({.name = "forgotten"}).submit([] { throw std::runtime_error("nobody looked"); });
    f.wait();
  }
  EXPECT_TRUE(log.contains("nobody looked"));
  EXPECT_TRUE(log.contains("forgotten"));
}

TEST(rules_throwing, what_somebody_saw_or_cancelled_is_not_unhandled) {
  const unhandled_counter counter;
  std::latch gate(1);
  {
    thread_pool pool{2};
    const auto failing = [&] { return pool.submit([]() -> int { throw boom(); }); };
    EXPECT_THROW(failing().get(), boom);
    EXPECT_THROW(failing().share().get(), boom);
    EXPECT_THROW(failing().then([](int n) { return n; }).get(), boom);
    EXPECT_THROW(failing().then([](int n) { return n; }).then([](int n) { return n; }).get(), boom);
    failing().then([](future<int> f) { EXPECT_THROW(f.get(), boom); }).get();
    EXPECT_THROW(pool.submit([&] { return 1; }).then([&](int) { return failing(); }).get(), boom);
    EXPECT_THROW(tutti::when_all(failing(), pool.submit([] { return 1; })).get(), boom);
    std::vector<future<int>> one;
    one.push_back(failing());
    EXPECT_THROW((void)tutti::when_any(std::move(one)).get(), boom);
    promise<void> heard;
    failing().on_done([&](const std::exception_ptr&) { heard.set_value(); });
    heard.get_future().get();
    {
      auto running = pool.submit([&] {
        gate.wait();
        throw tutti::cancelled("as asked");
      });
      gate.count_down();
    }
    {
      promise<int> p;
      auto f = p.get_future();
      f.cancel();
    }
  }
  EXPECT_EQ(counter.all(), 0);
}

TEST(rules_throwing, handlers_are_exchanged) {
  const auto handler = +[](const std::exception_ptr&, const char*, unhandled_origin) noexcept {};
  const auto before = tutti::on_unhandled(handler);
  EXPECT_EQ(tutti::on_unhandled(nullptr), handler);
  tutti::on_unhandled(before);
}

// ---- fork_join

TEST(rules_throwing, fork_join_throws_the_leftmost) {
  thread_pool pool{2};
  pool.submit([] {
        EXPECT_THROW(tutti::fork_join([] { throw 1; }, [] { throw boom(); }), int);  // NOLINT
        EXPECT_THROW(tutti::fork_join([] {}, [] { throw boom(); }), boom);
        EXPECT_THROW(tutti::fork_join([] {}, [] { throw boom(); }, [] { throw 1; }), boom);  // NOLINT
        EXPECT_THROW(tutti::fork_join([] { return 1; }, [] { return 2; }, []() -> int { throw boom(); }), boom);
        std::atomic<int> nested{0};  // both branches may run at once
        EXPECT_THROW(
            tutti::fork_join([&] { tutti::fork_join([&] { ++nested; }, [] { throw boom(); }); }, [&] { ++nested; }),
            boom);
        EXPECT_GE(nested.load(), 1);
      })
      .get();
  EXPECT_THROW(tutti::fork_join([] { throw boom(); }, [] {}), boom);  // off a worker too
}

TEST(rules_throwing, a_right_branch_that_has_not_begun_is_skipped) {
  thread_pool pool{1};
  bool ran = false;
  pool.submit([&] { EXPECT_THROW(tutti::fork_join([] { throw boom(); }, [&] { ran = true; }), boom); }).get();
  EXPECT_FALSE(ran);
}

TEST(rules_throwing, a_right_branch_that_has_begun_is_waited_for) {
  thread_pool pool{2};
  for (const bool right_throws : {false, true}) {
    pool.submit([&] {
          std::latch right_runs(1), left_throws(1);
          bool right_ended = false;
          auto kept = std::make_shared<int>(1);
          EXPECT_THROW(tutti::fork_join(
                           [&] {
                             right_runs.wait();
                             left_throws.count_down();
                             throw 1;  // NOLINT(hicpp-exception-baseclass)
                           },
                           [&] {
                             right_runs.count_down();
                             left_throws.wait();
                             right_ended = true;
                             if (right_throws) throw boom();
                             return kept;
                           }),
                       int);
          EXPECT_TRUE(right_ended);
          EXPECT_EQ(kept.use_count(), 1);  // the right result was destroyed
        })
        .get();
  }
}

}  // namespace
