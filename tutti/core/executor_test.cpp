// The interface every place to run shares, seen through an executor that shares no memory with its caller: each call
// crosses as bytes.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <tests/support/wire_executor.hpp>
#include <thread>
#include <tuple>
#include <tutti/base/exception_codec.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace executor_test {

std::string join(const std::string& a, std::string_view b) { return a + std::string(b); }
int add(int a, int b) { return a + b; }
long sum(std::span<const int> numbers) {
  long total = 0;
  for (const int n : numbers) total += n;
  return total;
}
std::atomic<int> touched{0};
void touch(int n) { touched += n; }
int half(int n) {
  if (n % 2 != 0) throw std::domain_error("odd: " + std::to_string(n));
  return n / 2;
}
struct known : std::runtime_error {
  using runtime_error::runtime_error;
};
struct unknown : std::runtime_error {
  using runtime_error::runtime_error;
};
const bool registered = tutti::register_exception<known>();
int fails(int how) {
  switch (how) {
    case 0: throw known("known failure");
    case 1: throw unknown("unknown failure");
    case 2: throw tutti::timed_out("ours");
    case 3: throw 42;  // NOLINT(hicpp-exception-baseclass)
    default: return how;
  }
}
std::atomic<int> flaky_calls{0};
int flaky_element(int n) {
  if (n == 3 && ++flaky_calls < 3) throw tutti::retryable("once more");
  return n;
}
// Cannot be encoded when negative, cannot be decoded when it is 13.
struct picky {
  int value = 0;
  template <class Archive>
  void save(Archive& ar) const {
    if (value < 0) throw tutti::encode_error("negative");
    ar(value);
  }
  template <class Archive>
  void load(Archive& ar) {
    ar(value);
    if (value == 13) throw tutti::decode_error("thirteen");
  }
};
int value_of(const picky& p) { return p.value; }
picky make_picky(int n) {
  picky p;
  p.value = n;
  return p;
}

}  // namespace executor_test

namespace {

using namespace executor_test;
using tutti::future;
using tutti_test::wire_executor;
using far_side = wire_executor::far_side;

TEST(executor, calls_cross_as_bytes) {
  wire_executor wire;
  EXPECT_EQ((wire.submit<join>("two ", std::string("words")).get()), "two words");
  EXPECT_EQ(wire.submit<add>(short{2}, 3).get(), 5);
  const std::vector<int> numbers{1, 2, 3};
  EXPECT_EQ(wire.submit<sum>(numbers).get(), 6);
  touched = 0;
  wire.submit<touch>(4).get();
  EXPECT_EQ(touched, 4);
  EXPECT_EQ((wire.submit<tutti::named<"executor_test.plus", add>>(1, 1).get()), 2);
  EXPECT_EQ(tutti::submit(wire, tutti::fn<add>, 2, 2).get(), 4);
  EXPECT_EQ(wire.with({.name = "named", .priority = 3}).submit<add>(3, 3).get(), 6);
  EXPECT_EQ(wire.far().crossed, 7);
}

TEST(executor, arguments_are_taken_before_submit_returns) {
  wire_executor wire;
  wire.set(&far_side::holding, true);
  std::string a = "before";
  std::vector<int> numbers{1, 2};
  auto f = wire.submit<join>(a, std::string_view(a));
  auto g = wire.submit<sum>(numbers);
  a = "after";
  numbers.clear();
  wire.set(&far_side::holding, false);
  EXPECT_EQ(f.get(), "beforebefore");
  EXPECT_EQ(g.get(), 3);
}

TEST(executor, exceptions_cross) {
  wire_executor wire;
  EXPECT_THROW(wire.submit<fails>(0).get(), known);
  EXPECT_THROW(wire.submit<fails>(2).get(), tutti::timed_out);
  EXPECT_THROW(wire.submit<fails>(3).get(), tutti::remote_error);
  try {
    wire.submit<fails>(1).get();
    FAIL();
  } catch (const tutti::remote_error& e) {
    EXPECT_EQ(e.type(), "executor_test::unknown");
    EXPECT_STREQ(e.what(), "unknown failure");
  }
  EXPECT_EQ(wire.submit<fails>(9).get(), 9);
}

TEST(executor, map_crosses_in_chunks_and_keeps_the_order) {
  wire_executor wire;
  std::vector<int> input(100);
  for (int i = 0; i < 100; ++i) input[static_cast<std::size_t>(i)] = 2 * i;
  for (const std::size_t chunk : {0U, 1U, 7U, 1000U}) {
    int at = 0;
    for (const int n : wire.map<half>(input, {.chunk = chunk})) EXPECT_EQ(n, at++);
    EXPECT_EQ(at, 100);
    int seen = 0;
    for (const auto& [index, value] : wire.map_unordered<half>(input, {.chunk = chunk})) {
      EXPECT_EQ(static_cast<std::size_t>(value), index);
      ++seen;
    }
    EXPECT_EQ(seen, 100);
    const std::vector<int> all = wire.submit_bulk<half>(input, {.chunk = chunk}).get();
    EXPECT_EQ(all.size(), 100U);
    EXPECT_EQ(all[99], 99);
  }
  const int before = wire.far().crossed;
  for (const int n : wire.map<half>(input, {.chunk = 25})) EXPECT_GE(n, 0);
  EXPECT_EQ(wire.far().crossed, before + 4);
}

TEST(executor, map_throws_an_elements_exception_at_that_element) {
  wire_executor wire;
  const std::vector<int> input{0, 1, 2, 3, 4};
  auto results = wire.map<half>(input, {.chunk = 2});
  std::string read;
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      read += std::to_string(*it);
    } catch (const std::domain_error& e) {
      read += e.what();
    }
    read += ' ';
  }
  EXPECT_EQ(read, "0 odd: 1 1 odd: 3 2 ");
  try {
    static_cast<void>(wire.submit_bulk<half>(input, {.chunk = 2}).get());
    FAIL();
  } catch (const std::domain_error& e) {
    EXPECT_STREQ(e.what(), "odd: 1");  // the first in input order
  }
}

