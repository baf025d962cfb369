#include <tutti/core/core.hpp>
#include <tutti/parallel/pipeline.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

// Counts up to below `n`.
auto numbers(int n) {
  return [n, i = 0]() mutable -> std::optional<int> { return i < n ? std::optional(i++) : std::nullopt; };
}

std::uint64_t some_work(std::uint64_t x, unsigned rounds) {
  for (unsigned i = 0; i < rounds; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  return x;
}

TEST(pipeline, keeps_the_order_where_it_is_asked_for) {
  tutti::inline_executor serial;
  tutti::thread_pool one(1), two(2), five(5);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&serial), static_cast<tutti::local_executor*>(&one),
        static_cast<tutti::local_executor*>(&two), static_cast<tutti::local_executor*>(&five)}) {
    for (const std::size_t tokens : {1u, 2u, 3u, 16u, 100u}) {
      std::vector<int> first, second;
      std::atomic<std::uint64_t> sink{0};
      tutti::pipeline(*pool, {.tokens = tokens}, numbers(2000), tutti::in_parallel([&](int i) {
        sink += some_work(static_cast<std::uint64_t>(i), static_cast<unsigned>(i * 7919 % 300));
        return i;
      }),
                      tutti::serial_in_order([&](int i) {
                        first.push_back(i);
                        return i;
                      }),
                      tutti::in_parallel([](int i) { return 2 * i; }),
                      tutti::serial_in_order([&](int i) { second.push_back(i); }));
      ASSERT_EQ(first.size(), 2000u);
      ASSERT_TRUE(std::ranges::is_sorted(first));
      ASSERT_EQ(second.size(), 2000u);
      for (int i = 0; i < 2000; ++i) ASSERT_EQ(second[static_cast<std::size_t>(i)], 2 * i);
    }
  }
}

// Who only looks on while items are short comes when one is not: the last two are in the stage at once, or hang.
TEST(pipeline, who_looks_on_comes_when_needed) {
  for (const int threads : {2, 4}) {
    tutti::thread_pool pool(threads);
    for (int round = 0; round < 20; ++round) {
      constexpr int quick = 1500;
      std::atomic<int> met{0};
      tutti::pipeline(pool, numbers(quick + 2), tutti::in_parallel([&](int i) {
                        if (i < quick) return i;
                        ++met;
                        while (met < 2) std::this_thread::yield();
                        return i;
                      }),
                      tutti::serial_in_order([](int) {}));
      EXPECT_EQ(met, 2);
    }
  }
}

