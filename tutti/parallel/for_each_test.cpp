#include <tutti/core/core.hpp>
#include <tutti/parallel/for_each.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <forward_list>
#include <list>
#include <memory>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

template <class Range>
void expect_sum(tutti::local_executor& pool, Range&& range, long expected) {
  std::atomic<long> sum{0};
  tutti::parallel_for_each(pool, range, [&](const auto& x) { sum += x; });
  EXPECT_EQ(sum, expected);
}

TEST(parallel_for_each, ranges_longer_than_positions_reach_are_refused) {
  const auto nothing = [](std::uint64_t) { FAIL(); };
  for (const std::uint64_t n : {std::uint64_t{1} << 63U, ~std::uint64_t{0}}) {
    const auto range = std::views::iota(std::uint64_t{0}, n);
    EXPECT_THROW(tutti::parallel_for_each(range, nothing), std::length_error);
  }
}

TEST(parallel_for_each, ranges_of_all_kinds) {
  tutti::inline_executor serial;
  tutti::thread_pool one(1), four(4);
  for (tutti::local_executor* pool :
       {static_cast<tutti::local_executor*>(&serial), static_cast<tutti::local_executor*>(&one),
        static_cast<tutti::local_executor*>(&four)}) {
    const auto numbers = std::views::iota(0, 1000);
    expect_sum(*pool, numbers, 499'500);
    expect_sum(*pool, std::vector<int>(numbers.begin(), numbers.end()), 499'500);
    expect_sum(*pool, std::list<int>(numbers.begin(), numbers.end()), 499'500);
    expect_sum(*pool, std::forward_list<int>(numbers.begin(), numbers.end()), 499'500);
    expect_sum(*pool, numbers | std::views::filter([](int x) { return x % 2 == 0; }), 249'500);
    expect_sum(*pool, std::vector<int>(), 0);
    expect_sum(*pool, std::list<int>{7}, 7);
    std::istringstream text("1 2 3 4 5");
    expect_sum(*pool, std::views::istream<int>(text), 15);
  }
}

TEST(parallel_for_each, elements_are_changed_in_place) {
  std::list<int> numbers(500, 1);
  tutti::parallel_for_each(numbers, [](int& x) { x += 1; });
  EXPECT_EQ(numbers, std::list<int>(500, 2));
  std::vector<std::unique_ptr<int>> owned;
  for (int i = 0; i < 100; ++i) owned.push_back(std::make_unique<int>(i));
  tutti::parallel_for_each(owned, [](std::unique_ptr<int>& p) { *p *= 2; });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*owned[static_cast<std::size_t>(i)], 2 * i);
}

// A tree of numbers: n brings n/2 and n/3.
long tree_size(int n) { return n == 0 ? 1 : 1 + tree_size(n / 2) + tree_size(n / 3); }

TEST(parallel_for_each, grows_while_it_runs) {
  for (const int threads : {1, 2, 5}) {
    std::atomic<long> visited{0};
    tutti::thread_pool pool(threads);
    tutti::parallel_for_each(pool, std::vector{1000, 500}, [&](int n, tutti::feeder<int>& feed) {
      ++visited;
      if (n == 0) return;
      feed.add(n / 2);
      feed.add(n / 3);
    });
    EXPECT_EQ(visited, tree_size(1000) + tree_size(500));
  }
}

// A chain brings the next link each time, so helpers come and find nothing, a hundred thousand times.
TEST(parallel_for_each, a_long_chain_needs_no_stack) {
  std::atomic<int> links{0};
  tutti::thread_pool pool(3);
  tutti::parallel_for_each(pool, std::vector{100'000}, [&](int left, tutti::feeder<int>& feed) {
    ++links;
    if (left > 1) feed.add(left - 1);
  });
  EXPECT_EQ(links, 100'000);
}

TEST(parallel_for_each, what_is_added_late_is_shared) {
  std::atomic<int> inside{0};
  tutti::thread_pool pool(2);
  tutti::parallel_for_each(pool, std::vector{0}, [&](int n, tutti::feeder<int>& feed) {
    if (n == 0) {
      feed.add(1);
      feed.add(1);
      return;
    }
    ++inside;  // two at once, or this never ends
    while (inside < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 2);
}

TEST(parallel_for_each, what_a_running_body_adds_is_shared_at_once) {
  std::atomic<bool> helped{false};
  tutti::thread_pool pool(2);
  tutti::parallel_for_each(pool, std::vector{0}, [&](int n, tutti::feeder<int>& feed) {
    if (n == 1) {
      helped = true;
      return;
    }
    feed.add(1);
    while (!helped) std::this_thread::yield();  // for ever, unless somebody else takes it
  });
}

TEST(parallel_for_each, elements_that_cannot_move_and_bits) {
  std::list<std::atomic<int>> counts(50);
  tutti::parallel_for_each(counts, [](std::atomic<int>& n) { ++n; });
  for (const auto& n : counts) EXPECT_EQ(n, 1);
  std::atomic<int> set{0};
  tutti::parallel_for_each(std::list<bool>{true, false, true}, [&](bool b) { set += b ? 1 : 0; });
  EXPECT_EQ(set, 2);
}

struct counted {
  int n = 0;
  void raise() { ++n; }
};

TEST(parallel_for_each, members_as_bodies) {
  std::vector<counted> things(30);
  std::list<counted> others(30);
  tutti::parallel_for_each(things, &counted::raise);
  tutti::parallel_for_each(others, &counted::raise);
  for (const auto& c : things) EXPECT_EQ(c.n, 1);
  for (const auto& c : others) EXPECT_EQ(c.n, 1);
}

TEST(parallel_for_each, exceptions_and_stops_arrive) {
  tutti::thread_pool pool(3);
  std::list<int> numbers(10'000, 1);
  numbers.back() = 13;
  EXPECT_THROW(tutti::parallel_for_each(pool, numbers,
                                        [](int x) {
                                          if (x == 13) throw std::domain_error("13");
                                        }),
               std::domain_error);
  EXPECT_THROW(tutti::parallel_for_each(pool, std::vector{1},
                                        [](int n, tutti::feeder<int>& feed) {
                                          if (n == 5000) throw std::domain_error("5000");
                                          feed.add(n + 1);
                                        }),
               std::domain_error);
  std::stop_source stop;
  EXPECT_THROW(tutti::parallel_for_each(pool, std::vector{1},
                                        [&](int n, tutti::feeder<int>& feed) {
                                          if (n == 500) stop.request_stop();
                                          feed.add(n + 1);  // for ever
                                        },
                                        {.stop = stop.get_token()}),
               tutti::cancelled);
}

TEST(parallel_for_each, nests_inside_tasks) {
  std::atomic<int> calls{0};
  tutti::thread_pool pool(2);
  pool.submit([&] {
        tutti::parallel_for_each(std::list<int>(20, 0),
                                 [&](int) { tutti::parallel_for_each(std::list<int>(20, 0), [&](int) { ++calls; }); });
      })
      .get();
  EXPECT_EQ(calls, 400);
}

}  // namespace
