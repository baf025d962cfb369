// Workers with a broker and a result store that go away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/worker.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <tests/support/cluster_worker.hpp>
#include <tests/support/redis_places.hpp>
#include <tests/support/redis_server.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using tutti_test::cluster_bench;
using tutti_test::eventually;
using tutti_test::redis_server;
using tutti_test::running_worker;
using tutti_test::signal_gate;

class WorkerRedis : public testing::Test {
 protected:
  const log_capture quiet_;
  redis_server server_{{.durable = true}};
  cluster_bench bench_{server_.url(), {.lease = 500ms, .patience = 300ms}};
};

TEST(WorkerOnRedis, RunsEachOfManyOnce) {
  constexpr std::size_t many = 1000;
  const log_capture quiet;
  const redis_server server;
  cluster_bench bench(server.url(), {.lease = 30s, .patience = 30s});  // nobody is called dead on a busy machine
  std::vector<std::atomic<int>> runs(many);
  bench.task("note", [&](const std::vector<std::string>& args) {
    ++runs[std::stoul(args.at(0))];
    return args[0];
  });
  running_worker one(bench, {.concurrency = 2}), other(bench, {.pool = worker_pool::inline_});
  std::vector<std::string> ids;
  std::vector<outgoing_message> all;
  for (std::size_t i = 0; i < many; ++i) {
    const task_message m = bench.message("note", "[" + std::to_string(i) + "]");
    ids.push_back(m.id);
    all.push_back({m.queue, encode_message(m), {}, {}});
  }
  bench.app().tasks()->publish(all);
  for (std::size_t i = 0; i < many; ++i) ASSERT_EQ(bench.await(ids[i]).result, std::to_string(i));
  EXPECT_EQ(one.stop(), 0);
  EXPECT_EQ(other.stop(), 0);
  for (const auto& n : runs) EXPECT_EQ(n.load(), 1);
  EXPECT_EQ(bench.left(), 0U);
}

TEST_F(WorkerRedis, GoesOnWhenTheBrokerIsBack) {
  constexpr std::size_t many = 300;
  std::atomic<std::size_t> runs{0};
  bench_.task("note", [&](const std::vector<std::string>& args) {
    ++runs;
    std::this_thread::sleep_for(100us);
    return args.at(0);
  });
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < many; ++i) ids.push_back(bench_.send("note", "[" + std::to_string(i) + "]"));
  running_worker worker(bench_, {.concurrency = 2});
  ASSERT_TRUE(eventually([&] { return runs > many / 4; }));
  server_.kill();
  server_.start();
  for (std::size_t i = 0; i < many; ++i) ASSERT_EQ(bench_.await(ids[i]).result, std::to_string(i));
  ASSERT_TRUE(eventually([&] { return bench_.left() == 0; }));
  EXPECT_EQ(worker.stop(), 0);
}

TEST_F(WorkerRedis, IsShutDownWhileTheBrokerIsAway) {
  signal_gate entered, go;
  bench_.task("block", [&](const auto&) {
    entered.open();
    EXPECT_TRUE(go.wait());
    return std::string("1");
  });
  const std::string id = bench_.send("block");
  {
    running_worker worker(bench_, {.concurrency = 1});
    ASSERT_TRUE(entered.wait());
    server_.kill();
    go.open();
    EXPECT_EQ(worker.stop(), 1);  // its result could not be stored
  }
  server_.start();
  running_worker next(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(id).result, "1");
}

TEST_F(WorkerRedis, GoesOnWhenAResultIsRefused) {
  bench_.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("x"); });
  bench_.task("count", [](const auto&) { return std::string("1"); });
  const task_message m = bench_.message("fail");
  server_.ask({"RPUSH", "celery-task-meta-" + m.id, "something else"});
  bench_.send(m);
  const std::string other = bench_.send("count");
  running_worker worker(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(other).result, "1");
  ASSERT_TRUE(eventually([&] { return bench_.left() == 0 && bench_.buried().size() == 1; }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_THAT(bench_.buried().at(0), testing::HasSubstr("WRONGTYPE"));
}

TEST(WorkerFullRedis, RunsWhatIsThere) {
  const log_capture quiet;
  const redis_server server({.more = {"--maxmemory", "5mb"}});
  cluster_bench bench(server.url(), {.lease = 500ms, .patience = 10s});
  bench.task("count", [](const auto& args) { return args.at(0); });
  bench.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("x"); });
  std::vector<std::string> ids;
  for (int n = 0; n < 20; ++n) ids.push_back(bench.send(n % 2 == 0 ? "count" : "fail", "[" + std::to_string(n) + "]"));
  tutti_test::fill(server);
  running_worker worker(bench, {.concurrency = 2});
  for (const std::string& id : ids) bench.await(id);
  ASSERT_TRUE(eventually([&] { return bench.left() == 0; }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_THAT(server.ask({"SET", "x", "x"}), testing::StartsWith("-OOM"));
}

TEST_F(WorkerRedis, BeginsWhenTheBrokerIsThere) {
  bench_.task("count", [](const auto&) { return std::string("1"); });
  server_.kill();
  running_worker worker(bench_, {.concurrency = 1});
  server_.start();
  EXPECT_EQ(bench_.await(bench_.send("count")).result, "1");
}

}  // namespace
}  // namespace tutti::cluster