TEST(executor, map_spreads_tuples_and_takes_strange_ranges) {
  wire_executor wire;
  std::vector<std::pair<int, int>> pairs{{1, 2}, {3, 4}};
  std::vector<int> sums;
  for (const int n : wire.map<add>(pairs)) sums.push_back(n);
  EXPECT_EQ(sums, (std::vector<int>{3, 7}));
  EXPECT_EQ(wire.submit_bulk<add>(std::vector<std::tuple<int, int>>{{5, 6}}).get(), (std::vector<int>{11}));
  std::vector<long> totals;
  for (const long n : wire.map<sum>(std::vector<std::vector<int>>{{1, 2, 3}, {}})) totals.push_back(n);
  EXPECT_EQ(totals, (std::vector<long>{6, 0}));
  EXPECT_EQ(wire.map<half>(std::vector<int>()).begin(), std::default_sentinel);
  EXPECT_TRUE(wire.submit_bulk<half>(std::vector<int>()).get().empty());
  touched = 0;
  int units = 0;
  for ([[maybe_unused]] const auto& unit : wire.map<touch>(std::views::iota(1, 5))) ++units;
  EXPECT_EQ(units, 4);
  wire.submit_bulk<touch>(std::vector<int>{1, 1}).get();
  EXPECT_EQ(touched, 12);
}

TEST(executor, what_cannot_be_encoded_or_decoded_is_the_calls_error) {
  wire_executor wire;
  EXPECT_EQ(wire.submit<value_of>(make_picky(5)).get(), 5);
  EXPECT_THROW(wire.submit<value_of>(make_picky(-1)).get(), tutti::encode_error);  // arguments, here
  EXPECT_THROW(wire.submit<value_of>(make_picky(13)).get(), tutti::decode_error);  // arguments, there
  EXPECT_THROW(wire.submit<make_picky>(-1).get(), tutti::encode_error);            // result, there
  EXPECT_THROW(wire.submit<make_picky>(13).get(), tutti::decode_error);            // result, here
  wire.far().garbled = true;
  EXPECT_THROW(wire.submit<add>(1, 2).get(), tutti::decode_error);
  auto results = wire.map<half>(std::vector<int>{0, 2}, {.chunk = 2});
  int failed = 0;
  for (auto it = results.begin(); it != results.end(); ++it, ++failed) {
    EXPECT_THROW(static_cast<void>(*it), tutti::decode_error);
  }
  EXPECT_EQ(failed, 2);  // a chunk that failed as a whole failed for each of its elements
}

TEST(executor, cancel_before_and_after_a_call_leaves) {
  wire_executor wire;
  wire.set(&far_side::holding, true);
  auto early = wire.submit<add>(1, 1);
  EXPECT_TRUE(early.cancel());
  wire.set(&far_side::answering, false);
  wire.set(&far_side::holding, false);
  auto late = wire.submit<add>(2, 2);
  while (!wire.far().entered) std::this_thread::yield();
  EXPECT_FALSE(late.cancel());  // it is gone: only asked
  EXPECT_FALSE(late.done());
  wire.set(&far_side::answering, true);
  EXPECT_THROW(early.get(), tutti::cancelled);
  EXPECT_EQ(late.get(), 4);
  EXPECT_EQ(wire.far().crossed, 1);
}

