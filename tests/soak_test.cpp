// soak: correct programs of many kinds under the deadlock watch, over and over: no alarm, nothing hangs, nothing is
// lost.
//
// Each runs for TUTTI_SOAK_SECONDS, half a second unless set; `make test-soak` takes a minute for all of them. The seed
// of every choice is printed, and TUTTI_SOAK_SEED sets it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/sync/sync.hpp>
#include <tutti/task/task.hpp>
#include <utility>
#include <vector>

namespace {

using tutti::task;

double number_from(const char* variable, double otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

class soak : public ::testing::Test {
 protected:
  soak() { std::printf("seed %u\n", seed); }
  ~soak() override { EXPECT_EQ(alarms, 0) << "lock orders or starvation were reported in a correct program"; }
  bool go_on() const { return std::chrono::steady_clock::now() < end; }
  std::mt19937 random(std::uint32_t i) const { return std::mt19937(seed + i); }

  const std::uint32_t seed = static_cast<std::uint32_t>(number_from("TUTTI_SOAK_SEED", std::random_device()()));
  const std::chrono::steady_clock::time_point end =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<int>(1000 * number_from("TUTTI_SOAK_SECONDS", 0.5)));
  std::atomic<int> alarms{0};
  tutti::watch watch{{.lock_order = true, .starvation = std::chrono::seconds(20)}, [this](std::string_view text) {
                       ++alarms;
                       std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
                     }};
  tutti::thread_pool pool{4};
};

TEST_F(soak, philosophers_who_take_the_lower_fork_first) {
  constexpr std::size_t n = 5;
  std::array<tutti::mutex, n> forks;
  std::array<std::atomic<long>, n> meals{};
  const auto order = [](std::size_t i) { return std::pair(std::min(i, (i + 1) % n), std::max(i, (i + 1) % n)); };
  const auto dines = [&](std::size_t i) -> task<> {
    const auto [low, high] = order(i);
    while (go_on()) {
      const auto first = co_await forks[low].lock_async();
      const auto second = co_await forks[high].lock_async();
      ++meals[i];
      if (meals[i] % 16 == 0) co_await tutti::yield_now();
    }
  };
  std::vector<tutti::future<void>> coroutines;
  for (std::size_t i = 0; i < n; i += 2) coroutines.push_back(pool.submit(dines(i)));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < n; i += 2) {
      threads.emplace_back([&, i] {
        while (go_on()) {
          const tutti::guard both(forks[i], forks[(i + 1) % n]);
          ++meals[i];
        }
      });
    }
  }
  for (auto& one : coroutines) one.get();
  for (auto& count : meals) EXPECT_GT(count, 0);
}

TEST_F(soak, philosophers_with_a_waiter) {
  constexpr std::size_t n = 5;
  tutti::semaphore seats(n - 1, "seats");
  std::array<tutti::mutex, n> forks;
  long meals[n] = {};
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < n; ++i) {
      threads.emplace_back([&, i] {
        while (go_on()) {
          const auto seat = seats.acquire_permit();
          // Under a semaphore that keeps one away, any order will do; the order of the forks is still told to be one
          // that could bite, so both are taken as one.
          const tutti::guard both(forks[i], forks[(i + 1) % n]);
          ++meals[i];
        }
      });
    }
  }
  for (const long count : meals) EXPECT_GT(count, 0);
}

TEST_F(soak, eight_readers_and_two_writers) {
  for (const auto policy :
       {tutti::shared_policy::fair, tutti::shared_policy::prefer_readers, tutti::shared_policy::prefer_writers}) {
    tutti::shared_mutex lock(policy, "table");
    long first = 0, second = 0;
    std::atomic<long> reads{0};
    const auto until = std::chrono::steady_clock::now() + (end - std::chrono::steady_clock::now()) / 3;
    const auto busy = [&] { return std::chrono::steady_clock::now() < until || reads == 0; };
    const auto reader = [&]() -> task<> {
      while (busy()) {
        const auto shared = co_await lock.lock_shared_async();
        if (first != second) ADD_FAILURE() << "half a write was seen";
        if (++reads % 8 == 0) co_await tutti::yield_now();
      }
    };
    std::vector<tutti::future<void>> readers;
    for (int i = 0; i < 4; ++i) readers.push_back(pool.submit(reader()));
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (busy()) {
          const std::shared_lock shared(lock);
          if (first != second) ADD_FAILURE() << "half a write was seen";
          ++reads;
        }
      });
    }
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        while (busy()) {
          const std::lock_guard exclusive(lock);
          ++first;
          ++second;
        }
      });
    }
    for (auto& one : readers) one.get();
    threads.clear();
    EXPECT_EQ(first, second);
  }
}

