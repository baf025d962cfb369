// What users of today's process pools suffer: each complaint, and that it does not happen here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <tests/support/choices.hpp>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/process/processes.hpp>
#include <vector>

namespace spec_interop {

int same(int n) { return n; }
int die_at_seven(int n) {
  if (n == 7) ::raise(SIGKILL);
  return n;
}
std::size_t length(const std::string& text) { return text.size(); }
std::string die_with(std::string text) {
  ::raise(SIGKILL);
  return text;
}
struct dies_half_way {
  template <class Archive>
  void save(Archive& archive) const {
    archive(std::string(3'000'000, 'a'));
    ::raise(SIGKILL);
  }
  template <class Archive>
  void load(Archive&) {}
};
dies_half_way half_a_result() { return {}; }
int depth(int levels) {
  if (levels == 0) return 0;
  tutti::process_pool inner(1);
  return 1 + inner.submit<depth>(levels - 1).get();
}
int gate(tutti::shared_value<int> inside, tutti::shared_value<int> open, int n) {
  inside.fetch_add(1);
  inside.notify_all();
  open.wait(0);
  return n;
}
int count_and_wait(tutti::shared_value<int> begun, tutti::shared_value<int> open) {
  begun.fetch_add(1);
  begun.notify_all();
  open.wait(0);
  return 1;
}
int until_stopped(tutti::shared_value<int> inside) {
  inside.store(1);
  inside.notify_all();
  while (!tutti::this_task::stop_requested()) ::sched_yield();
  return ::getpid();
}
int pid() { return ::getpid(); }
void until_killed() {
  for (;;) ::pause();
}
int allocate_and_print(int n) {
  const auto p = std::make_unique<std::string>(static_cast<std::size_t>(10'000 + n), 'x');
  asm volatile("" : : "r"(p->data()) : "memory");
  std::fprintf(stderr, "%s", "");
  return n;
}
long resident() {
  std::ifstream in("/proc/self/statm");
  long all = 0, here = 0;
  in >> all >> here;
  return here * ::sysconf(_SC_PAGESIZE);
}
int processors() {
  const tutti::process_pool pool;
  return pool.concurrency() * 100 + tutti::default_concurrency();
}
void one_processor() {
  if (processors() != 101) std::exit(1);
}
}  // namespace spec_interop

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_interop;
using testing::HasSubstr;

class SpecInterop : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<pid>).join(); }  // what the module keeps open is open
};

void open_gate(const shared_value<int>& gate) {
  gate.store(1);
  gate.notify_all();
}

// "map hangs when a worker is killed; or all pending futures break, and the pool with them"
TEST_F(SpecInterop, MapGoesOnWhenAWorkerIsKilled) {
  process_pool pool(2);
  std::vector<int> all(20);
  std::iota(all.begin(), all.end(), 0);
  std::vector<int> got;
  int lost = 0;
  auto results = pool.map<die_at_seven>(all, {.chunk = 1});
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      got.push_back(*it);
    } catch (const worker_lost&) {
      ++lost;
    }
  }
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(got.size(), 19u);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

// "which of my calls was it, and why? 'terminated abruptly' says nothing"
TEST_F(SpecInterop, AKilledCallIsNamed) {
  process_pool pool({.workers = 1, .name = "press"});
  try {
    pool.with({.name = "page 12"}).submit<die_at_seven>(7).get();
    FAIL();
  } catch (const worker_lost& e) {
    EXPECT_EQ(e.signal(), SIGKILL);
    for (const char* part : {"press", "page 12", "SIGKILL", "pid "}) EXPECT_THAT(e.what(), HasSubstr(part));
  }
}

