// retry: again after an error, later each time, never after a cancel.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using tutti::retry;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::end_of;

static_assert(std::is_trivially_destructible_v<tutti::retry_options>);

class retrying : public tutti_test::virtual_time {
 protected:
  int tries = 0;
  std::vector<nanoseconds> when;

  // Fails until the n-th try, which gives n.
  auto succeeds_at(int n) {
    return [this, n]() -> task<int> {
      when.push_back(passed());
      ++tries;
      co_await yield_now();
      if (tries < n) throw tutti::retryable("try " + std::to_string(tries));
      co_return tries;
    };
  }
};

TEST_F(retrying, not_when_it_works) {
  const auto works = succeeds_at(1);
  auto body = [&]() -> task<int> { co_return co_await retry(works, tutti::retry_options{}); };
  EXPECT_EQ(sync_wait(body()), 1);
  EXPECT_EQ(passed(), 0s);
  EXPECT_EQ(tries, 1);
}

TEST_F(retrying, waits_longer_each_time) {
  const auto works = succeeds_at(5);
  auto body = [&]() -> task<int> {
    co_return co_await retry(works, {.attempts = 5, .first_delay = 100ms, .factor = 2, .max_delay = 30s, .jitter = 0});
  };
  EXPECT_EQ(sync_wait(body()), 5);
  EXPECT_EQ(when, (std::vector<nanoseconds>{0ms, 100ms, 300ms, 700ms, 1500ms}));
}

TEST_F(retrying, but_not_longer_than_allowed) {
  const auto works = succeeds_at(200);
  auto body = [&]() -> task<int> {
    co_return co_await retry(works, {.attempts = 200, .first_delay = 1s, .factor = 10, .max_delay = 30s, .jitter = 0});
  };
  EXPECT_EQ(sync_wait(body()), 200);
  EXPECT_EQ(passed(), 1s + 10s + 197 * 30s) << "the growth did not wrap around";
}

TEST_F(retrying, throws_the_last_error) {
  const tutti_test::unhandled_counter counter;
  const auto fails = succeeds_at(100);
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] { return retry(fails, {.attempts = 3, .first_delay = 1s, .jitter = 0}); });
  };
  EXPECT_EQ(sync_wait(body()), "try 3");
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(passed(), 3s) << "and waits no longer once it has given up";
  EXPECT_EQ(counter.all(), 0);
}

TEST_F(retrying, one_attempt_is_one_attempt) {
  const auto fails = succeeds_at(100);
  auto body = [&]() -> task<std::string> { co_return co_await end_of([&] { return retry(fails, {.attempts = 1}); }); };
  EXPECT_EQ(sync_wait(body()), "try 1");
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(passed(), 0s);
}

TEST_F(retrying, less_than_one_is_an_error) {
  for (const int attempts : {0, -1}) {
    const auto works = succeeds_at(1);
    auto body = [&]() -> task<std::string> {
      co_return co_await end_of([&] { return retry(works, {.attempts = attempts}); });
    };
    EXPECT_EQ(sync_wait(body()), "invalid_argument");
  }
  EXPECT_EQ(tries, 0);
}

TEST_F(retrying, spreads_its_delays) {
  std::set<nanoseconds> delays;
  for (int i = 0; i < 30; ++i) {
    when.clear();
    tries = 0;
    const auto works = succeeds_at(2);
    auto body = [&]() -> task<int> {
      co_return co_await retry(works, {.attempts = 2, .first_delay = 1s, .jitter = 0.5});
    };
    EXPECT_EQ(sync_wait(body()), 2);
    const nanoseconds delay = when[1] - when[0];
    EXPECT_GE(delay, 500ms);
    EXPECT_LE(delay, 1500ms);
    delays.insert(delay);
  }
  EXPECT_GT(delays.size(), 10U);
}

TEST_F(retrying, never_after_a_cancel) {
  const auto gives_up = [this]() -> task<> {
    ++tries;
    co_await yield_now();
    throw tutti::cancelled("gives up");
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] { return retry(gives_up, {.attempts = 5}); });
  };
  EXPECT_EQ(sync_wait(body()), "cancelled");
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(passed(), 0s);
}

