// Everything at once, from several threads, for a short while, with a checksum. The seed is printed; TUTTI_TEST_SEED
// repeats a run's choices (the schedule is the machine's).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using tutti::future;
using tutti::promise;
using tutti::thread_pool;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int rounds = 150;
#else
constexpr int rounds = 1500;
#endif

std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const char* given = std::getenv("TUTTI_TEST_SEED");  // NOLINT(concurrency-mt-unsafe)
    const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("TUTTI_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return chosen;
}

using generator = std::minstd_rand;

// The answer is n, whatever way it is computed.
std::int64_t compute(thread_pool& pool, generator& random, std::int64_t n, int depth) {
  if (n <= 1 || depth == 0) return n;
  const std::int64_t left = static_cast<std::int64_t>(random() % static_cast<unsigned>(n)) + 0, right = n - left;
  const auto below = [&pool, depth, salt = random()](std::int64_t part) {
    generator own(static_cast<generator::result_type>(salt + static_cast<std::uint64_t>(part) + 1));
    return compute(pool, own, part, depth - 1);
  };
  switch (random() % 10) {
    case 0: {
      auto f = pool.submit([=] { return below(left); });
      const std::int64_t mine = below(right);
      return mine + f.get();
    }
    case 1: {
      auto [a, b] = tutti::fork_join([&] { return below(left); }, [&] { return below(right); });
      return a + b;
    }
    case 2: {
      const std::vector<std::int64_t> parts{left, right};
      std::int64_t sum = 0;
      for (const std::int64_t part : pool.map(parts, below, {.chunk = 1})) sum += part;
      return sum;
    }
    case 3: {
      const std::vector<std::int64_t> parts{left, right};
      std::int64_t sum = 0;
      for (const auto& part : pool.map_unordered(parts, below, {.chunk = 1})) sum += part.value;
      return sum;
    }
    case 4: {
      const std::vector<std::int64_t> parts{left, right};
      const auto all = pool.submit_bulk(parts, below, {.chunk = 1}).get();
      return std::accumulate(all.begin(), all.end(), std::int64_t{0});
    }
    case 5:
      return pool.submit([=] { return below(left); }).then([=](std::int64_t a) { return a + below(right); }).get();
    case 6: {  // cancelled or not, each part is counted once
      auto f = pool.submit([=] { return below(left); });
      const bool cancelled = f.cancel();
      std::int64_t a = cancelled ? left : 0;
      try {
        a += f.get();
      } catch (const tutti::cancelled&) {
        if (!cancelled) return -1'000'000;
      }
      return a + below(right);
    }
    case 7: {
      promise<std::int64_t> p;
      auto f = p.get_future();
      pool.with({.priority = static_cast<int>(random() % 3) - 1}).post([below, left, p = std::move(p)]() mutable {
        p.set_value(below(left));
      });
      return below(right) + f.get();
    }
    case 8: {
      std::vector<future<std::int64_t>> parts;
      parts.push_back(pool.submit([=] { return below(left); }));
      parts.push_back(pool.with({.priority = 1}).submit([=] { return below(right); }));
      std::int64_t sum = 0;
      for (auto& part : tutti::as_completed(parts)) sum += part.get();
      return sum;
    }
    default: {
      // The result travels beside the exception: ThreadSanitizer cannot see how libstdc++ counts references to those.
      auto result = std::make_shared<std::int64_t>(0);
      auto failing = pool.submit([=] { *result = below(left), throw std::runtime_error("on purpose"); });
      try {
        failing.get();
        return -1'000'000;
      } catch (const std::runtime_error&) {
        return *result + below(right);
      }
    }
  }
}

class stress_all : public testing::TestWithParam<int> {};

TEST_P(stress_all, every_way_to_compute_agrees) {
  thread_pool pool{GetParam()};
  std::vector<std::jthread> drivers;
  for (unsigned driver = 0; driver < 3; ++driver) {
    drivers.emplace_back([&pool, driver] {
      generator random(static_cast<generator::result_type>(seed() + driver + 1));
      for (int round = 0; round < rounds / 3; ++round) {
        const auto n = static_cast<std::int64_t>(random() % 50);
        // From outside, or from a task.
        if (random() % 2 == 0) {
          ASSERT_EQ(compute(pool, random, n, 5), n);
        } else {
          const auto salt = random();
          ASSERT_EQ(pool.submit([&pool, n, salt] {
                          generator own(static_cast<generator::result_type>(salt));
                          return compute(pool, own, n, 6);
                        })
                        .get(),
                    n);
        }
      }
    });
  }
  drivers.clear();
}
INSTANTIATE_TEST_SUITE_P(threads, stress_all, testing::Values(1, 2, 4));

