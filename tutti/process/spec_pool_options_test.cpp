// Options, counters and ends of pools: resize, max_tasks_per_worker, stats, pids, shutdown, both start methods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_options {

int same(int n) { return n; }
int pid() { return ::getpid(); }
std::string name() { return tutti::this_process::name(); }
std::string task_name() { return std::string(tutti::this_task::name()); }
int gate(tutti::shared_value<int> inside, tutti::shared_value<int> open, int n) {
  inside.fetch_add(1);
  inside.notify_all();
  open.wait(0);
  return n;
}
int pid_at_gate(tutti::shared_value<int> inside, tutti::shared_value<int> open) {
  return gate(inside, open, ::getpid());
}
int add(int a, int b) { return a + b; }
int set_up = 0;
void load(int n, const std::string& text) { set_up = n + static_cast<int>(text.size()); }
int loaded() { return set_up; }
tutti::shared_array<int> make_array(std::size_t n) {
  tutti::shared_array<int> made(n);
  for (std::size_t i = 0; i < n; ++i) made[i] = static_cast<int>(i);
  return made;
}
struct unlucky : tutti::retryable {
  using retryable::retryable;
};
int fails_at_first(tutti::shared_value<int> left) {
  if (left.fetch_sub(1) > 0) throw unlucky("try again");
  return 8;
}

}  // namespace spec_options

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_options;
using testing::HasSubstr;

class SpecPool : public testing::TestWithParam<start_method> {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
};
INSTANTIATE_TEST_SUITE_P(Starts, SpecPool, testing::Values(start_method::fork, start_method::exec),
                         [](const auto& how) {
                           return std::string(how.param == start_method::fork ? "fork" : "exec");
                         });

void open_gate(const shared_value<int>& gate) {
  gate.store(1);
  gate.notify_all();
}

TEST_P(SpecPool, RunsCallsInOtherProcessesOfItsName) {
  process_pool pool({.workers = 1, .name = "scales", .start = GetParam()});
  EXPECT_NE(pool.submit<pid>().get(), ::getpid());
  EXPECT_EQ(pool.submit<name>().get(), "scales/1");
  EXPECT_EQ(pool.with({.name = "mine"}).submit<task_name>().get(), "mine");
  EXPECT_EQ(pool.concurrency(), 1);
}

TEST_P(SpecPool, InitializesEachWorkerOnce) {
  process_pool pool({.workers = 2, .start = GetParam(), .max_tasks_per_worker = 2}, fn<load>, 40, "ab");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<loaded>().get(), 42);
  EXPECT_EQ(set_up, 0);
}

TEST_P(SpecPool, ReplacesWorkersThatHaveRunEnough) {
  process_pool pool({.workers = 1, .start = GetParam(), .max_tasks_per_worker = 3});
  std::vector<int> ids;
  for (int i = 0; i < 9; ++i) ids.push_back(pool.submit<pid>().get());
  for (std::size_t i = 0; i < 9; i += 3)
    EXPECT_EQ(std::set<int>(ids.begin() + static_cast<int>(i), ids.begin() + static_cast<int>(i) + 3).size(), 1u);
  EXPECT_EQ(std::set<int>(ids.begin(), ids.end()).size(), 3u);
  EXPECT_EQ(pool.stats().lost, 0u);  // they were not lost
  EXPECT_GE(pool.stats().started, 3u);
  for (int id : std::set<int>(ids.begin(), ids.begin() + 6)) EXPECT_TRUE(tutti_test::ends(id));
}

TEST_P(SpecPool, CallsSubmittedAtOnceRespectTheMostPerWorker) {
  process_pool pool({.workers = 2, .start = GetParam(), .max_tasks_per_worker = 5});
  std::vector<future<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(pool.submit<pid>());
  std::vector<int> ids;
  for (auto& one : all) ids.push_back(one.get());
  for (int id : ids) EXPECT_LE(std::count(ids.begin(), ids.end(), id), 5);
}

TEST_P(SpecPool, ShutsDown) {
  process_pool pool({.workers = 1, .start = GetParam()});
  std::vector<future<int>> all;
  for (int i = 0; i < 20; ++i) all.push_back(pool.submit<same>(i));
  const std::vector<int> ids = pool.pids();
  pool.shutdown();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(all[static_cast<std::size_t>(i)].done());
    EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
  }
  pool.shutdown();
  pool.shutdown(tutti::cancel);
  EXPECT_THROW(static_cast<void>(pool.submit<same>(1)), closed);
  for (int id : ids) EXPECT_TRUE(tutti_test::ends(id));
  EXPECT_EQ(pool.stats().workers, 0);
}

TEST_P(SpecPool, ShutsDownByCancelling) {
  process_pool pool({.workers = 1, .start = GetParam(), .grace = 0s});
  const shared_value<int> inside(0), open(0);
  auto running = pool.submit<gate>(inside, open, 1);
  inside.wait(0);
  std::vector<future<int>> rest;
  for (int i = 0; i < 20; ++i) rest.push_back(pool.submit<same>(i));
  pool.shutdown(tutti::cancel);
  for (auto& one : rest) EXPECT_THROW(one.get(), cancelled);
  EXPECT_TRUE(running.done());
  EXPECT_ANY_THROW(running.get());
}

// "pids() lists": a worker that has answered runs.
TEST(SpecPoolSnapshot, ListsAWorkerThatHasAnswered) {
  for (int round = 0; round < 100; ++round) {
    process_pool pool(1);
    const int id = pool.submit<pid>().get();
    ASSERT_EQ(pool.pids(), std::vector<int>{id}) << "round " << round;
  }
}

