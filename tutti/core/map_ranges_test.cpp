// What map may be given: ranges of every kind, what is copied, what is referenced; unordered, portable and bulk forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tests/support/collect.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace map_ranges_test {

int twice(int i) { return 2 * i; }
int add(int a, int b) { return a + b; }
int sum_of(const std::array<int, 3>& all) { return all[0] + all[1] + all[2]; }
std::size_t length_of(std::string_view text) { return text.size(); }
int picky(int i) {
  if (i == 3) throw std::out_of_range("three");
  return i;
}

}  // namespace map_ranges_test

namespace {

using namespace map_ranges_test;
using tutti::thread_pool;
using tutti_test::collect;
using tutti_test::watchdog;

struct copy_counter {
  static inline std::atomic<int> copies{0};
  explicit copy_counter(int v) : value(v) {}
  copy_counter(const copy_counter& other) : value(other.value) { ++copies; }
  copy_counter(copy_counter&&) = default;
  copy_counter& operator=(const copy_counter&) = delete;
  int value;
};
std::vector<copy_counter> counters(int n) {
  std::vector<copy_counter> made;
  made.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) made.emplace_back(i);
  copy_counter::copies = 0;
  return made;
}

TEST(MapRanges, LvaluesAreReferenced) {
  const watchdog dog;
  thread_pool pool(2);
  auto input = counters(20);
  const auto change = [](copy_counter& c) { return c.value += 100; };
  for (int i = 0; const int r : pool.map(input, change)) EXPECT_EQ(r, 100 + i++);
  EXPECT_EQ(input[19].value, 119) << "the caller's elements";
  const auto& read_only = input;
  for (int i = 0; const int r : pool.map(read_only, [](const copy_counter& c) { return c.value; })) {
    EXPECT_EQ(r, 100 + i++);
  }
  EXPECT_EQ(copy_counter::copies, 0);
}

TEST(MapRanges, RvaluesAreOwnedAndNotCopied) {
  const watchdog dog;
  thread_pool pool(2);
  auto results = pool.map(counters(20), [](const copy_counter& c) { return c.value; });
  EXPECT_EQ(collect(std::move(results)).back(), 19);
  EXPECT_EQ(copy_counter::copies, 0);
}

TEST(MapRanges, ElementsMayBeMoveOnly) {
  const watchdog dog;
  thread_pool pool(2);
  std::vector<std::unique_ptr<int>> input;
  for (int i = 0; i < 10; ++i) input.push_back(std::make_unique<int>(i));
  auto results = pool.map(std::move(input), [](std::unique_ptr<int>& p) { return std::move(p); });
  for (int i = 0; auto& p : results) EXPECT_EQ(*p, i++);
}

TEST(MapRanges, InputThatCanBeReadOnce) {
  const watchdog dog;
  thread_pool pool(2);
  for (const std::size_t chunk : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    std::istringstream text("1 2 3 4 5 6 7");
    EXPECT_EQ(collect(pool.map(std::views::istream<int>(text), [](int i) { return i * i; }, {.chunk = chunk})),
              (std::vector{1, 4, 9, 16, 25, 36, 49}));
  }
}

TEST(MapRanges, ListsViewsAndArrays) {
  const watchdog dog;
  thread_pool pool(2);
  const std::list<int> list{3, 1, 2};
  EXPECT_EQ(collect(pool.map(list, twice)), (std::vector{6, 2, 4}));
  EXPECT_EQ(collect(pool.map(std::views::iota(0, 4), twice)), (std::vector{0, 2, 4, 6}));
  EXPECT_EQ(collect(pool.map(list | std::views::reverse, twice)), (std::vector{4, 2, 6}));
  int array[] = {5, 6};
  EXPECT_EQ(collect(pool.map(array, twice)), (std::vector{10, 12}));
}

