// The pool as an executor: calls, results, options. What becomes of calls whose worker dies is in pool_failure_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process_pool.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/process/this_process.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace process_pool_test {

int add(int a, int b) { return a + b; }
void nothing() {}
int pid() { return ::getpid(); }
std::string name() { return tutti::this_process::name(); }
std::string task_name() { return std::string(tutti::this_task::name()); }
std::vector<double> doubled(std::vector<double> v) {
  for (double& x : v) x *= 2;
  return v;
}
int fail(int n) { throw std::out_of_range("element " + std::to_string(n)); }
int odd_only(int n) {
  if (n % 2 == 0) throw std::invalid_argument(std::to_string(n) + " is even");
  return n;
}
int level = 0;
void set_level(int to) { level = to; }
int get_level() { return level; }
int add_in_pool_of_its_own(int a, int b) {
  tutti::process_pool inner(1);
  return inner.submit<add>(a, b).get();
}
bool wait_for_stop() {
  while (!tutti::this_task::stop_requested()) std::this_thread::yield();
  return true;
}
bool wait_for_stop_token() {
  std::atomic<bool> stopped{false};
  const std::stop_callback callback(tutti::this_task::stop_token(), [&] { stopped = true; });
  while (!stopped) std::this_thread::yield();
  return true;
}
bool has_deadline() { return tutti::this_task::deadline().has_value(); }
void touch(const std::string& path) { std::ofstream(path) << ::getpid(); }
bool wait_for_file(const std::string& path) {
  while (::access(path.c_str(), F_OK) != 0) std::this_thread::yield();
  return true;
}
std::string fail_until(const std::string& path, int attempts) {
  std::ofstream(path, std::ios::app) << 'x';
  std::ifstream in(path);
  std::string tries;
  in >> tries;
  if (static_cast<int>(tries.size()) < attempts) throw tutti::retryable("not yet");
  return tries;
}

}  // namespace process_pool_test

namespace tutti {
namespace {

using namespace std::chrono_literals;
namespace fs = process_pool_test;

// A path that nothing has yet.
class fresh_path {
 public:
  fresh_path() {
    std::string folder = "/tmp/tutti_pool_XXXXXX";
    folder_ = ::mkdtemp(folder.data());
  }
  ~fresh_path() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  fresh_path(const fresh_path&) = delete;
  fresh_path& operator=(const fresh_path&) = delete;
  std::string path() const { return folder_ + "/file"; }

