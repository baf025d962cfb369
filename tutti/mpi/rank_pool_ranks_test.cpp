// rank_pool: calls, results, errors, stops, limits, and its end, on as many ranks as there are.
#include <tutti/base/error.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/rank_pool.hpp>

#include <gtest/gtest.h>

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace rank_pool_test {

namespace fs = std::filesystem;

int add(int a, int b) { return a + b; }
int square(int x) { return x * x; }
int odd_is_bad(int x) {
  if (x % 2 != 0) throw std::out_of_range("odd: " + std::to_string(x));
  return x;
}
std::vector<double> echo(std::vector<double> values) { return values; }
int pid() { return ::getpid(); }
void touch(const std::string& file) { std::ofstream(file) << 'x'; }
void wait_for(const std::string& file) {
  while (!fs::exists(file)) std::this_thread::yield();
}
// Says that it has begun, and ends when it is asked to stop.
void until_stopped(const std::string& file) {
  touch(file);
  while (!tutti::this_task::stop_requested()) std::this_thread::yield();
  touch(file + ".stopped");
}
int counter = 0;
int count() { return ++counter; }
// Two of three calls in one process fail.
int attempts = 0;
int flaky() {
  if (++attempts % 3 != 0) throw tutti::retryable("not yet");
  return 3;
}

}  // namespace rank_pool_test

namespace {

using namespace rank_pool_test;
using tutti::mpi::rank_pool;
using tutti::mpi::world;

// A folder that rank 0 makes and removes; the other ranks get its name in their calls.
class folder {
 public:
  folder() {
    std::string name = (fs::temp_directory_path() / "tutti-rank-pool-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~folder() { fs::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

// One caller and one worker (the caller itself where there is one rank only); other ranks have no part in it.
template <class G>
void with_one_worker(G&& g) {
  const std::vector<int> two = world().size() > 1 ? std::vector{0, 1} : std::vector{0};
  const auto members = world().group(two);
  if (members) {
    rank_pool pool(*members);
    if (pool.is_caller()) {
      EXPECT_EQ(pool.concurrency(), 1);
      g(pool);
    }
  }
  world().barrier();
}

TEST(RankPool, CallsComeBackAndAllRanksGoOn) {
  {
    rank_pool pool;
    EXPECT_EQ(pool.is_caller(), world().rank() == 0);
    if (pool.is_caller()) {
      EXPECT_EQ(pool.concurrency(), std::max(world().size() - 1, 1));
      EXPECT_EQ(pool.submit<add>(2, 3).get(), 5);
      EXPECT_EQ(pool.submit<pid>().get() == ::getpid(), world().size() == 1);
      EXPECT_FALSE(pool.has_lost_any());
    } else {
      EXPECT_THROW((void)pool.submit<add>(2, 3), tutti::closed);
    }
  }
  EXPECT_EQ(world().allreduce(1, tutti::mpi::sum), world().size());  // the code behind a pool runs on all
}

TEST(RankPool, MapIsInOrderAndGoesOnBehindErrors) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  std::vector<int> in(20000);
  std::iota(in.begin(), in.end(), 0);
  int at = 0;
  for (const int x : pool.map<square>(in)) {
    EXPECT_EQ(x, at * at);
    ++at;
  }
  EXPECT_EQ(at, 20000);
  auto results = pool.map<odd_is_bad>(std::vector{0, 1, 2});
  auto it = results.begin();
  EXPECT_EQ(*it, 0);
  EXPECT_THROW(
      {
        ++it;
        (void)*it;
      },
      std::out_of_range);
  EXPECT_EQ(pool.submit_bulk<square>(std::vector{1, 2, 3}).get(), (std::vector{1, 4, 9}));
}

TEST(RankPool, ManySmallCallsFromSeveralThreads) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<tutti::future<int>> all;
      for (int i = 0; i < 3000; ++i) all.push_back(pool.submit<add>(t, i));
      for (int i = 0; i < 3000; ++i) right += all[static_cast<std::size_t>(i)].get() == t + i ? 1 : 0;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(right, 9000);
}

// What a worker gives back it says over one socket, the answer of the next call that it runs over the other one: that
// may come first.
TEST(RankPool, AnswersOvertakeWhatIsGivenBack) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        std::vector<tutti::future<int>> all;
        for (int i = 0; i < 300; ++i) all.push_back(pool.submit<add>(t, i));
        for (int i = 0; i < 300; ++i) right += all[static_cast<std::size_t>(i)].get() == t + i ? 1 : 0;
      });
    }
    for (std::thread& t : threads) t.join();
    ASSERT_EQ(right, 900) << round;
  }
}

TEST(RankPool, ErrorsAreThemselves) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  try {
    pool.submit<odd_is_bad>(7).get();
    ADD_FAILURE() << "no exception";
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "odd: 7");
  }
}

