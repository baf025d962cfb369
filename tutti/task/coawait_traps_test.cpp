// What g++ 12 gets wrong in co_await expressions, and what it must get right with this library: every temporary once.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::give;
using tutti_test::give_later;
using tutti_test::watchdog;

// Options may stand as braced temporaries in co_await expressions only because nothing is destroyed with them.
static_assert(std::is_trivially_destructible_v<tutti::call_options>);
static_assert(std::is_trivially_destructible_v<tutti::retry_options>);
static_assert(std::is_trivially_destructible_v<tutti::stop_ref>);

// Counts what was made and what was destroyed; a double destruction shows, even where it would not crash.
struct census {
  static inline std::atomic<int> made{0}, destroyed{0};
  static void begin() { made = destroyed = 0; }
  static bool balanced() { return made == destroyed; }
};
class counted {
 public:
  explicit counted(int n) : value_(new int(n)) { ++census::made; }
  counted(const counted& other) : value_(new int(*other.value_)) { ++census::made; }
  counted(counted&& other) noexcept : value_(std::exchange(other.value_, nullptr)) { ++census::made; }
  counted& operator=(const counted&) = delete;
  ~counted() {
    delete value_;  // address sanitizers see it, too
    ++census::destroyed;
  }
  int value() const { return value_ == nullptr ? -1 : *value_; }

 private:
  int* value_;
};

task<int> by_value(counted c, bool late) {
  if (late) co_await yield_now();
  co_return c.value();
}
task<int> by_reference(const counted& c, bool late) {
  if (late) co_await yield_now();
  co_return c.value();
}
task<counted> pass(counted c) {
  co_await yield_now();
  co_return c;
}
task<counted> refuse(counted, bool late) {
  if (late) co_await yield_now();
  throw std::runtime_error("refused");
}
task<std::string> text_of(std::string text) {
  co_await yield_now();
  co_return text;
}
int add(int a, int b) { return a + b; }

template <class Body>
void balanced(Body body) {
  const watchdog dog;
  census::begin();
  sync_wait(body());
  EXPECT_TRUE(census::balanced()) << census::made << " made, " << census::destroyed << " destroyed";
  EXPECT_GT(census::made, 0);
}

TEST(coawait_traps, temporaries_as_arguments) {
  balanced([]() -> task<> {
    for (const bool late : {false, true}) {
      const int a = co_await by_value(counted(1), late);
      const int b = co_await by_reference(counted(2), late);  // lives until the end of the full expression
      EXPECT_EQ(a + b, 3);
      const int sum = co_await by_value(counted(3), late) + co_await by_reference(counted(4), late);
      EXPECT_EQ(sum, 7);
      const int added = add(co_await by_value(counted(5), late), co_await by_value(counted(6), late));
      EXPECT_EQ(added, 11);
    }
  });
}

TEST(coawait_traps, results_that_are_temporaries_of_the_next_await) {
  balanced([]() -> task<> {
    const counted c = co_await pass(co_await pass(co_await pass(counted(7))));
    EXPECT_EQ(c.value(), 7);
    const int n = (co_await pass(counted(8))).value();
    EXPECT_EQ(n, 8);
    static_cast<void>(co_await pass(counted(9)));
    co_await pass(counted(10));
  });
}

TEST(coawait_traps, in_conditions_loops_and_branches) {
  balanced([]() -> task<> {
    int sum = 0;
    for (int i = 0; co_await by_value(counted(i), i % 2 == 0) < 4; ++i) sum += i;
    if (const counted c = co_await pass(counted(10)); c.value() == 10) sum += c.value();
    if (co_await by_value(counted(1), true) == 1) {
      sum += co_await by_value(counted(100), false);
    } else {
      sum += co_await by_value(counted(1000), false);
    }
    switch (co_await by_value(counted(2), true)) {
      case 2: sum += co_await by_value(counted(200), true); break;
      default: ADD_FAILURE();
    }
    EXPECT_EQ(sum, 6 + 10 + 100 + 200);
    const bool both = co_await by_value(counted(0), true) == 0 && co_await by_value(counted(1), true) == 1;
    EXPECT_TRUE(both);
    const bool either = co_await by_value(counted(0), true) == 1 || co_await by_value(counted(1), true) == 1;
    EXPECT_TRUE(either);
  });
}

TEST(coawait_traps, in_co_return_and_in_initialisers) {
  const auto returned = []() -> task<counted> { co_return co_await pass(counted(1)); };
  balanced([&]() -> task<> {
    const std::pair<int, int> both(co_await by_value(counted(1), true), co_await by_value(counted(2), true));
    EXPECT_EQ(both.first + both.second, 3);
    const counted c = co_await returned();
    EXPECT_EQ(c.value(), 1);
    const auto kept = std::make_unique<counted>(co_await pass(counted(3)));
    EXPECT_EQ(kept->value(), 3);
    std::vector<counted> all;
    all.reserve(3);
    for (int i = 0; i < 3; ++i) all.push_back(co_await pass(counted(i)));
    EXPECT_EQ(all[2].value(), 2);
  });
}