 private:
  std::string folder_;
};

TEST(ProcessPool, RunsCallsInOtherProcesses) {
  process_pool pool(2);
  EXPECT_EQ(pool.concurrency(), 2);
  EXPECT_EQ(pool.submit<fs::add>(2, 3).get(), 5);
  pool.submit<fs::nothing>().get();
  std::set<int> pids;
  for (int i = 0; i < 100; ++i) pids.insert(pool.submit<fs::pid>().get());
  EXPECT_FALSE(pids.contains(::getpid()));
  EXPECT_LE(pids.size(), 2u);
}

TEST(ProcessPool, ManyCallsKeepTheirResults) {
  process_pool pool(3);
  std::vector<future<int>> all;
  for (int i = 0; i < 20'000; ++i) all.push_back(pool.submit<fs::add>(i, 1));
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(all[static_cast<std::size_t>(i)].get(), i + 1);
  EXPECT_EQ(pool.stats().completed, 20'000u);
}

TEST(ProcessPool, MapKeepsOrder) {
  process_pool pool(2);
  std::vector<int> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::vector<std::pair<int, int>> pairs;
  for (const int n : numbers) pairs.emplace_back(n, n);
  int at = 0;
  for (const int sum : pool.map<fs::add>(pairs)) EXPECT_EQ(sum, 2 * at++);
  EXPECT_EQ(at, 1000);
  std::set<int> seen;
  for (const auto& [index, value] : pool.map_unordered<fs::add>(pairs)) {
    EXPECT_EQ(value, static_cast<int>(2 * index));
    seen.insert(value);
  }
  EXPECT_EQ(seen.size(), 1000u);
  const auto all = pool.submit_bulk<fs::add>(pairs).get();
  EXPECT_EQ(all.size(), 1000u);
  EXPECT_EQ(all[999], 1998);
}

TEST(ProcessPool, AnElementsExceptionIsItsOwn) {
  process_pool pool(2);
  const std::vector<int> numbers = {1, 2, 3, 4};
  auto results = pool.map<fs::odd_only>(numbers);
  int good = 0, bad = 0;
  for (auto at = results.begin(); at != results.end(); ++at) {
    try {
      good += *at;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("is even"));
      ++bad;
    }
  }
  EXPECT_EQ(good, 4);
  EXPECT_EQ(bad, 2);
}

TEST(ProcessPool, LongArgumentsAndResults) {
  process_pool pool(2);
  for (const std::size_t size : {0u, 1u, 1000u, 1024u, 1025u, 100'000u, 2'000'000u}) {
    std::vector<double> v(size);
    std::iota(v.begin(), v.end(), 0.0);
    const auto d = pool.submit<fs::doubled>(v).get();
    ASSERT_EQ(d.size(), size);
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(d[i], 2.0 * static_cast<double>(i));
  }
  // Several at once.
  std::vector<future<std::vector<double>>> all;
  for (int i = 0; i < 20; ++i) all.push_back(pool.submit<fs::doubled>(std::vector<double>(50'000, i)));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), std::vector<double>(50'000, 2 * i));
}

TEST(ProcessPool, ExceptionsArrive) {
  process_pool pool(1);
  EXPECT_THROW(pool.submit<fs::fail>(7).get(), std::out_of_range);
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
}

TEST(ProcessPool, WorkersHaveNamesAndAreInitialised) {
  process_pool pool({.workers = 2, .name = "crunch"}, fn<fs::set_level>, 9);
  EXPECT_EQ(pool.submit<fs::get_level>().get(), 9);
  EXPECT_THAT(pool.submit<fs::name>().get(), testing::MatchesRegex("crunch/[12]"));
  EXPECT_EQ(pool.submit<fs::task_name>().get(), "process_pool_test::task_name");
  EXPECT_EQ(pool.with({.name = "asking"}).submit<fs::task_name>().get(), "asking");
}

TEST(ProcessPool, BothStartMethods) {
  process_pool pool({.workers = 2, .start = start_method::exec}, fn<fs::set_level>, 3);
  EXPECT_EQ(pool.submit<fs::get_level>().get(), 3);
  EXPECT_EQ(pool.submit<fs::add>(2, 3).get(), 5);
}

TEST(ProcessPool, WorkersAreReplacedAfterSoManyCalls) {
  process_pool pool({.workers = 1, .max_tasks_per_worker = 3});
  std::map<int, int> calls;
  for (int i = 0; i < 12; ++i) ++calls[pool.submit<fs::pid>().get()];
  EXPECT_EQ(calls.size(), 4u);
  for (const auto& [pid, n] : calls) EXPECT_EQ(n, 3);
  EXPECT_EQ(pool.stats().lost, 0u);
}

TEST(ProcessPool, TasksMayHavePoolsOfTheirOwn) {
  process_pool pool(2);
  EXPECT_EQ(pool.submit<fs::add_in_pool_of_its_own>(2, 3).get(), 5);
}

TEST(ProcessPool, CanBeResized) {
  process_pool pool(1);
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
  pool.resize(3);
  EXPECT_EQ(pool.concurrency(), 3);
  EXPECT_EQ(pool.stats().workers, 3);
  pool.resize(1);
  EXPECT_EQ(pool.stats().workers, 1);
  EXPECT_EQ(pool.submit<fs::add>(1, 2).get(), 3);
  EXPECT_THROW(pool.resize(0), std::invalid_argument);
  EXPECT_THROW(process_pool(-1), std::invalid_argument);
}

TEST(ProcessPool, ARunningCallIsAskedToStop) {
  process_pool pool(1);
  for (const bool by_token : {false, true}) {
    const fresh_path begun;
    auto touched = pool.submit<fs::touch>(begun.path());
    auto waits = by_token ? pool.submit<fs::wait_for_stop_token>() : pool.submit<fs::wait_for_stop>();
    touched.get();
    waits.cancel();
    try {
      EXPECT_TRUE(waits.get());
    } catch (const cancelled&) {  // it had not begun
    }
  }
}

TEST(ProcessPool, WaitingCallsAreCancelled) {
  process_pool pool(1);
  const fresh_path go;
  auto blocks = pool.submit<fs::wait_for_file>(go.path());
  std::vector<future<int>> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(pool.submit<fs::add>(i, i));
  for (auto& f : waiting) f.cancel();
  for (auto& f : waiting) EXPECT_THROW(f.get(), cancelled);
  std::ofstream(go.path()) << "x";
  EXPECT_TRUE(blocks.get());
  EXPECT_EQ(pool.submit<fs::add>(2, 2).get(), 4);
}

TEST(ProcessPool, PrioritiesOrderWhatWaits) {
  process_pool pool(1);
  const fresh_path go;
  // The first two fill what a worker is given in advance.
  auto blocks = pool.submit<fs::wait_for_file>(go.path());
  auto next = pool.submit<fs::wait_for_file>(go.path());
  std::mutex mutex;
  std::vector<int> order;
  std::vector<future<void>> all;
  for (const int priority : {0, 5, -5, 5}) {
    auto f = pool.with({.priority = priority}).submit<fs::nothing>();
    f.on_done([&, priority] {
      const std::lock_guard lock(mutex);
      order.push_back(priority);
    });
    all.push_back(std::move(f));
  }
  std::ofstream(go.path()) << "x";
  for (auto& f : all) f.get();
  EXPECT_EQ(order, (std::vector<int>{5, 5, 0, -5}));
}

TEST(ProcessPool, RetriesWhatIsWorthIt) {
  process_pool pool(2);
  const fresh_path tries;
  EXPECT_EQ(pool.with({.retries = 4}).submit<fs::fail_until>(tries.path(), 3).get(), "xxx");
  const fresh_path few;
  EXPECT_THROW(pool.with({.retries = 1}).submit<fs::fail_until>(few.path(), 3).get(), retryable);
  EXPECT_EQ(pool.stats().retried, 3u);
}

TEST(ProcessPool, ShutDownFinishesOrCancels) {
  {
    process_pool pool(1);
    std::vector<future<int>> all;
    for (int i = 0; i < 100; ++i) all.push_back(pool.submit<fs::add>(i, i));
    pool.shutdown();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), 2 * i);
    EXPECT_THROW(static_cast<void>(pool.submit<fs::add>(1, 1)), closed);
    EXPECT_THROW(pool.resize(2), closed);
    EXPECT_TRUE(pool.pids().empty());
    pool.shutdown();
  }
  process_pool pool({.workers = 1, .grace = 10s});
  auto running = pool.submit<fs::wait_for_stop>();
  std::vector<future<int>> all;
  for (int i = 0; i < 10; ++i) all.push_back(pool.submit<fs::add>(i, i));
  pool.shutdown(cancel);
  for (auto& f : all) EXPECT_THROW(f.get(), cancelled);
  try {
    EXPECT_TRUE(running.get());
  } catch (const cancelled&) {  // it had not begun
  }
}

TEST(ProcessPool, HandlesShareOnePlace) {
  auto pool = std::make_unique<process_pool>(1);
  const std::unique_ptr<executor> other = pool->share();
  EXPECT_EQ(other->id(), pool->id());
  auto first = pool->submit<fs::add>(1, 2);
  pool.reset();
  EXPECT_EQ(other->submit<fs::add>(2, 2).get(), 4);
  EXPECT_EQ(first.get(), 3);
}

TEST(ProcessPool, FromManyThreads) {
  process_pool pool(2);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 500; ++i) ASSERT_EQ(pool.submit<fs::add>(t, i).get(), t + i);
    });
  }
}