TEST(SpecPoolSnapshot, CountsCalls) {
  process_pool pool(1);
  const shared_value<int> inside(0), open(0);
  auto running = pool.submit<gate>(inside, open, 1);
  inside.wait(0);
  std::vector<future<int>> rest;
  for (int i = 0; i < 5; ++i) rest.push_back(pool.submit<same>(i));
  const process_pool_stats then = pool.stats();
  EXPECT_EQ(then.workers, 1);
  EXPECT_EQ(then.queued, 5u);
  EXPECT_EQ(then.running, 1u);
  EXPECT_EQ(then.completed, 0u);
  EXPECT_EQ(then.started, 1u);
  open_gate(open);
  EXPECT_EQ(running.get(), 1);
  for (auto& one : rest) one.get();
  const process_pool_stats now = pool.stats();
  EXPECT_EQ(now.queued, 0u);
  EXPECT_EQ(now.running, 0u);
  EXPECT_EQ(now.completed, 6u);
  EXPECT_EQ(now.lost, 0u);
}

TEST(SpecPoolResize, GrowsAndShrinksWhileCallsRun) {
  process_pool pool(1);
  const shared_value<int> inside(0), open(0);
  std::vector<future<int>> all;
  for (int i = 0; i < 4; ++i) all.push_back(pool.submit<pid_at_gate>(inside, open));
  inside.wait(0);
  EXPECT_EQ(inside.load(), 1);
  pool.resize(4);
  EXPECT_EQ(pool.concurrency(), 4);
  for (int n = 1; n < 4; n = inside.load()) inside.wait(n);  // all four run
  pool.resize(1);
  EXPECT_EQ(pool.concurrency(), 1);
  for (auto& one : all) EXPECT_FALSE(one.done());
  open_gate(open);
  std::set<int> ids;
  for (auto& one : all) ids.insert(one.get());
  EXPECT_EQ(ids.size(), 4u);
  EXPECT_EQ(pool.stats().lost, 0u);
  const int last = pool.submit<pid>().get();
  for (int id : ids) {
    if (id != last) {
      EXPECT_TRUE(tutti_test::ends(id));
    }
  }
}

TEST(SpecPoolResize, ManyTimesUnderLoad) {
  process_pool pool(2);
  std::vector<future<int>> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(pool.submit<same>(i));
    if (i % 50 == 0) pool.resize(1 + (i / 50) % 5);
  }
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
  EXPECT_EQ(pool.stats().lost, 0u);
}

TEST(SpecPoolEnds, FinishesWhatItWasGiven) {
  std::vector<future<int>> all;
  {
    process_pool pool(2);
    for (int i = 0; i < 100; ++i) all.push_back(pool.submit<same>(i));
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
}

TEST(SpecPoolEnds, WhenItsWorkersAreKilledMeanwhile) {
  std::vector<future<int>> all;
  {
    process_pool pool(2);
    for (int i = 0; i < 100; ++i) all.push_back(pool.with({.retries = 100}).submit<same>(i));
    for (int id : pool.pids()) ::kill(id, SIGKILL);
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
}

TEST(SpecPoolEnds, WithStoppedWorkers) {
  process_pool pool({.workers = 2, .grace = 0s});
  const int id = pool.submit<pid>().get();
  ::kill(id, SIGSTOP);
  pool.shutdown(tutti::cancel);
  EXPECT_TRUE(tutti_test::ends(id));
}

TEST(SpecPoolEnds, FromAnotherHandle) {
  std::unique_ptr<executor> other;
  {
    process_pool pool(1);
    other = pool.share();
    EXPECT_EQ(pool.submit<same>(1).get(), 1);
  }
  EXPECT_EQ(other->submit<same>(2).get(), 2);
}

TEST(SpecPoolCalls, OfAllKinds) {
  const auto pool = make_executor("processes:2");
  const std::vector<std::pair<int, int>> pairs{{1, 2}, {3, 4}};
  std::vector<int> sums;
  for (int n : pool->map<add>(pairs)) sums.push_back(n);
  EXPECT_EQ(sums, (std::vector<int>{3, 7}));
  std::set<int> some;
  for (const auto& [index, value] : pool->map_unordered<same>(std::vector{5, 6, 7})) {
    EXPECT_EQ(value, static_cast<int>(index) + 5);
    some.insert(value);
  }
  EXPECT_EQ(some.size(), 3u);
  EXPECT_EQ(pool->submit_bulk<same>(std::vector{1, 2, 3}).get(), (std::vector{1, 2, 3}));
  const shared_array<int> made = pool->submit<make_array>(1000u).get();
  EXPECT_EQ(made[999], 999);
}

TEST(SpecPoolCalls, AreRetriedAfterRetryableExceptions) {
  process_pool pool(1);
  const shared_value<int> left(2);
  EXPECT_EQ(pool.with({.retries = 2}).submit<fails_at_first>(left).get(), 8);
  left.store(2);
  EXPECT_ANY_THROW(pool.with({.retries = 1}).submit<fails_at_first>(left).get());
  EXPECT_EQ(left.load(), 0);
}

TEST(SpecPoolCalls, OfWhoIsKilledKeepSharedArraysAlive) {
  process_pool pool(1);
  shared_array<int> made = pool.submit<make_array>(1000u).get();
  const int id = pool.submit<pid>().get();
  ::kill(id, SIGKILL);
  ASSERT_TRUE(tutti_test::ends(id));
  EXPECT_EQ(made[999], 999);
  made = pool.submit<make_array>(10u).get();
  EXPECT_EQ(made.size(), 10u);
}

}  // namespace
}  // namespace tutti