TEST(pipeline, who_looks_on_hears_of_the_end) {
  tutti::thread_pool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::stop_source stop;
    auto at_1500 = [&](auto act) {
      return tutti::serial_in_order([act](int i) {
        if (i == 1500) act();
      });
    };
    EXPECT_THROW(tutti::pipeline(pool, numbers(100'000), at_1500([] { throw std::runtime_error("no more"); })),
                 std::runtime_error);
    EXPECT_THROW(
        tutti::pipeline(pool, {.stop = stop.get_token()}, numbers(100'000), at_1500([&] { stop.request_stop(); })),
        tutti::cancelled);
  }
}

// What was forked around a pipeline is given away while it goes on: both branches are there at once, or hang.
TEST(pipeline, who_looks_on_still_shares_what_is_around_it) {
  for (int round = 0; round < 20; ++round) {
    tutti::thread_pool pool(4);
    std::atomic<int> met{0};
    const auto branch = [&] {
      ++met;
      int i = 0;
      tutti::pipeline([&] { return met < 2 ? std::optional(i++ % 1000) : std::nullopt; },
                      tutti::in_parallel([](int x) { return x; }), tutti::serial_in_order([](int) {}));
    };
    pool.submit([&] { tutti::fork_join(branch, branch); }).get();
    EXPECT_EQ(met, 2);
  }
}

TEST(pipeline, serial_stages_have_one_item_at_a_time) {
  tutti::thread_pool pool(4);
  int inside = 0, seen = 0;  // no atomics: the stage is the lock
  std::vector<int> all;
  tutti::pipeline(pool, {.tokens = 8}, numbers(20'000), tutti::serial_out_of_order([&](int i) {
                    EXPECT_EQ(++inside, 1);
                    ++seen;
                    --inside;
                    return std::to_string(i);
                  }),
                  tutti::in_parallel([](const std::string& text) { return text.size(); }),
                  tutti::serial_out_of_order([&](std::size_t n) { all.push_back(static_cast<int>(n)); }));
  EXPECT_EQ(seen, 20'000);
  EXPECT_EQ(std::accumulate(all.begin(), all.end(), 0), 10 + 90 * 2 + 900 * 3 + 9000 * 4 + 10'000 * 5);
}

TEST(pipeline, no_more_items_than_tokens_are_underway) {
  std::atomic<int> underway{0}, most{0};
  tutti::thread_pool pool(4);
  int read = 0;
  tutti::pipeline(
      pool, {.tokens = 3},
      [&]() -> std::optional<int> {
        if (read == 5000) return std::nullopt;
        const int now = ++underway;
        most = std::max(most.load(), now);
        return read++;
      },
      tutti::in_parallel([](int i) { return i; }), tutti::serial_out_of_order([&](int) { --underway; }));
  EXPECT_LE(most, 3);
  EXPECT_EQ(underway, 0);
}

TEST(pipeline, a_parallel_stage_is_shared_with_idle_workers) {
  std::atomic<int> inside{0};
  tutti::thread_pool pool(2);
  tutti::pipeline(pool, numbers(2), tutti::in_parallel([&](int) {
                    ++inside;
                    while (inside < 2) std::this_thread::yield();
                  }));
  EXPECT_EQ(inside, 2);
}

TEST(pipeline, items_may_only_move) {
  int i = 0, sum = 0;
  tutti::pipeline(
      {}, [&] { return i < 100 ? std::optional(std::make_unique<int>(i++)) : std::nullopt; },
      tutti::in_parallel([](std::unique_ptr<int> p) { return p; }),
      tutti::serial_in_order([&](std::unique_ptr<int>&& p) { sum += *p; }));
  EXPECT_EQ(sum, 4950);
}

TEST(pipeline, empty_streams_single_items_and_no_stages) {
  int calls = 0;
  const auto count = tutti::serial_in_order([&](int) { ++calls; });
  tutti::pipeline({}, numbers(0), count);
  EXPECT_EQ(calls, 0);
  tutti::pipeline(numbers(1), count);
  EXPECT_EQ(calls, 1);
  int read = 0;
  tutti::pipeline({.tokens = 2}, [&] { return ++read < 10 ? std::optional(read) : std::nullopt; });
  EXPECT_EQ(read, 10);
}

TEST(pipeline, a_stage_may_return_a_part_of_its_item) {
  std::vector<std::string> got;
  int i = 0;
  tutti::pipeline(
      {}, [&] { return i < 100 ? std::optional(std::string(50, static_cast<char>('a' + i++ % 26))) : std::nullopt; },
      tutti::in_parallel(std::identity()), tutti::serial_in_order([&](std::string s) { got.push_back(std::move(s)); }));
  for (std::size_t k = 0; k < got.size(); ++k) EXPECT_EQ(got[k], std::string(50, static_cast<char>('a' + k % 26)));
  EXPECT_EQ(got.size(), 100u);
}

TEST(pipeline, slow_stages_need_no_spare_threads) {
  tutti::thread_pool pool(4);
  tutti::pipeline(pool, {.tokens = 8}, numbers(60), tutti::in_parallel([](int i) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // work that takes long
                    return i;
                  }),
                  tutti::serial_in_order([](int) {}));
  EXPECT_LT(pool.stats().spare_threads, 30u);  // not one for each item
}

TEST(pipeline, needs_a_token) { EXPECT_THROW(tutti::pipeline({.tokens = 0}, numbers(1)), std::invalid_argument); }

TEST(pipeline, exceptions_of_any_stage_arrive_and_nothing_leaks) {
  tutti::thread_pool pool(3);
  for (int stage = 0; stage < 4; ++stage) {
    int i = 0;
    const auto fail = [&](int where, int item) {
      if (where == stage && item == 500) throw std::domain_error("500");
    };
    EXPECT_THROW(tutti::pipeline(
                     pool, {.tokens = 8},
                     [&]() -> std::optional<std::shared_ptr<int>> {
                       fail(0, i);
                       return std::make_shared<int>(i++);
                     },
                     tutti::in_parallel([&](std::shared_ptr<int> p) {
                       fail(1, *p);
                       return p;
                     }),
                     tutti::serial_in_order([&](std::shared_ptr<int> p) {
                       fail(2, *p);
                       return p;
                     }),
                     tutti::serial_out_of_order([&](const std::shared_ptr<int>& p) { fail(3, *p); })),
                 std::domain_error);
  }
}

TEST(pipeline, can_be_stopped) {
  tutti::thread_pool pool(3);
  std::stop_source stop;
  int read = 0;
  EXPECT_THROW(tutti::pipeline(
                   pool, {.tokens = 4, .stop = stop.get_token()},
                   [&]() -> std::optional<int> {
                     if (++read == 100) stop.request_stop();
                     return read;  // for ever
                   },
                   tutti::in_parallel([](int) {})),
               tutti::cancelled);
}

TEST(pipeline, no_stage_begins_after_a_stop) {
  std::stop_source stop;
  int read = 0, later = 0;
  EXPECT_THROW(tutti::pipeline(
                   {.tokens = 4, .stop = stop.get_token()}, [&] { return std::optional(read++); },
                   tutti::serial_in_order([&](int i) {
                     if (i == 10) stop.request_stop();
                     return i;
                   }),
                   tutti::serial_in_order([&](int) { ++later; })),
               tutti::cancelled);
  EXPECT_LE(later, 10);
}

// A stream that ends with the request, when all items have gone through, has left nothing out.
TEST(pipeline, stopped_by_its_source_at_the_end) {
  tutti::inline_executor serial;
  std::stop_source stop;
  int read = 0, seen = 0;
  tutti::pipeline(
      serial, {.stop = stop.get_token()},
      [&]() -> std::optional<int> {
        if (read == 5) {
          stop.request_stop();
          return std::nullopt;
        }
        return read++;
      },
      tutti::serial_in_order([&](int) { ++seen; }));
  EXPECT_EQ(seen, 5);
}

TEST(pipeline, nests) {
  std::atomic<int> items{0};
  tutti::pipeline({.tokens = 4}, numbers(20), tutti::in_parallel([&](int) {
                    tutti::pipeline({.tokens = 4}, numbers(20), tutti::in_parallel([&](int) { ++items; }));
                  }));
  EXPECT_EQ(items, 400);
}

}  // namespace