TEST(RankPool, RetriesWhatIsRetryable) {
  with_one_worker([](rank_pool& pool) {
    EXPECT_EQ(pool.with({.retries = 2}).submit<flaky>().get(), 3);
    EXPECT_THROW(pool.with({.retries = 2}).submit<odd_is_bad>(1).get(), std::out_of_range);
  });
}

TEST(RankPool, ArgumentsAndResultsLargerThanAnyBuffer) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  std::vector<double> large(25'000'000);  // 200 MB
  std::iota(large.begin(), large.end(), 0.0);
  EXPECT_TRUE(pool.submit<echo>(large).get() == large);
  std::vector<tutti::future<std::vector<double>>> several;
  for (int i = 0; i < 8; ++i) several.push_back(pool.submit<echo>(std::vector<double>(200'000, i)));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(several[static_cast<std::size_t>(i)].get()[199'999], i);
}

TEST(RankPool, ContinuationsMaySubmitMore) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  auto outer = pool.submit<add>(1, 2).then([&](int x) { return pool.submit<square>(x).get(); });
  EXPECT_EQ(outer.get(), 9);
}

TEST(RankPool, HigherPrioritiesBeginEarlier) {
  with_one_worker([](rank_pool& pool) {
    const folder files;
    auto blocker = pool.submit<wait_for>(files / "go");
    auto low = pool.with({.priority = -1}).submit<count>();
    auto middle = pool.submit<count>();
    auto high = pool.with({.priority = 1}).submit<count>();
    touch(files / "go");
    blocker.get();
    const int first = high.get();
    EXPECT_EQ(middle.get(), first + 1);
    EXPECT_EQ(low.get(), first + 2);
  });
}

TEST(RankPool, WhatIsCancelledBeforeItBeginsIsNotRun) {
  with_one_worker([](rank_pool& pool) {
    const folder files;
    auto blocker = pool.submit<wait_for>(files / "go");
    auto never = pool.submit<touch>(files / "never");
    never.cancel();
    touch(files / "go");
    blocker.get();
    EXPECT_THROW(never.get(), tutti::cancelled);
    EXPECT_EQ(pool.submit<add>(1, 1).get(), 2);
    EXPECT_FALSE(fs::exists(files / "never"));
  });
}

TEST(RankPool, AStopReachesTheCallThatRuns) {
  with_one_worker([](rank_pool& pool) {
    const folder files;
    auto running = pool.submit<until_stopped>(files / "begun");
    wait_for(files / "begun");
    running.cancel();
    EXPECT_EQ(pool.submit<add>(1, 1).get(), 2);  // the only worker is free again
    EXPECT_TRUE(fs::exists(files / "begun.stopped"));
  });
}

TEST(RankPool, ATimeoutFailsTheCallAndAsksItToStop) {
  with_one_worker([](rank_pool& pool) {
    const folder files;
    auto late = pool.with({.timeout = std::chrono::milliseconds(30)}).submit<until_stopped>(files / "begun");
    auto behind = pool.submit<add>(1, 1);
    EXPECT_THROW(late.get(), tutti::timed_out);
    EXPECT_EQ(behind.get(), 2);
    EXPECT_TRUE(fs::exists(files / "begun.stopped"));
    EXPECT_EQ(pool.with({.timeout = std::chrono::hours(1)}).submit<add>(2, 2).get(), 4);
  });
}

TEST(RankPool, ShutdownFinishes) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  std::vector<tutti::future<int>> all;
  for (int i = 0; i < 500; ++i) all.push_back(pool.submit<square>(i));
  pool.shutdown();
  for (int i = 0; i < 500; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i * i);
  EXPECT_THROW((void)pool.submit<square>(1), tutti::closed);
  pool.shutdown();  // again is harmless
}

TEST(RankPool, ShutdownCancelsWhatHasNotBegunAndStopsTheRest) {
  with_one_worker([](rank_pool& pool) {
    const folder files;
    auto running = pool.submit<until_stopped>(files / "begun");
    wait_for(files / "begun");
    auto waiting = pool.submit<touch>(files / "never");
    pool.shutdown(tutti::cancel);
    EXPECT_THROW(waiting.get(), tutti::cancelled);
    EXPECT_FALSE(fs::exists(files / "never"));
    EXPECT_TRUE(fs::exists(files / "begun.stopped"));
  });
}

TEST(RankPool, HandlesAreToOnePool) {
  rank_pool pool;
  if (!pool.is_caller()) return;
  auto handle = pool.share();
  EXPECT_EQ(handle->id(), pool.id());
  EXPECT_EQ(handle->submit<square>(3).get(), 9);
  handle.reset();
  EXPECT_EQ(pool.submit<square>(4).get(), 16);
}

TEST(RankPool, TheSpecTakesNoCount) { EXPECT_THROW((void)tutti::make_executor("ranks:4"), tutti::bad_spec); }

}  // namespace