// "the pool deadlocks while many calls are submitted: the pipe that wakes it is full"
TEST_F(SpecInterop, AHundredThousandCallsAreAcceptedWhileNobodyReads) {
  process_pool pool(1);
  const shared_value<int> inside(0), open(0);
  auto first = pool.submit<gate>(inside, open, 1);
  inside.wait(0);
  std::vector<future<int>> rest;
  for (int i = 0; i < 100'000; ++i) rest.push_back(pool.submit<same>(i));
  open_gate(open);
  EXPECT_EQ(first.get(), 1);
  long sum = 0;
  for (auto& one : rest) sum += one.get();
  EXPECT_EQ(sum, 4'999'950'000);
}

// "the pool deadlocks when a worker is killed while large arguments or results are on their way"
TEST_F(SpecInterop, AWorkerIsKilledAmidLargeData) {
  process_pool pool(2);
  const std::string large(3'000'000, 'l');
  std::vector<future<std::string>> bad;
  std::vector<future<std::size_t>> good;
  for (int i = 0; i < 6; ++i) {
    bad.push_back(pool.submit<die_with>(large));
    good.push_back(pool.submit<length>(large));
  }
  auto half = pool.submit<half_a_result>();
  for (auto& one : bad) EXPECT_THROW(one.get(), worker_lost);
  for (auto& one : good) EXPECT_EQ(one.get(), large.size());
  EXPECT_THROW(half.get(), worker_lost);
}

// "daemonic processes are not allowed to have children"; "a call that waits for another of its pool hangs"
TEST_F(SpecInterop, CallsMayHavePoolsOfTheirOwn) {
  process_pool pool(1);
  EXPECT_EQ(pool.submit<depth>(4).get(), 4);
}

// "fork with threads: the worker hangs in a lock that another thread held"
TEST_F(SpecInterop, WorkersDoNotInheritLocksOfThreads) {
  std::atomic<bool> over{false};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&over] {
      while (!over) {
        const auto p = std::make_unique<std::string>(20'000, 'x');
        asm volatile("" : : "r"(p->data()) : "memory");
        std::fprintf(stderr, "%s", "");
      }
    });
  }
  ::flockfile(stdout);  // as a thread that is inside of printf has it
  for (int round = 0; round < 4; ++round) {
    process_pool pool({.workers = 2, .start = round % 2 == 0 ? start_method::fork : start_method::exec});
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pool.submit<allocate_and_print>(i).get(), i);
  }
  ::funlockfile(stdout);
  over = true;
}

// "memory of workers and parent grows with each call"
TEST_F(SpecInterop, MemoryIsFlat) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "sanitizers keep what is freed for a while";
#endif
  process_pool pool(1);
  const auto run = [&pool](int calls) {
    std::vector<future<std::size_t>> results;
    for (int i = 0; i < calls; ++i) {
      results.push_back(pool.submit<length>(std::string(100, 'x')));
      if (results.size() < 1000) continue;
      for (auto& one : results) EXPECT_EQ(one.get(), 100u);
      results.clear();
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pool.submit<length>(std::string(1'000'000, 'x')).get(), 1'000'000u);
  };
  run(20'000);
  const long here = resident(), there = pool.submit<resident>().get();
  run(60'000);
  EXPECT_LT(resident() - here, 4 << 20);
  EXPECT_LT(pool.submit<resident>().get() - there, 4 << 20);
}

// "prefetch starves: calls wait behind a long one while other workers are idle"
TEST_F(SpecInterop, NoCallWaitsBehindALongOne) {
  process_pool pool(2);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);  // it has learned that calls are short
  const shared_value<int> inside(0), open(0);
  std::vector<future<int>> before, after;
  for (int i = 0; i < 50; ++i) before.push_back(pool.submit<same>(i));
  auto lengthy = pool.submit<gate>(inside, open, 1);
  for (int i = 0; i < 50; ++i) after.push_back(pool.submit<same>(i));
  for (auto& one : before) EXPECT_TRUE(one.wait_for(tutti_test::hang));
  for (auto& one : after) EXPECT_TRUE(one.wait_for(tutti_test::hang));
  EXPECT_FALSE(lengthy.done());
  open_gate(open);
  EXPECT_EQ(lengthy.get(), 1);
}

