// Idle workers that end, in every way: nothing is lost, the pool goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <vector>

namespace spec_idle {

int same(int n) { return n; }
int pid() { return ::getpid(); }

int down(volatile int* p) {
  volatile int here[1000];
  here[0] = *p;
  return here[0] == -1 ? 0 : down(&here[0]) + here[1];
}

void end_by(const std::string& way) {
  if (way == "exit0") std::exit(0);
  if (way == "exit3") std::exit(3);
  if (way == "_exit0") ::_exit(0);
  if (way == "_exit3") ::_exit(3);
  if (way == "quick_exit") std::quick_exit(3);
  if (way == "abort") std::abort();
  if (way == "segfault") tutti_test::segfault();
  if (way == "stack") {
    volatile int zero = 0;
    static_cast<void>(down(&zero));
  }
  if (way == "throw") throw std::runtime_error("nobody catches it");
  if (way == "raise") ::raise(SIGKILL);
  if (way == "term") ::kill(::getpid(), SIGTERM);
  if (way == "fpe") ::raise(SIGFPE);
}

/// Leaves a thread behind, which ends the process once it is told to. Its process.
int leave_behind(tutti::shared_value<int> go, const std::string& way) {
  std::thread([go, way] {
    go.wait(0);
    end_by(way);
  }).detach();
  return ::getpid();
}
int leave_at_semaphore(tutti::process_semaphore go, const std::string& way) {
  std::thread([go, way] {
    go.acquire();
    end_by(way);
  }).detach();
  return ::getpid();
}
int leave_closing(tutti::shared_value<int> go, tutti::shared_value<int> done) {
  std::thread([go, done] {
    go.wait(0);
    ::close_range(0, ~0U, 0);
    done.store(1);
    done.notify_all();
  }).detach();
  return ::getpid();
}
int leave_in_directory(tutti::shared_value<int> go, tutti::shared_value<int> done, const std::string& path) {
  std::thread([go, done, path] {
    go.wait(0);
    if (::chdir(path.c_str()) != 0) std::abort();
    for (int number = 1; number < 32; ++number) ::signal(number, SIG_IGN);
    done.store(1);
    done.notify_all();
  }).detach();
  return ::getpid();
}

/// Destroyed after all that was made later: when it is, exit() is nearly through.
tutti::shared_value<int>* stage = nullptr;
struct made_first {
  ~made_first() {
    if (stage == nullptr) return;
    stage->store(2);
    stage->notify_all();
    stage->wait(2);
  }
};
[[gnu::init_priority(102)]] const made_first destroyed_last;

int leave_exiting(tutti::shared_value<int> at) {
  stage = new tutti::shared_value<int>(at);  // for as long as the process lives
  std::thread([at] {
    at.wait(0);
    std::exit(0);
  }).detach();
  return ::getpid();
}

}  // namespace spec_idle

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_idle;

class SpecPoolIdle : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
};

void set(const shared_value<int>& flag) {
  flag.store(1);
  flag.notify_all();
}

TEST_P(SpecPoolIdle, OnlyWorkerEnds) {
  process_pool pool(1);
  const shared_value<int> go(0);
  const int first = pool.submit<leave_behind>(go, GetParam()).get();
  const unique_fd worker = tutti_test::watch(first);
  set(go);
  ASSERT_TRUE(tutti_test::ends(worker));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
  EXPECT_EQ(pool.stats().lost, 1u);
  EXPECT_EQ(pool.stats().retried, 0u);
  EXPECT_EQ(pool.stats().completed, 11u);
  for (int id : pool.pids()) EXPECT_NE(id, first);
}

// Calls are submitted while it ends: those that it has begun may be lost, and are run again here.
TEST_P(SpecPoolIdle, EndsWhileCallsAreSubmitted) {
  process_pool pool(2);
  std::vector<shared_value<int>> flags;
  for (int round = 0; round < 4; ++round) {
    const shared_value<int> go(0);
    // The last round's worker may still be about to end.
    pool.with({.retries = 10}).submit<leave_behind>(go, GetParam()).get();
    flags.push_back(go);
    std::vector<future<int>> results;
    for (int i = 0; i < 20; ++i) {
      results.push_back(pool.with({.retries = 10}).submit<same>(i));
      if (i == 10) set(go);
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), i);
  }
}

TEST_P(SpecPoolIdle, AllOfSeveralEnd) {
  process_pool pool(3);
  const process_semaphore go(3);
  for (int i = 0; i < 3; ++i) go.acquire();
  std::vector<unique_fd> workers;
  std::vector<future<int>> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(pool.submit<leave_at_semaphore>(go, GetParam()));
  for (auto& id : ids) workers.push_back(tutti_test::watch(id.get()));  // perhaps the same one twice
  go.release(3);
  for (const unique_fd& worker : workers) ASSERT_TRUE(tutti_test::ends(worker));
  for (int i = 0; i < 30; ++i) EXPECT_EQ(pool.with({.retries = 10}).submit<same>(i).get(), i);
}

