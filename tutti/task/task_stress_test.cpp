// Spawns, stops, timeouts and errors at random, for a short while, with a checksum. The seed is printed;
// TUTTI_TEST_SEED repeats a run's choices (the schedule is the machine's).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of_future;
using tutti_test::living;
using tutti_test::watchdog;

constexpr int rounds = tutti_test::sanitized ? 150 : 1500;

std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const char* given = std::getenv("TUTTI_TEST_SEED");  // NOLINT(concurrency-mt-unsafe)
    const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("TUTTI_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return chosen;
}

class choices {
 public:
  explicit choices(std::uint64_t salt) : engine_(static_cast<std::minstd_rand::result_type>(seed() + salt)) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return below(n) == 0; }
  std::uint64_t salt() { return engine_(); }

 private:
  std::minstd_rand engine_;
};

struct world {
  thread_pool& pool;
  thread_pool& other;
  std::atomic<int>& alive;
};

tutti::async_generator<int> parts_of(const std::vector<int>& parts) {
  for (const int part : parts) {
    co_await yield_now();
    co_yield part;
  }
}

// The answer is n, whatever way it is computed.
task<int> compute(world w, std::uint64_t salt, int n, int depth) {
  const living me(w.alive);
  choices random(salt);
  switch (random.below(4)) {
    case 0: co_await yield_now(); break;
    case 1: co_await tutti::sleep_for(random.below(20) * 1us); break;
    default: break;
  }
  if (n <= 1 || depth == 0) co_return n;
  const int left = random.below(n), right = n - left;
  const std::uint64_t s1 = random.salt(), s2 = random.salt();
  const auto below = [&](std::uint64_t s, int part) { return compute(w, s, part, depth - 1); };
  switch (random.below(16)) {
    case 0: {
      const int a = co_await below(s1, left);
      co_return a + co_await below(s2, right);
    }
    case 1: {
      auto f = spawn(below(s1, left), {.name = "left"});
      const int b = co_await below(s2, right);
      co_return b + co_await std::move(f);
    }
    case 2: {
      const auto both = co_await tutti::when_all(below(s1, left), below(s2, right));
      co_return std::get<0>(both) + std::get<1>(both);
    }
    case 3: {
      std::vector<task<int>> all;
      all.push_back(below(s1, left));
      all.push_back(below(s2, right));
      const std::vector<int> results = co_await tutti::when_all(std::move(all));
      co_return std::accumulate(results.begin(), results.end(), 0);
    }
    case 4: {  // two ways to the same answer
      const auto first = co_await tutti::when_any(below(s1, n), below(s2, n), tutti_test::live_for_ever(w.alive));
      if (first.index == 2) co_return -1'000'000;
      co_return first.index == 0 ? std::get<0>(first.value) : std::get<1>(first.value);
    }
    case 5: {
      int sum = 0;
      co_await tutti::task_group::run([&](tutti::task_group& g) -> task<> {
        auto a = g.spawn(below(s1, left));
        auto b = g.spawn([&] { return below(s2, right); });
        sum += co_await std::move(a);
        sum += co_await std::move(b);
      });
      co_return sum;
    }
    case 6: {  // the limit may come first
      bool late = false;
      int a = 0;
      try {
        a = co_await tutti::with_timeout(below(s1, left), random.below(100) * 1us);
      } catch (const tutti::timed_out&) {
        late = true;
      }
      if (late) a = left;
      co_return a + co_await tutti::with_timeout(below(s2, right), 1h);
    }
    case 7: {
      const int a = co_await tutti::shield(below(s1, left));
      co_return a + co_await below(s2, right);
    }
    case 8: {
      int tries = 0;
      const auto try_it = [&]() -> task<int> {
        if (++tries < 3) throw tutti::retryable("on purpose");
        co_return co_await below(s1, n);
      };
      co_return co_await tutti::retry(try_it, {.attempts = 3, .first_delay = 1us, .max_delay = 5us});
    }
    case 9: {
      const std::vector<int> parts{left, right};
      std::atomic<int> sum{0};
      co_await tutti::for_each_async(parts, 2, [&](int part) -> task<> {
        const int got = co_await below(s1 + static_cast<std::uint64_t>(part), part);
        sum += got;
      });
      co_return sum.load();
    }
    case 10: {
      const std::vector<int> parts{left, right};
      int sum = 0;
      auto numbers = parts_of(parts);
      while (const auto part = co_await numbers.next()) {
        sum += co_await below(s1, *part);
      }
      co_return sum;
    }
    case 11: {
      co_await tutti::resume_on(random.one_in(2) ? w.pool : w.other);
      co_return co_await below(s1, n);
    }
    case 12: {  // cancelled or not, the part is counted once
      auto f = w.other.submit(below(s1, left));
      f.cancel();
      int a = left;
      bool stopped = false;
      try {
        a = co_await std::move(f);
      } catch (const tutti::cancelled&) {
        stopped = true;
      }
      if (stopped && tutti::this_task::stop_requested()) throw tutti::cancelled("passed on");
      co_return a + co_await below(s2, right);
    }
    case 13: {
      auto f = w.pool.submit([a = left] { return a; });
      const int a = co_await std::move(f);
      co_return a + co_await below(s2, right);
    }
    case 14: {  // an error from one side, then alone
      bool failed = false;
      const auto failing = [&]() -> task<int> {
        static_cast<void>(co_await below(s1, left));
        throw std::runtime_error("on purpose");
      };
      try {
        static_cast<void>(co_await tutti::when_all(failing(), tutti_test::live_for_ever(w.alive)));
      } catch (const std::runtime_error&) {
        failed = true;
      }
      if (!failed) co_return -1'000'000;
      co_return co_await below(s2, n);
    }
    default: {
      auto shared = spawn(below(s1, left)).share();
      const int a = co_await shared;
      co_return a + co_await below(s2, right);
    }
  }
}