TEST_F(retrying, is_stopped_between_tries) {
  const auto fails = succeeds_at(100);
  auto trying = [&]() -> task<> {
    static_cast<void>(co_await retry(fails, {.attempts = 100, .first_delay = 10s, .factor = 1, .jitter = 0}));
  };
  auto body = [&]() -> task<> {
    auto f = spawn(trying());
    co_await tutti::sleep_for(25s);
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
  };
  sync_wait(body());
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(passed(), 25s);
}

// An error that comes while the task is stopped is no reason to try again.
TEST_F(retrying, not_once_stopped) {
  const auto fails_when_stopped = [this]() -> task<> {
    ++tries;
    static_cast<void>(co_await end_of(tutti_test::sleep_for_ever));
    throw tutti::retryable("the connection is gone");
  };
  auto trying = [&]() -> task<> { co_await retry(fails_when_stopped, {.attempts = 5}); };
  auto body = [&]() -> task<> {
    auto f = spawn(trying());
    co_await tutti::sleep_for(1s);
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_TRUE(end == "cancelled" || end == "the connection is gone") << end;
  };
  sync_wait(body());
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(passed(), 1s);
}

TEST_F(retrying, where_it_is_told_to) {
  const auto fails = [this]() -> task<> {
    if (++tries < 3) throw std::runtime_error("transient");
    throw std::domain_error("for good");
    co_return;
  };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] {
      return retry(fails, {.attempts = 10, .retry_if = [](const std::exception_ptr& error) noexcept {
                             return tutti_test::kind_of(error) == "transient";
                           }});
    });
  };
  EXPECT_EQ(sync_wait(body()), "logic_error");  // the domain_error
  EXPECT_EQ(tries, 3);
}

TEST_F(retrying, results_that_only_move_and_none_at_all) {
  const auto owned = [this]() -> task<std::unique_ptr<int>> {
    if (++tries < 2) throw tutti::retryable("again");
    co_return std::make_unique<int>(9);
  };
  const auto none = [this]() -> task<> {
    if (++tries < 2) throw tutti::retryable("again");
    co_return;
  };
  auto body = [&]() -> task<> {
    const auto p = co_await retry(owned, tutti::retry_options{});
    EXPECT_EQ(*p, 9);
    tries = 0;
    co_await retry(none, tutti::retry_options{});
    EXPECT_EQ(tries, 2);
  };
  sync_wait(body());
}

TEST_F(retrying, keeps_what_it_calls) {
  auto make = [] {
    const auto text = std::make_shared<std::string>(100, 'z');
    int n = 0;
    return retry(
        [text, n]() mutable -> task<std::size_t> {
          co_await yield_now();
          if (++n < 3) throw tutti::retryable("again");
          co_return text->size();
        },
        {});
  };
  EXPECT_EQ(sync_wait(make()), 100U);
}

TEST_F(retrying, with_a_limit_for_each_try_and_for_all) {
  const auto hangs = [this]() -> task<> {
    ++tries;
    co_await tutti::with_timeout(tutti_test::sleep_for_ever(), 1s);
  };
  auto body = [&]() -> task<> {
    const std::string each = co_await end_of([&] {
      return retry(hangs, {.attempts = 3, .first_delay = 1s, .factor = 1, .jitter = 0, .retry_if = tutti::any_error});
    });
    EXPECT_EQ(each, "timed_out");
    EXPECT_EQ(tries, 3);
    EXPECT_EQ(passed(), 5s);
    const std::string all = co_await end_of([&] {
      return tutti::with_timeout(
          retry(hangs, {.attempts = 1000, .first_delay = 1s, .factor = 1, .jitter = 0, .retry_if = tutti::any_error}),
          4500ms);
    });
    EXPECT_EQ(all, "timed_out");
    EXPECT_EQ(tries, 6);
    EXPECT_EQ(passed(), 9500ms);
  };
  sync_wait(body());
}

TEST_F(retrying, what_fails_without_waiting_a_hundred_thousand_times) {
  const auto fails = [this]() -> task<int> {
    if (++tries < 100'000) throw tutti::retryable("again");
    co_return tries;
  };
  auto body = [&]() -> task<int> {
    co_return co_await retry(fails, {.attempts = 100'000, .first_delay = 0s, .jitter = 0});
  };
  EXPECT_EQ(sync_wait(body()), 100'000);
  EXPECT_EQ(passed(), 0s);
}

}  // namespace