TEST(ProcessPool, ContinuationsRunHere) {
  process_pool pool(1);
  EXPECT_EQ(pool.submit<fs::add>(1, 2).then([](int n) { return n * 10; }).get(), 30);
}

TEST(ProcessPool, ATimeoutGivesADeadline) {
  process_pool pool(1);
  EXPECT_FALSE(pool.submit<fs::has_deadline>().get());
  EXPECT_TRUE(pool.with({.timeout = 1h}).submit<fs::has_deadline>().get());
}

TEST(ProcessPool, IsMadeByItsName) {
  const auto pool = make_executor("processes:2");
  EXPECT_EQ(pool->concurrency(), 2);
  EXPECT_EQ(pool->submit<fs::add>(2, 3).get(), 5);
  EXPECT_GE(make_executor("processes")->concurrency(), 1);
  EXPECT_THROW(make_executor("processes:0"), bad_spec);
  EXPECT_THROW(make_executor("processes:many"), bad_spec);
}

TEST(ProcessPool, AHundredOpenedAndClosed) {
  for (int i = 0; i < 100; ++i) {
    process_pool pool(2);
    if (i % 2 == 0) {
      EXPECT_EQ(pool.submit<fs::add>(i, 1).get(), i + 1);
    }
  }
}

}  // namespace
}  // namespace tutti