TEST(MapRanges, TupleLikeElementsAreArguments) {
  const watchdog dog;
  thread_pool pool(2);
  const std::vector<std::pair<int, int>> pairs{{1, 2}, {3, 4}};
  EXPECT_EQ(collect(pool.map(pairs, add)), (std::vector{3, 7}));
  std::map<std::string, int> counts{{"a", 1}, {"bb", 2}};
  const auto apply_to = [](const std::string& key, int& n) { return static_cast<int>(key.size()) + n++; };
  EXPECT_EQ(collect(pool.map(counts, apply_to)), (std::vector{2, 4}));
  EXPECT_EQ(counts["bb"], 3);
  const auto whole = [](const std::pair<int, int>& p) { return p.first * p.second; };
  EXPECT_EQ(collect(pool.map(pairs, whole)), (std::vector{2, 12})) << "a function that takes the tuple gets it whole";
  const std::vector<std::array<int, 3>> arrays{{1, 2, 3}};
  EXPECT_EQ(collect(pool.map(arrays, sum_of)), std::vector{6});
}

// ---------------------------------------------------------------- unordered

TEST(MapRanges, UnorderedYieldsIndexAndValue) {
  const watchdog dog;
  thread_pool pool(2);
  std::vector<bool> seen(200);
  for (const auto& [index, value] : pool.map_unordered(std::views::iota(0, 200), twice)) {
    EXPECT_EQ(value, 2 * static_cast<int>(index));
    EXPECT_FALSE(seen[index]);
    seen[index] = true;
  }
  EXPECT_EQ(std::ranges::count(seen, true), 200);
}

TEST(MapRanges, UnorderedDoesNotWaitForTheFirst) {
  const watchdog dog;
  std::atomic<bool> open{false};
  thread_pool pool(2);
  std::vector<std::size_t> order;
  for (const auto& one : pool.map_unordered(std::views::iota(0, 4),
                                            [&](int i) {
                                              while (i == 0 && !open) std::this_thread::yield();
                                              return i;
                                            },
                                            {.chunk = 1})) {
    order.push_back(one.index);
    if (order.size() == 3) open = true;
  }
  ASSERT_EQ(order.size(), 4U);
  EXPECT_EQ(order.back(), 0U);
}

// ---------------------------------------------------------------- whose threads

TEST(MapRanges, ResultsOutliveTheHandle) {
  const watchdog dog;
  auto pool = std::make_unique<thread_pool>(2);
  auto results = pool->map(std::views::iota(0, 100), twice, {.chunk = 3});
  pool.reset();  // before the first element
  auto it = results.begin();
  EXPECT_EQ(*it, 0);
  int last = 0;
  for (; it != results.end(); ++it) last = *it;
  EXPECT_EQ(last, 198);
}

TEST(MapRanges, ResultsOutliveTheHandleWhileTheyAreRead) {
  const watchdog dog;
  auto pool = tutti::make_executor("threads:2");
  auto results = pool->map<twice>(std::views::iota(0, 100), {.chunk = 3});
  int n = 0;
  for (const int r : results) {
    if (n == 10) pool.reset();
    EXPECT_EQ(r, 2 * n++);
  }
  EXPECT_EQ(n, 100);
}

TEST(MapRanges, OnTheInlineExecutor) {
  tutti::inline_executor here;
  const auto me = std::this_thread::get_id();
  for (const auto id : here.map(std::views::iota(0, 5), [](int) { return std::this_thread::get_id(); }))
    EXPECT_EQ(id, me);
}

TEST(MapRanges, InsideATaskOfAPoolOfOne) {
  const watchdog dog;
  thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] { return collect(pool.map(std::views::iota(0, 50), twice)).size(); }).get(), 50U);
  EXPECT_EQ(pool.submit([&] { return collect(pool.map_unordered(std::views::iota(0, 50), twice)).size(); }).get(), 50U);
}

// ---------------------------------------------------------------- portable functions