TEST(stress, pools_come_and_go_under_load) {
  generator random(static_cast<generator::result_type>(seed() + 17));
  for (int round = 0; round < rounds / 10; ++round) {
    auto pool = std::make_unique<thread_pool>(1 + static_cast<int>(random() % 4));
    std::atomic<int> accepted{0}, ended{0}, settled{0};
    std::vector<std::jthread> users;
    for (int user = 0; user < 2; ++user) {
      users.emplace_back([&, salt = random()] {
        generator own(static_cast<generator::result_type>(salt));
        std::vector<future<void>> futures;
        try {
          for (int i = 0; i < 20'000; ++i) {  // or until the pool is closed
            futures.push_back(pool->submit([&, nested = own() % 4 == 0] {
              if (nested) pool->submit([] {}).get();
              ++ended;
            }));
            ++accepted;
            if (own() % 5 == 0) futures.back().cancel();
          }
        } catch (const tutti::closed&) {
        }
        for (auto& f : futures) {
          f.wait();
          ++settled;
          f.on_done([](const std::exception_ptr&) {});  // seen
        }
      });
    }
    while (accepted < 50) std::this_thread::yield();
    pool->shutdown(random() % 2 == 0 ? tutti::finish : tutti::cancel);
    users.clear();
    EXPECT_EQ(settled, accepted);
    EXPECT_LE(ended, accepted);
  }
}

TEST(stress, cancels_tokens_and_continuations_race) {
  generator random(static_cast<generator::result_type>(seed() + 33));
  std::atomic<int> ran{0};
  thread_pool pool{3};
  int ends = 0;
  for (int round = 0; round < rounds; ++round) {
    std::stop_source source;
    const std::stop_token token = source.get_token();
    std::vector<future<int>> futures;
    const auto count = static_cast<int>(random() % 8) + 1;
    for (int i = 0; i < count; ++i) {
      auto f = pool.with({.priority = i % 2, .stop = token}).submit([&] { return ++ran, 1; });
      if (random() % 2 == 0) f = f.then([&](int n) { return ++ran, n; });
      if (random() % 3 == 0) f = f.then([](future<int> g) { return g.valid() ? 1 : 0; });
      futures.push_back(std::move(f));
    }
    std::jthread stopper;
    if (random() % 4 == 0) stopper = std::jthread([&] { source.request_stop(); });
    if (random() % 2 == 0) futures[random() % futures.size()].cancel();
    for (auto& f : futures) {
      try {
        EXPECT_EQ(f.get(), 1);
        ++ends;
      } catch (const tutti::cancelled&) {
        ++ends;
      }
    }
    ends -= count;
  }
  EXPECT_EQ(ends, 0);
}

TEST(stress, promises_set_cancelled_awaited_and_dropped_at_once) {
  const tutti_test::unhandled_counter counter;
  generator random(static_cast<generator::result_type>(seed() + 51));
  {
    thread_pool pool{3};
    for (int round = 0; round < 4 * rounds; ++round) {
      auto p = std::make_shared<promise<int>>();
      const auto shared = p->get_future().share();
      std::atomic<int> heard{0};
      auto reader = pool.submit([shared, &heard] {
        ++heard;
        try {
          return shared.get();
        } catch (const tutti::error&) {  // broken or cancelled
          return 7;
        }
      });
      const auto how = random() % 3;
      pool.post([p = std::move(p), how]() mutable {
        if (how != 0) p->set_value(7);
        p.reset();
      });
      if (how == 2) shared.cancel();
      ASSERT_EQ(reader.get(), 7);
      ASSERT_EQ(heard, 1);
    }
  }
  EXPECT_EQ(counter.all(), 0);
}

}  // namespace