TEST(coawait_traps, when_what_is_awaited_throws) {
  balanced([]() -> task<> {
    int caught = 0;
    for (const bool late : {false, true}) {
      try {
        const counted c = co_await refuse(counted(1), late);
        ADD_FAILURE() << c.value();
      } catch (const std::runtime_error&) {
        ++caught;
      }
      try {
        static_cast<void>(add(co_await by_value(counted(2), late), (co_await refuse(counted(3), late)).value()));
        ADD_FAILURE();
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    EXPECT_EQ(caught, 4);
  });
}

TEST(coawait_traps, when_it_is_stopped_in_the_middle) {
  struct stopped {
    static task<int> wait(counted c) {
      co_await tutti_test::sleep_for_ever();
      co_return c.value();
    }
    static task<> run() { static_cast<void>(add(co_await by_value(counted(1), true), co_await wait(counted(2)))); }
  };
  balanced([]() -> task<> {
    auto f = tutti::spawn(stopped::run());
    for (int i = 0; i < 10; ++i) co_await yield_now();
    f.cancel();
    const std::string end = co_await tutti_test::end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
  });
}

TEST(coawait_traps, combinators_and_their_results) {
  balanced([]() -> task<> {
    auto [a, b] = co_await tutti::when_all(pass(counted(1)), pass(counted(2)));
    EXPECT_EQ(a.value() + b.value(), 3);
    const int first = std::get<0>(co_await tutti::when_all(pass(counted(3)), give(1))).value();
    EXPECT_EQ(first, 3);
    const auto any = co_await tutti::when_any(pass(counted(4)), tutti_test::sleep_for_ever());
    EXPECT_EQ(std::get<0>(any.value).value(), 4);
    const counted timed = co_await tutti::with_timeout(pass(counted(5)), 1h);
    EXPECT_EQ(timed.value(), 5);
    const counted shielded = co_await tutti::shield(pass(counted(6)));
    EXPECT_EQ(shielded.value(), 6);
    const int grouped = co_await tutti::task_group::run([&](tutti::task_group& g) -> task<int> {
      auto f = g.spawn(pass(counted(7)));
      const counted c = co_await std::move(f);
      co_return c.value();
    });
    EXPECT_EQ(grouped, 7);
    const auto retried = co_await tutti::retry([&] { return pass(counted(9)); }, {.attempts = 2, .first_delay = 1ms});
    EXPECT_EQ(retried.value(), 9);
  });
}

TEST(coawait_traps, futures_with_options_in_place) {
  tutti::thread_pool pool(1);
  balanced([&]() -> task<> {
    const counted c = co_await pool.with({.name = "in place", .retries = 0}).submit([&] { return pass(counted(1)); });
    EXPECT_EQ(c.value(), 1);
    const counted d = co_await pool.submit(pass(counted(2)));
    EXPECT_EQ(d.value(), 2);
    const counted e = co_await tutti::spawn(pass(counted(3)), {.name = "in place"});
    EXPECT_EQ(e.value(), 3);
  });
}

TEST(coawait_traps, generators) {
  struct numbers {
    static tutti::async_generator<counted> run(counted first) {
      co_yield counted(first.value());
      co_yield co_await pass(counted(first.value() + 1));
      const counted last(first.value() + 2);
      co_yield last;
    }
    static tutti::generator<counted> now(counted first) {
      co_yield counted(first.value());
      const counted last(first.value() + 1);
      co_yield last;
    }
  };
  balanced([]() -> task<> {
    int sum = 0;
    auto some = numbers::run(counted(1));
    while (const auto c = co_await some.next()) sum += c->value();
    EXPECT_EQ(sum, 1 + 2 + 3);
    auto left = numbers::run(counted(1));
    static_cast<void>(co_await left.next());
    for (const counted& c : numbers::now(counted(5))) sum += c.value();
    EXPECT_EQ(sum, 6 + 5 + 6);
  });
}

TEST(coawait_traps, long_texts_in_and_out) {
  const watchdog dog;
  auto body = []() -> task<> {
    const std::string long_text(100, 'x');
    std::string joined = co_await text_of(long_text) + co_await text_of(long_text + "y") + co_await text_of("z");
    EXPECT_EQ(joined.size(), 202U);
    joined = co_await text_of(co_await text_of(std::move(joined)));
    EXPECT_EQ(joined.size(), 202U);
    joined += co_await text_of(std::to_string(co_await give_later(7)));
    EXPECT_EQ(joined.back(), '7');
  };
  sync_wait(body());
}

// Lambdas that capture by value: named first, then all is well.
TEST(coawait_traps, lambdas_that_own_something) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  const auto held = std::make_shared<int>(5);
  auto body = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      auto f = pool.submit([held] { return *held; });
      const int n = co_await std::move(f);
      EXPECT_EQ(n, 5);
      auto coroutine = [held]() -> task<int> {
        co_await yield_now();
        co_return *held;
      };
      const int m = co_await coroutine();
      EXPECT_EQ(m, 5);
      auto g = pool.submit(coroutine);
      const int k = co_await std::move(g);
      EXPECT_EQ(k, 5);
    }
  };
  sync_wait(body());
  pool.shutdown();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