TEST(MapRanges, PortableFunctions) {
  const watchdog dog;
  for (const auto* spec : {"inline", "threads", "threads:2"}) {
    const auto place = tutti::make_executor(spec);
    EXPECT_EQ(collect(place->map<twice>(std::vector{1, 2, 3})), (std::vector{2, 4, 6})) << spec;
    EXPECT_EQ(collect(place->map<add>(std::vector<std::pair<int, int>>{{1, 2}, {3, 4}})), (std::vector{3, 7}));
    EXPECT_EQ(collect(place->map<sum_of>(std::vector<std::array<int, 3>>{{1, 2, 3}})), std::vector{6});
    EXPECT_EQ(collect(place->map<length_of>(std::vector<const char*>{"a", "bcd"})), (std::vector<std::size_t>{1, 3}));
    EXPECT_EQ(collect(place->with({.name = "named"}).map<twice>(std::vector{7})), std::vector{14});
    std::size_t n = 0;
    for (auto& [index, value] : place->map_unordered<twice>(std::views::iota(0, 10))) {
      n += value == 2 * static_cast<int>(index);
    }
    EXPECT_EQ(n, 10U);
    auto results = place->map<picky>(std::views::iota(2, 5));
    auto it = results.begin();
    EXPECT_EQ(*it, 2);
    EXPECT_THROW(*++it, std::out_of_range);
    EXPECT_EQ(*++it, 4);
  }
}

TEST(MapRanges, OptionsAreKeptUntilTheChunksAreLaunched) {
  const watchdog dog;
  thread_pool pool(1);
  std::stop_source stop;
  auto results = [&] {
    const std::string name = "a name that does not live long";
    const auto token = stop.get_token();
    return pool.with({.name = name, .stop = token}).map(std::vector{1, 2}, [](int) {
      return std::string(tutti::this_task::name());
    });
  }();
  auto it = results.begin();
  EXPECT_EQ(*it, "a name that does not live long");
  stop.request_stop();
  auto other = pool.with({.stop = stop.get_token()}).map(std::vector{1}, twice);
  auto first = other.begin();
  EXPECT_THROW(*first, tutti::cancelled);
}

// ---------------------------------------------------------------- bulk

TEST(SubmitBulk, AllResultsOrTheFirstError) {
  const watchdog dog;
  std::atomic<int> sum{0};
  thread_pool pool(2);
  EXPECT_EQ(pool.submit_bulk(std::views::iota(0, 5), twice).get(), (std::vector{0, 2, 4, 6, 8}));
  EXPECT_EQ(pool.submit_bulk<twice>(std::vector{4}).get(), std::vector{8});
  EXPECT_TRUE(pool.submit_bulk(std::vector<int>(), twice).get().empty());
  pool.submit_bulk(std::views::iota(0, 100), [&](int i) { sum += i; }).get();
  EXPECT_EQ(sum, 4950);
  const auto fails = [](int i) {
    if (i >= 3) throw std::out_of_range(std::to_string(i));
    return i;
  };
  try {
    (void)pool.submit_bulk(std::views::iota(0, 100), fails, {.chunk = 2}).get();
    ADD_FAILURE();
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "3");
  }
}

TEST(SubmitBulk, KeepsRvalueRanges) {
  const watchdog dog;
  std::latch gate(1);
  thread_pool pool(2);
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

TEST(SubmitBulk, CancellingTheWholeCancelsWhatHasNotBegun) {
  const watchdog dog;
  std::atomic<int> called{0};
  std::atomic<bool> running{false}, open{false};
  thread_pool pool(1);
  auto whole = pool.submit_bulk(std::views::iota(0, 50),
                                [&](int) {
                                  running = true;
                                  ++called;
                                  while (!open) std::this_thread::yield();
                                  return 0;
                                },
                                {.chunk = 1});
  while (!running) std::this_thread::yield();
  whole.cancel();
  open = true;
  EXPECT_THROW(whole.get(), tutti::cancelled);
  pool.shutdown();
  EXPECT_EQ(called, 1);
}

TEST(MapRanges, ElementsThatAreNoObjects) {
  const watchdog dog;
  thread_pool pool(2);
  const std::vector<bool> flags{true, false, true};
  const auto negated = [](bool b) { return !b; };
  std::vector<bool> out;
  for (const bool b : pool.map(flags, negated)) out.push_back(b);
  EXPECT_EQ(out, (std::vector<bool>{false, true, false}));
  EXPECT_EQ(pool.submit_bulk(flags, negated).get(), out);
}

}  // namespace