// Requests and replies over channels with one end each: the usual false alarm of detectors that look at one moment too
// late or too early.
TEST_F(soak, requests_and_replies) {
  auto [ask, asked] = tutti::make_channel<std::uint64_t>(1, "requests");
  auto [answer, answered] = tutti::make_channel<std::uint64_t>(1, "replies");
  std::uint64_t rounds = 0;
  {
    std::jthread server([in = std::move(asked), out = std::move(answer)]() mutable {
      for (const std::uint64_t request : in) out.send(request + 1);
    });
    while (go_on()) {
      ask.send(rounds);
      ASSERT_EQ(answered.receive(), ++rounds);
    }
    ask.close();
  }
  EXPECT_GT(rounds, 0U);
}

TEST_F(soak, pipelines_of_threads_and_coroutines) {
  while (go_on()) {
    constexpr std::uint64_t n = 2000;
    auto choice = random(1);
    const auto capacity = [&] { return static_cast<std::ptrdiff_t>(choice() % 4); };
    auto [w1, r1] = tutti::make_channel<std::uint64_t>(capacity(), "first");
    auto [w2, r2] = tutti::make_channel<std::uint64_t>(capacity(), "second");
    auto [w3, r3] = tutti::make_channel<std::uint64_t>(capacity(), "third");
    const auto stage = [](tutti::reader<std::uint64_t> in, tutti::writer<std::uint64_t> out) -> task<> {
      while (auto x = co_await in.next_async()) {
        const std::uint64_t twice = *x * 2;
        co_await out.send_async(twice);
      }
    };
    std::jthread source([out = std::move(w1)]() mutable {
      for (std::uint64_t i = 0; i < n; ++i) out.send(i);
    });
    auto first = pool.submit(stage(std::move(r1), std::move(w2)));
    auto second = pool.submit(stage(std::move(r2), std::move(w3)));
    std::uint64_t sum = 0;
    for (const std::uint64_t x : r3) sum += x;
    first.get();
    second.get();
    ASSERT_EQ(sum, 4 * n * (n - 1) / 2);
  }
}

TEST_F(soak, pools_that_wait_for_each_other) {
  tutti::thread_pool other(2);
  tutti::mutex totals_lock("totals");
  long totals = 0;
  long expected = 0;
  const std::function<long(int)> fan = [&](int depth) -> long {
    if (depth == 0) {
      const std::lock_guard held(totals_lock);
      ++totals;
      return 1;
    }
    tutti::thread_pool& there = depth % 2 == 0 ? pool : other;
    auto left = there.submit([&, depth] { return fan(depth - 1); });
    auto right = there.submit([&, depth] { return fan(depth - 1); });
    return left.get() + right.get();
  };
  while (go_on()) {
    ASSERT_EQ(fan(6), 64);
    expected += 64;
  }
  EXPECT_EQ(totals, expected);
}

TEST_F(soak, permits_taken_and_given_back_in_turns) {
  tutti::semaphore permits(2, "connections");
  tutti::mutex log("log");
  std::atomic<long> uses{0};
  const auto user = [&](std::uint32_t i) -> task<> {
    auto choice = random(i);
    while (go_on()) {
      const auto permit = co_await permits.acquire_permit_async();
      if (choice() % 2 == 0) co_await tutti::yield_now();
      const auto held = co_await log.lock_async();
      ++uses;
    }
  };
  std::vector<tutti::future<void>> users;
  for (std::uint32_t i = 0; i < 6; ++i) users.push_back(pool.submit(user(i)));
  for (auto& one : users) one.get();
  EXPECT_GT(uses, 0);
}

TEST_F(soak, groups_that_share_a_lock) {
  tutti::mutex lock("family");
  long done = 0;
  const auto child = [&]() -> task<> {
    const auto held = co_await lock.lock_async();
    ++done;
  };
  const auto parent = [&]() -> task<> {
    while (go_on()) {
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        for (int i = 0; i < 8; ++i) group.spawn(child());
        co_return;
      });
    }
  };
  std::vector<tutti::future<void>> parents;
  for (int i = 0; i < 3; ++i) parents.push_back(pool.submit(parent()));
  for (auto& one : parents) one.get();
  EXPECT_EQ(done % 8, 0);
}

}  // namespace
