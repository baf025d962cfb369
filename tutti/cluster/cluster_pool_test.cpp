// cluster_pool: an executor over workers, here over the one that it brings with it, and over one beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/cluster_pool.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/worker.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/this_task.hpp>

#include <atomic>
#include <numeric>
#include <tests/support/broker_place.hpp>
#include <tests/support/cluster_client.hpp>
#include <tests/support/sqlite_file.hpp>
#include <vector>

namespace cluster_pool_test {

int twice(int a) { return 2 * a; }
int refuse(int a) { throw std::invalid_argument("no " + std::to_string(a)); }
std::atomic<int> attempts{0};
int flaky(int failures) {
  if (attempts++ < failures) throw tutti::retryable("not yet");
  return attempts;
}
std::atomic<bool> is_running{false};
void wait_for_stop() {
  is_running = true;
  while (!tutti::this_task::stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  is_running = false;
  throw tutti::cancelled("as asked");
}
std::atomic<bool> may_go{false};
int wait_to_go() {
  while (!may_go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return 7;
}
std::size_t size_of(const std::string& bytes) { return bytes.size(); }

}  // namespace cluster_pool_test

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using namespace cluster_pool_test;
using testing::HasSubstr;
using tutti_test::eventually;
using tutti_test::message_of;
using tutti_test::sqlite_file;
using tutti_test::test_folder;

TEST(ClusterPool, RunsFunctionsByName) {
  const auto pool = make_executor("memory://cluster_pool_test?concurrency=2");
  EXPECT_EQ(pool->concurrency(), 2);
  EXPECT_EQ(pool->submit<twice>(21).get(), 42);
  EXPECT_EQ(pool->submit<size_of>(std::string(100000, '\0')).get(), 100000U);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { pool->submit<refuse>(7).get(); }), "no 7");
}

TEST(ClusterPool, MapsInOrder) {
  const auto pool = make_executor("memory://?concurrency=2");
  std::vector<int> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0);
  int i = 0;
  for (const int n : pool->map<twice>(numbers)) EXPECT_EQ(n, 2 * i++);
  EXPECT_EQ(i, 1000);
  const std::vector<int> all = pool->submit_bulk<twice>(numbers).get();
  EXPECT_EQ(all.at(999), 1998);
}

TEST(ClusterPool, TriesAgain) {
  const auto pool = make_executor("memory://");
  attempts = 0;
  EXPECT_EQ(pool->with({.retries = 3}).submit<flaky>(2).get(), 3);
  attempts = 0;
  EXPECT_THROW(pool->submit<flaky>(1).get(), retryable);
}

TEST(ClusterPool, StopsWhatIsCancelled) {
  const auto pool = make_executor("memory://");
  auto running = pool->submit<wait_for_stop>();
  ASSERT_TRUE(eventually([] { return is_running.load(); }));
  running.cancel();
  EXPECT_THROW(running.get(), cancelled);
  EXPECT_TRUE(eventually([] { return !is_running.load(); }));
}

TEST(ClusterPool, EndsCallsThatTakeTooLong) {
  const auto pool = make_executor("memory://");
  EXPECT_THROW(pool->with({.timeout = 20ms}).submit<wait_for_stop>().get(), timed_out);
  EXPECT_TRUE(eventually([] { return !is_running.load(); }));
}

TEST(ClusterPool, FinishesWhatItWasGiven) {
  std::vector<future<int>> results;
  {
    const auto pool = make_executor("memory://?concurrency=2");
    for (int i = 0; i < 2000; ++i) results.push_back(pool->submit<twice>(i));
    pool->shutdown();
    EXPECT_THROW((void)pool->submit<twice>(1), closed);
  }
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), 2 * i);
}

TEST(ClusterPool, CancelsWhenShutDownSo) {
  cluster_pool pool(app({.broker = "memory://cancels", .patience = 50ms}), {.concurrency = 1});
  auto running = pool.submit<wait_for_stop>();
  ASSERT_TRUE(eventually([] { return is_running.load(); }));
  std::vector<future<int>> others;
  for (int i = 0; i < 100; ++i) others.push_back(pool.submit<twice>(i));
  pool.shutdown(cancel);
  EXPECT_THROW(running.get(), cancelled);
  for (auto& one : others) {
    try {
      one.get();
    } catch (const cancelled&) {  // those that had not begun
    }
  }
  EXPECT_TRUE(eventually([] { return !is_running.load(); }));
}

TEST(ClusterPool, LeavesNothingInTheStore) {
  const test_folder folder;
  const app where({.broker = "sqlite:" + folder.file()});
  worker works(where, {.queues = {"tutti"}, .concurrency = 1});
  works.start();
  cluster_pool pool(where);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit<twice>(i).get(), 2 * i);
  pool.shutdown();
  EXPECT_EQ(sqlite_file(folder.file()).number("SELECT count(*) FROM result"), 0);
  works.shutdown();
  EXPECT_EQ(works.wait(), 0);
}

