// A call of an executor that shares no memory with its caller runs there and nowhere else, however it is waited for.
#include <gtest/gtest.h>

#include <chrono>
#include <ostream>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <tests/support/wire_executor.hpp>
#include <tuple>
#include <tutti/base/clock.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <utility>
#include <vector>

namespace rules_far_test {

// The far side's thread is no pool's worker.
int runs_on_a_worker(int) { return tutti::this_worker == nullptr ? 0 : 1; }

}  // namespace rules_far_test

namespace {

using namespace std::chrono_literals;
using rules_far_test::runs_on_a_worker;
using tutti::future;
using tutti_test::wire_executor;

std::vector<future<int>> three_calls(wire_executor& wire) {
  std::vector<future<int>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(wire.submit<runs_on_a_worker>(i));
  return calls;
}

int sum(const std::vector<int>& numbers) {
  int total = 0;
  for (const int n : numbers) total += n;
  return total;
}

// Asks for three results: how many of them were computed on a pool's worker.
struct way_to_wait {
  const char* name;
  int (*ask)(wire_executor&);
  friend std::ostream& operator<<(std::ostream& out, const way_to_wait& way) { return out << way.name; }
};

const way_to_wait ways_to_wait[] = {
    {"get",
     [](wire_executor& wire) {
       int total = 0;
       for (auto& one : three_calls(wire)) total += one.get();
       return total;
     }},
    {"wait_for",
     [](wire_executor& wire) {
       auto calls = three_calls(wire);
       for (auto& one : calls) EXPECT_TRUE(one.wait_for(1h));
       return sum(tutti::when_all(std::move(calls)).get());
     }},
    {"get_of_a_continuation",
     [](wire_executor& wire) {
       int total = 0;
       for (auto& one : three_calls(wire)) total += std::move(one).then([](int n) { return n; }).get();
       return total;
     }},
    {"when_all", [](wire_executor& wire) { return sum(tutti::when_all(three_calls(wire)).get()); }},
    {"wait_for_when_all",
     [](wire_executor& wire) {
       auto all = tutti::when_all(three_calls(wire));
       EXPECT_TRUE(all.wait_for(1h));
       return sum(all.get());
     }},
    {"wait_for_the_first",
     [](wire_executor& wire) {
       auto calls = three_calls(wire);
       EXPECT_FALSE(tutti::wait(calls, tutti::wait_for::first).done.empty());
       return sum(tutti::when_all(std::move(calls)).get());
     }},
    {"as_completed",
     [](wire_executor& wire) {
       int total = 0;
       for (auto& one : tutti::as_completed(three_calls(wire))) total += one.get();
       return total;
     }},
    {"map",
     [](wire_executor& wire) {
       int total = 0;
       for (const int n : wire.map<runs_on_a_worker>(std::vector{1, 2, 3}, {.chunk = 1})) total += n;
       return total;
     }},
    {"map_unordered",
     [](wire_executor& wire) {
       int total = 0;
       for (const auto& one : wire.map_unordered<runs_on_a_worker>(std::vector{1, 2, 3}, {.chunk = 1}))
         total += one.value;
       return total;
     }},
    {"submit_bulk",
     [](wire_executor& wire) {
       return sum(wire.submit_bulk<runs_on_a_worker>(std::vector{1, 2, 3}, {.chunk = 1}).get());
     }},
};

class rules_far_waits : public testing::TestWithParam<way_to_wait> {};

// The far side lets nothing leave until the waiter sleeps: there has been every opportunity to run the call near.
TEST_P(rules_far_waits, who_waits_does_not_run_it) {
  const tutti_test::watchdog dog;
  const tutti::virtual_clock stopped;  // time limits do not come
  wire_executor wire;
  wire.set(&wire_executor::far_side::holding, true);
  tutti::thread_pool pool{1};
  auto waiter = pool.with({.name = "the waiter", .priority = 5}).submit([&] { return GetParam().ask(wire); });
  tutti_test::until([&] { return waiter.done() || tutti_test::task_waits("the waiter"); });
  tutti_test::run_dry(tutti::default_pool());  // nor does anybody else, in a hurry
  wire.set(&wire_executor::far_side::holding, false);
  EXPECT_EQ(waiter.get(), 0) << "computed by a worker of this process";
  EXPECT_EQ(wire.far().crossed, 3);
}

INSTANTIATE_TEST_SUITE_P(all, rules_far_waits, testing::ValuesIn(ways_to_wait),
                         [](const auto& instance) { return std::string(instance.param.name); });

// On the default pool, through whichever handle the call was made.
TEST(rules_far, continuations_of_a_shared_handle_run_here) {
  const tutti_test::watchdog dog;
  wire_executor wire;
  const auto other = wire.share();
  EXPECT_EQ(other->id(), wire.id());
  for (tutti::executor* const handle : {static_cast<tutti::executor*>(&wire), other.get()}) {
    EXPECT_EQ(
        handle->submit<runs_on_a_worker>(1).then([](int far) { return far + (tutti::this_worker != nullptr); }).get(),
        1);
  }
}

// A whole of near and far parts: the near one is run by who waits, the far one is not.
TEST(rules_far, who_waits_for_a_near_and_a_far_call_runs_the_near_one) {
  const tutti_test::watchdog dog;
  wire_executor wire;
  wire.set(&wire_executor::far_side::holding, true);
  tutti::thread_pool pool{1};
  auto waiter = pool.with({.name = "the waiter"}).submit([&] {
    auto near = pool.submit([] { return tutti::this_worker == nullptr ? 0 : 1; });
    return tutti::when_all(std::move(near), wire.submit<runs_on_a_worker>(1)).get();
  });
  tutti_test::until([&] { return waiter.done() || tutti_test::task_waits("the waiter"); });
  wire.set(&wire_executor::far_side::holding, false);
  EXPECT_EQ(waiter.get(), std::tuple(1, 0));
  EXPECT_EQ(wire.far().crossed, 1);
}

}  // namespace