class task_stress : public testing::TestWithParam<int> {};

TEST_P(task_stress, every_way_to_compute_agrees) {
  const watchdog dog;
  std::atomic<int> alive{0};
  {
    thread_pool pool(GetParam()), other(2);
    std::vector<std::jthread> drivers;
    for (unsigned driver = 0; driver < 3; ++driver) {
      drivers.emplace_back([&, driver] {
        choices random(driver);
        const world w{pool, other, alive};
        for (int round = 0; round < rounds / 3; ++round) {
          const int n = random.below(50);
          if (random.one_in(2)) {
            ASSERT_EQ(sync_wait(compute(w, random.salt(), n, 5)), n);
          } else {
            ASSERT_EQ(pool.submit(compute(w, random.salt(), n, 5)).get(), n);
          }
        }
      });
    }
  }
  EXPECT_EQ(alive, 0);
}

// How a future ended; only the right value counts as one.
std::string end_with(future<int> f, int value) {
  try {
    const int given = f.get();
    return given == value ? "value" : "wrong value " + std::to_string(given);
  } catch (...) {
    return tutti_test::kind_of(std::current_exception());
  }
}

TEST_P(task_stress, stopped_at_any_moment) {
  const watchdog dog;
  std::atomic<int> alive{0};
  int values = 0, stops = 0;
  {
    thread_pool pool(GetParam()), other(2);
    const world w{pool, other, alive};
    choices random(100);
    for (int round = 0; round < rounds / 5; ++round) {
      std::vector<future<int>> all;
      const int n = random.below(50);
      for (int i = 0; i < 10; ++i) {
        if (random.one_in(3)) {
          all.push_back(pool.with({.timeout = random.below(300) * 1us}).submit(compute(w, random.salt(), n, 4)));
        } else {
          all.push_back(pool.submit(compute(w, random.salt(), n, 4)));
        }
      }
      for (auto& f : all) {
        for (int i = random.below(4); i > 0; --i) std::this_thread::yield();
        if (random.one_in(2)) f.cancel();
      }
      for (auto& f : all) {
        const std::string end = end_with(std::move(f), n);
        ASSERT_TRUE(end == "value" || end == "cancelled" || end == "timed_out") << end;
        end == "value" ? ++values : ++stops;
      }
    }
  }
  EXPECT_EQ(alive, 0);
  EXPECT_GT(values, 0);
  EXPECT_GT(stops, 0);
}

TEST_P(task_stress, pools_that_end_at_any_moment) {
  const watchdog dog;
  choices random(200);
  for (int round = 0; round < rounds / 10; ++round) {
    std::atomic<int> alive{0};
    std::vector<future<int>> all;
    thread_pool other(1);
    const int n = random.below(30);
    std::optional<thread_pool> pool(std::in_place, GetParam());
    const world w{*pool, other, alive};
    for (int i = 0; i < 10; ++i) all.push_back(pool->submit(compute(w, random.salt(), n, 4)));
    for (int i = random.below(10); i > 0; --i) std::this_thread::yield();
    pool->shutdown(random.one_in(2) ? tutti::finish : tutti::cancel);
    other.shutdown();  // where some of them went
    pool.reset();
    for (auto& f : all) ASSERT_TRUE(f.done());
    for (auto& f : all) {
      const std::string end = end_with(std::move(f), n);
      ASSERT_TRUE(end == "value" || end == "cancelled" || end == "closed") << end;
    }
    ASSERT_EQ(alive, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(threads, task_stress, testing::Values(1, 2, 4));

// Virtual time: thousands of tasks with limits and stops of their own; each end comes at the moment it must.
TEST(task_stress_in_time, every_end_at_its_moment) {
  const watchdog dog;
  const tutti_test::unhandled_counter counter;
  tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const auto start = clock.now();
  std::atomic<int> alive{0};
  thread_pool pool(2);
  struct plan {
    int sleep, limit, stop;  // in milliseconds
  };
  const auto one = [&](int sleep) -> task<int> {
    const living me(alive);
    co_await tutti::sleep_for(sleep * 1ms);
    co_return sleep;
  };
  const auto limited = [&](plan p) -> task<std::string> {
    std::string end = co_await tutti_test::end_of([&] { return tutti::with_timeout(one(p.sleep), p.limit * 1ms); });
    co_return end + " " + std::to_string((clock.now() - start) / 1ms);
  };
  const auto check = [&](plan p) -> task<> {
    auto f = pool.submit(limited(p));
    co_await tutti::sleep_for(p.stop * 1ms);
    f.cancel();
    const std::string end = co_await std::move(f);
    const int at = std::min({p.sleep, p.limit, p.stop});
    const std::string expected = (at == p.stop    ? "cancelled "
                                  : at == p.limit ? "timed_out "
                                                  : "value ") +
                                 std::to_string(at);
    EXPECT_EQ(end, expected) << p.sleep << ' ' << p.limit << ' ' << p.stop;
  };
  auto body = [&]() -> task<> {
    choices random(300);
    std::vector<task<>> all;
    for (int i = 0; i < (tutti_test::sanitized ? 500 : 5000); ++i) {
      plan p{3 * random.below(1000) + 1, 3 * random.below(1000) + 2, 3 * random.below(1000) + 3};  // never equal
      all.push_back(check(p));
    }
    co_await tutti::when_all(std::move(all));
  };
  sync_wait(body());
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(counter.all(), 0);
}

}  // namespace