TEST(executor, ends_like_the_others) {
  future<int> queued, done;
  {
    wire_executor wire;
    done = wire.submit<add>(1, 2);
    done.wait();
    wire.set(&far_side::holding, true);
    queued = wire.submit<add>(1, 2);
    wire.shutdown(tutti::cancel);
    EXPECT_THROW((void)wire.submit<add>(1, 2), tutti::closed);
    EXPECT_THROW((void)wire.submit_bulk<half>(std::vector<int>{2}), tutti::closed);
  }
  EXPECT_EQ(done.get(), 3);
  EXPECT_THROW(queued.get(), tutti::cancelled);
}

// Loses whatever it is given.
class black_hole final : public tutti::executor {
 public:
  int concurrency() const override { return 1; }
  void shutdown(tutti::shutdown_mode) override {}
  std::unique_ptr<executor> share() override { return std::make_unique<black_hole>(); }

 protected:
  void start(tutti::call) override {}
};

TEST(executor, a_lost_call_is_never_left_pending) {
  black_hole hole;
  EXPECT_THROW(hole.submit<add>(1, 2).get(), tutti::closed);
  auto results = hole.map<half>(std::vector<int>{2, 4});
  for (auto it = results.begin(); it != results.end(); ++it) EXPECT_THROW(static_cast<void>(*it), tutti::closed);
}

TEST(executor, continuations_of_far_results_run_near) {
  wire_executor wire;
  EXPECT_EQ(wire.submit<add>(1, 2).then([](int n) { return n + 1; }).get(), 4);
  auto again = wire.submit<add>(1, 2).then([&](int n) { return wire.submit<add>(n, n); });
  EXPECT_EQ(again.get(), 6);
  EXPECT_THROW(wire.submit<fails>(0).then([](int n) { return n; }).get(), known);
  std::vector<future<int>> several;
  for (int i = 0; i < 5; ++i) several.push_back(wire.submit<add>(i, i));
  EXPECT_EQ(tutti::when_all(std::move(several)).get(), (std::vector<int>{0, 2, 4, 6, 8}));
}

TEST(executor, a_pools_worker_may_wait_for_a_far_result) {
  wire_executor wire;
  tutti::thread_pool pool{1};
  std::vector<future<int>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([&, i] { return wire.submit<add>(i, 1).get(); }));
  int total = 0;
  for (auto& f : futures) total += f.get();
  EXPECT_EQ(total, 210);
  EXPECT_EQ(wire.far().crossed, 20) << "the others were run here";
}

template <class Executor>
int generic_program(Executor& pool) {
  int total = pool.template submit<add>(20, 22).get();
  for (const int n : pool.template map<half>(std::vector<int>{2, 4, 6})) total += n;
  for (const auto& one : pool.template map_unordered<half>(std::vector<int>{2, 4, 6})) total += one.value;
  for (const int n : pool.template submit_bulk<half>(std::vector<int>{8}).get()) total += n;
  return total;
}

TEST(executor, one_program_runs_everywhere) {
  constexpr int expected = 42 + 6 + 6 + 4;
  wire_executor wire;
  tutti::thread_pool threads{2};
  tutti::inline_executor here;
  EXPECT_EQ(generic_program<tutti::executor>(wire), expected);
  EXPECT_EQ(generic_program<tutti::executor>(threads), expected);
  EXPECT_EQ(generic_program<tutti::executor>(here), expected);
  EXPECT_EQ(generic_program(threads), expected);
  EXPECT_EQ(generic_program(here), expected);
  auto view = wire.with({.name = "view"});
  EXPECT_EQ(generic_program(view), expected);
  auto local_view = threads.with({.priority = 1});
  EXPECT_EQ(generic_program(local_view), expected);
}

TEST(executor, a_map_retries_the_element_that_asks_for_it) {
  flaky_calls = 0;
  tutti::thread_pool pool{1};
  std::vector<int> seen;
  for (const int n : pool.with({.retries = 3}).map<flaky_element>(std::vector<int>{1, 2, 3, 4})) seen.push_back(n);
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3, 4}));
}

TEST(executor, ids_are_their_own) {
  wire_executor a, b;
  EXPECT_NE(a.id(), b.id());
  EXPECT_EQ(a.share()->id(), a.id());
}

}  // namespace