// "cancelling stops the worker, or does nothing, or the wrong call"
TEST_F(SpecInterop, CancelledCallsDoNotBegin) {
  process_pool pool(1);
  const shared_value<int> begun(0), open(0);
  auto first = pool.submit<count_and_wait>(begun, open);
  begun.wait(0);
  std::vector<future<int>> rest;
  for (int i = 0; i < 10; ++i) rest.push_back(pool.submit<count_and_wait>(begun, open));
  for (auto& one : rest) one.cancel();
  open_gate(open);
  EXPECT_EQ(first.get(), 1);
  for (auto& one : rest) EXPECT_THROW(one.get(), cancelled);
  EXPECT_EQ(pool.submit<same>(5).get(), 5);
  EXPECT_EQ(begun.load(), 1);
}
TEST_F(SpecInterop, ACancelledRunningCallIsAsked) {
  process_pool pool(1);
  const int worker = pool.submit<pid>().get();
  const shared_value<int> inside(0);
  auto running = pool.submit<until_stopped>(inside);
  inside.wait(0);
  running.cancel();
  try {
    EXPECT_EQ(running.get(), worker);
  } catch (const cancelled&) {
  }
  EXPECT_EQ(pool.submit<pid>().get(), worker);  // it is not stopped itself
  EXPECT_EQ(pool.stats().lost, 0u);
}

// "lost on worker kill": 20 calls, all workers killed again and again, all done
TEST_F(SpecInterop, TwentyOfTwenty) {
  process_pool pool(2);
  std::vector<future<int>> all;
  for (int i = 0; i < 20; ++i) all.push_back(pool.with({.retries = 1000}).submit<same>(i));
  for (int i = 0; i < 20; ++i) {
    for (int id : pool.pids()) ::kill(id, SIGKILL);
    EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
  }
}

// "lost futures": workers are killed at random; each call ends, and no more are lost than workers
TEST_F(SpecInterop, EveryCallEndsWhenWorkersAreKilledAtRandom) {
  tutti_test::choices choose(24);
  process_pool pool(3);
  std::vector<future<int>> all;
  for (int i = 0; i < 2000; ++i) {
    all.push_back(pool.submit<same>(i));
    if (choose.one_in(50)) {
      const std::vector<int> ids = pool.pids();
      if (!ids.empty()) ::kill(ids[choose.below(static_cast<unsigned>(ids.size()))], SIGKILL);
    }
  }
  std::uint64_t lost = 0;
  for (int i = 0; i < 2000; ++i) {
    auto& one = all[static_cast<std::size_t>(i)];
    ASSERT_TRUE(one.wait_for(tutti_test::hang)) << i;
    try {
      EXPECT_EQ(one.get(), i);
    } catch (const worker_lost& e) {
      // Three in a row that were killed before they were ready end what is queued, too: that is no worker's call.
      if (!std::string_view(e.what()).ends_with("while it started")) ++lost;
    }
  }
  EXPECT_EQ(pool.submit<same>(5).get(), 5);
  EXPECT_LE(lost, pool.stats().lost);
}

// "no timeouts": what is in time arrives, what is not fails alone
TEST_F(SpecInterop, TimeoutsLeaveTheRest) {
  process_pool pool({.workers = 2, .grace = 0s});
  std::vector<future<int>> good;
  auto bad = pool.with({.timeout = 10ms}).submit<until_killed>();
  for (int i = 0; i < 20; ++i) good.push_back(pool.submit<same>(i));
  EXPECT_THROW(bad.get(), timed_out);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(good[static_cast<std::size_t>(i)].get(), i);
}

// "more workers than processors that the process may use"
TEST_F(SpecInterop, AffinityIsRespected) {
  ::cpu_set_t ours;
  ASSERT_EQ(::sched_getaffinity(0, sizeof ours, &ours), 0);
  const int one[] = {::sched_getcpu()};
  process p({.cpus = one}, fn<one_processor>);
  EXPECT_EQ(p.join(), exit_status::exited(0));
}

}  // namespace
}  // namespace tutti