TEST(ClusterPool, CallsFailWhereNothingCanBeStored) {
  const auto pool = make_executor("sqlite:/nowhere/to/be/found/tasks.db");
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(message_of([&] { pool->submit<twice>(i).get(); }), HasSubstr("/nowhere/to/be/found"));
  }
}

// Also those that are on their way to the broker at that moment.
TEST(ClusterPool, CancelEndsAllCallsWithoutAWorker) {
  const test_folder folder;
  const app where({.broker = "sqlite:" + folder.file(), .patience = 1ms});
  const std::string takes_a_while(20'000, 'x');
  for (int round = 0; round < 5; ++round) {
    cluster_pool pool(where);
    std::vector<future<std::size_t>> results;
    for (int i = 0; i < 300; ++i) results.push_back(pool.submit<size_of>(takes_a_while));
    pool.shutdown(cancel);
    for (auto& one : results) EXPECT_THROW(one.get(), cancelled);
  }
}

TEST(ClusterPool, SaysWhatItWaitsFor) {
  const test_folder folder;
  const app where({.broker = "sqlite:" + folder.file(), .patience = 20ms});
  const log_capture log;
  cluster_pool pool(where, {.queue = "calls"});
  auto result = pool.submit<twice>(4);
  std::jthread ends([&] { pool.shutdown(); });
  EXPECT_TRUE(eventually([&] { return log.contains("no worker takes"); }));
  EXPECT_TRUE(log.contains("calls=1 queue=calls broker=sqlite:")) << testing::PrintToString(log.lines());
  worker works(where, {.queues = {"calls"}, .concurrency = 1});
  works.start();
  ends.join();
  EXPECT_EQ(result.get(), 8);
  works.shutdown();
  EXPECT_EQ(works.wait(), 0);
}

TEST(ClusterPool, SharesItsPlace) {
  auto pool = make_executor("memory://");
  const auto other = pool->share();
  EXPECT_EQ(other->id(), pool->id());
  pool.reset();
  EXPECT_EQ(other->submit<twice>(2).get(), 4);
}

TEST(ClusterPool, LastHandleMayGoWhereACallEnds) {
  may_go = false;
  const app current({.broker = "memory://"});  // the first of a process stays
  auto pool = make_executor("memory://last-handle?concurrency=1");
  const std::weak_ptr<broker> its = app({.broker = "memory://last-handle"}).tasks();
  ASSERT_FALSE(its.expired());
  auto gated = pool->submit<wait_to_go>();
  auto behind = pool->submit<twice>(4);  // is away while the handle goes
  std::string refused;
  std::atomic<bool> has_gone{false};
  std::move(gated).on_done([&, pool = std::move(pool)]() mutable {
    refused = message_of<std::logic_error>([&] { pool->shutdown(); });
    pool.reset();
    has_gone = true;
  });
  may_go = true;
  ASSERT_TRUE(eventually([&] { return has_gone.load(); }));
  EXPECT_THAT(refused, HasSubstr("another thread"));
  ASSERT_TRUE(behind.wait_for(30s));
  EXPECT_EQ(behind.get(), 8);
  gated = {}, behind = {};
  EXPECT_TRUE(eventually([&] { return its.expired(); }));  // at last its worker is gone, and all threads of that
}

TEST(ClusterPool, CallsThatAreTooBigFail) {
  const auto pool = make_executor("memory://?concurrency=1");
  auto big = pool->submit<size_of>(std::string(80'000'000, 'x'));
  EXPECT_EQ(pool->submit<twice>(3).get(), 6);
  EXPECT_THAT(message_of<std::invalid_argument>([&] { (void)big.get(); }), HasSubstr("100 MB"));
}

TEST(ClusterPool, SpecsThatMakeNoSenseAreRefused) {
  EXPECT_THAT(message_of<bad_spec>([] { (void)make_executor("memory://?concurrency=0"); }), HasSubstr("concurrency=0"));
  EXPECT_THAT(message_of<bad_spec>([] { (void)make_executor("memory://?concurrency=x"); }), HasSubstr("concurrency=x"));
  EXPECT_THAT(message_of<bad_spec>([] { (void)make_executor("memory://me?concurrency=100000"); }),
              testing::AllOf(HasSubstr("memory://me"), HasSubstr("concurrency of 100000"), HasSubstr("4096")));
  EXPECT_THROW((void)make_executor("redis://user:secret@host:port"), bad_spec);
  EXPECT_THAT(message_of<bad_spec>([] { (void)make_executor("redis://user:secret@host:99999999"); }),
              testing::Not(HasSubstr("secret")));
  EXPECT_THROW((void)make_executor("sqlite:"), bad_spec);
}

}  // namespace
}  // namespace tutti::cluster