INSTANTIATE_TEST_SUITE_P(Ways, SpecPoolIdle,
                         testing::Values("exit0", "exit3", "_exit0", "_exit3", "quick_exit", "abort", "segfault",
                                         "stack", "throw", "raise", "term", "fpe"),
                         [](const auto& way) { return std::string(way.param); });

TEST(SpecPoolIdleKilled, FromOutside) {
  process_pool pool(2);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  for (int round = 0; round < 10; ++round) {
    for (int id : pool.pids()) {
      const unique_fd worker = tutti_test::watch(id);
      ::kill(id, SIGKILL);
      ASSERT_TRUE(tutti_test::ends(worker));
    }
    std::vector<future<int>> results;
    for (int i = 0; i < 10; ++i) results.push_back(pool.submit<same>(i));
    for (int i = 0; i < 10; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), i);
  }
  EXPECT_EQ(pool.stats().retried, 0u);
  EXPECT_EQ(pool.stats().completed, 101u);
}

TEST(SpecPoolIdleKilled, BeforeTheFirstCall) {
  process_pool pool(3);
  for (int id : pool.pids()) {
    const unique_fd worker = tutti_test::watch(id);
    ::kill(id, SIGKILL);
    ASSERT_TRUE(tutti_test::ends(worker));
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
}

TEST(SpecPoolIdleKilled, AndNobodySubmitsAgain) {
  process_pool pool(2);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  for (int id : pool.pids()) ::kill(id, SIGKILL);
}

TEST(SpecPoolIdleKilled, LeavesNoZombie) {
  process_pool pool(2);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  const std::vector<int> ids = pool.pids();
  for (int id : ids) ::kill(id, SIGKILL);
  // Whoever is reaped is no zombie: it has no state at all.
  for (int id : ids) {
    const auto late = std::chrono::steady_clock::now() + tutti_test::hang;
    while (tutti_test::state_of(id) != 0 && std::chrono::steady_clock::now() < late) std::this_thread::yield();
    EXPECT_EQ(tutti_test::state_of(id), 0);
  }
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

// While it is in exit(), and its static objects are gone: calls that it is given are run by another, or well.
TEST(SpecPoolIdleExits, CallsMeanwhileAreRun) {
  ::alarm(60);
  const shared_value<int> at(0);
  process_pool pool(1);
  const int worker = pool.submit<leave_exiting>(at).get();
  set(at);
  while (at.load() != 2) at.wait(1);
  auto one = pool.with({.retries = 10}).submit<same>(1);
  // It may also be run when the worker is gone at last.
  static_cast<void>(one.wait_for(200ms));
  at.store(3);
  at.notify_all();
  EXPECT_EQ(one.get(), 1);
  EXPECT_TRUE(tutti_test::ends(worker));
  EXPECT_EQ(pool.submit<same>(2).get(), 2);
  ::alarm(0);
}

TEST(SpecPoolIdleStopped, WorkerFailsItsCallByTimeout) {
  process_pool pool({.workers = 1, .grace = 0s});
  const int id = pool.submit<pid>().get();
  ::kill(id, SIGSTOP);
  while (tutti_test::state_of(id) != 'T') std::this_thread::yield();
  // It may count from when the worker has got it.
  EXPECT_THROW(pool.with({.timeout = 20ms}).submit<same>(2).get(), timed_out);
  EXPECT_EQ(pool.submit<same>(3).get(), 3);
  EXPECT_TRUE(tutti_test::ends(id));
}

TEST(SpecPoolIdleStopped, WorkerIsKilledWithThePool) {
  process_pool pool({.workers = 2, .grace = 0s});
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  for (int id : pool.pids()) ::kill(id, SIGSTOP);
}

TEST(SpecPoolIdleStopped, WorkerGoesOn) {
  process_pool pool(1);
  const int id = pool.submit<pid>().get();
  ::kill(id, SIGSTOP);
  while (tutti_test::state_of(id) != 'T') std::this_thread::yield();
  auto two = pool.submit<same>(2);
  ::kill(id, SIGCONT);
  EXPECT_EQ(two.get(), 2);
  EXPECT_EQ(pool.stats().lost, 0u);
}

TEST(SpecPoolIdleManners, DescriptorsClosedBehindThePoolsBack) {
  process_pool pool(1);
  const shared_value<int> go(0), done(0);
  pool.submit<leave_closing>(go, done).get();
  set(go);
  done.wait(0);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
}

TEST(SpecPoolIdleManners, DirectoryAndSignalsChanged) {
  process_pool pool({.workers = 1, .grace = 0s});
  const shared_value<int> go(0), done(0);
  pool.submit<leave_in_directory>(go, done, "/").get();
  set(go);
  done.wait(0);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
}

}  // namespace
}  // namespace tutti
