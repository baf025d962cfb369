// Workers with a broker and a result store that go away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/control_client.hpp>
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
using tutti_test::redis_settings;
using tutti_test::running_worker;
using tutti_test::signal_gate;

class WorkerRedis : public testing::Test {
 protected:
  const log_capture quiet_;
  redis_server server_{{.durable = true}};
  cluster_bench bench_{server_.url(), {.lease = 500ms, .patience = 300ms}};
};

// With a lease that a busy machine does not end.
class WorkerRedisOnce : public testing::Test {
 protected:
  redis_server server_{{.durable = true}};
  cluster_bench bench_{server_.url(), {.lease = 30s}};
};

TEST_F(WorkerRedisOnce, RunsEachOfManyOnce) {
  constexpr std::size_t many = 1000;
  std::vector<std::atomic<int>> runs(many);
  bench_.task("note", [&](const std::vector<std::string>& args) {
    ++runs[std::stoul(args.at(0))];
    return args[0];
  });
  running_worker one(bench_, {.concurrency = 2}), other(bench_, {.pool = worker_pool::inline_});
  std::vector<std::string> ids;
  std::vector<outgoing_message> all;
  for (std::size_t i = 0; i < many; ++i) {
    const task_message m = bench_.message("note", "[" + std::to_string(i) + "]");
    ids.push_back(m.id);
    all.push_back({m.queue, encode_message(m), {}, {}});
  }
  bench_.app().tasks()->publish(all);
  for (std::size_t i = 0; i < many; ++i) ASSERT_EQ(bench_.await(ids[i]).result, std::to_string(i));
  EXPECT_EQ(one.stop(), 0);
  EXPECT_EQ(other.stop(), 0);
  for (const auto& n : runs) EXPECT_EQ(n.load(), 1);
  EXPECT_EQ(bench_.left(), 0U);
}

// As others do that heard of it while this one did not.
TEST_F(WorkerRedisOnce, LearnsWhatWasRevokedWhileItHeardNothing) {
  bench_.task("count", [](const auto&) { return std::string("1"); });
  running_worker worker(bench_, {.concurrency = 1});
  bench_.await(bench_.send("count"));
  const std::string key = "celery-task-meta-tutti-revoked";
  EXPECT_EQ(server_.ask({"EXISTS", key}), "0");
  const task_message unwanted = bench_.message("count");
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const std::string revoked = "{\"" + unwanted.id + "\":" + std::to_string(seconds) + "}";
  server_.ask({"SET", key, revoked});
  server_.ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  ASSERT_TRUE(eventually([&] {
    const auto known = ask_workers(bench_.app(), "revoked", "{}", {worker->name()}, 100ms);
    return known.size() == 1 && known.begin()->second == "[\"" + unwanted.id + "\"]";
  }));
  bench_.send(unwanted);
  EXPECT_EQ(bench_.await(unwanted.id).status, "REVOKED");
  EXPECT_EQ(server_.ask({"GET", key}), revoked);
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
  EXPECT_GE(runs, many);
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

TEST_F(WorkerRedis, BuriesTheHeadOfWhatTheBrokerTakesNoMore) {
  bench_.task("count", [](const auto&) { return std::string("1"); });
  const std::string other = bench_.send("count");
  bench_.app().tasks()->publish(std::vector<outgoing_message>{{"celery", std::string(2'000'000, 'x'), {}, {}}});
  server_.ask({"CONFIG", "SET", "proto-max-bulk-len", "1mb"});
  running_worker worker(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(other).result, "1");
  ASSERT_TRUE(eventually([&] { return bench_.left() == 0 && bench_.buried().size() == 1; }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_THAT(bench_.buried().at(0), testing::HasSubstr("here are the first 65536 of its 2000000 bytes"));
}

TEST(WorkerFullRedis, RunsWhatIsThere) {
  const log_capture quiet;
  const redis_server server({.more = {"--maxmemory", "5mb"}});
  cluster_bench bench(server.url(), {.lease = 500ms, .patience = 10s});
  bench.task("count", [](const auto& args) { return args.at(0); });
  bench.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("x"); });
  // What follows it has no room, and keeps nobody from the rest.
  bench.task("early", [](const auto&) { return std::string("1"); }, {.acknowledge = ack::early});
  task_message m = bench.message("early");
  m.chain = {tutti_test::signature("count", "[]", R"({"task_id": "next"})")};
  std::vector<std::string> ids = {bench.send(m)};
  for (int n = 0; n < 20; ++n) ids.push_back(bench.send(n % 2 == 0 ? "count" : "fail", "[" + std::to_string(n) + "]"));
  tutti_test::fill(server);
  running_worker worker(bench, {.concurrency = 2});
  for (const std::string& id : ids) bench.await(id);
  ASSERT_TRUE(eventually([&] { return bench.left() == 0; }));
  EXPECT_THAT(server.ask({"SET", "x", "x"}), testing::StartsWith("-OOM"));
  EXPECT_FALSE(bench.look("next"));
  server.ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(bench.await("next").result, "1");
  EXPECT_EQ(worker.stop(), 0);
}

TEST_F(WorkerRedis, HearsWhatIsRevokedWhileTheStoreIsAway) {
  const redis_server broker;
  cluster_bench bench(broker.url(), {.backend = server_.url(), .patience = 300ms});
  std::atomic<int> runs{0};
  bench.task("count", [&](const auto&) { return std::to_string(++runs); });
  const task_message m = bench.message("count");
  server_.kill();
  running_worker worker(bench, {.concurrency = 1});
  ASSERT_TRUE(eventually([&] {
    return ask_workers(bench.app(), "revoke", R"({"task_id": ")" + m.id + R"("})", {worker->name()}, 1s).size() == 1;
  }));
  server_.start();
  bench.send(m);
  EXPECT_EQ(bench.await(m.id).status, "REVOKED");
  EXPECT_EQ(runs, 0);
}

// A worker whose user may have only some of the keys.
class WorkerRedisUser : public testing::Test {
 protected:
  static redis_settings with_user(const std::vector<std::string>& keys) {
    redis_settings all{.more = {"--user", "worker", "on", ">secret", "&*", "+@all"}};
    for (const char* key : {"~tutti:*", "~_kombu*", "~celery-task-meta-*", "~celery", "~celery\x06*"})
      all.more.push_back(key);
    all.more.insert(all.more.end(), keys.begin(), keys.end());
    return all;
  }
  static std::string url(const redis_server& server) {
    return "redis://worker:secret@127.0.0.1:" + std::to_string(server.port()) + "/0";
  }
  // The first one's successor has no place to go to.
  void run(cluster_bench& bench, ack when = ack::late) {
    bench.task("count", [this](const auto&) { return std::to_string(++runs_); }, {.acknowledge = when});
    task_message m = bench.message("count");
    m.chain = {tutti_test::signature("count", "[]", R"({"task_id": "next", "queue": "forbidden"})")};
    bench.send(m);
    for (int i = 0; i < 20; ++i) bench.send("count");
  }
  const log_capture quiet_;
  std::atomic<int> runs_{0};
};

TEST_F(WorkerRedisUser, BuriesWhatMayNotBeSent) {
  for (const ack when : {ack::late, ack::early}) {
    runs_ = 0;
    const redis_server server(with_user({"~celery.dead*"}));
    cluster_bench bench(url(server));
    run(bench, when);
    running_worker worker(bench, {.concurrency = 1});
    ASSERT_TRUE(eventually([&] { return runs_ == 21 && bench.left() == 0; }));
    EXPECT_EQ(worker.stop(), 0);
    ASSERT_EQ(bench.buried().size(), 1U);
    EXPECT_THAT(bench.buried().at(0), testing::HasSubstr("its end is refused"));
    EXPECT_EQ(server.ask({"EXISTS", "forbidden", "forbidden.dead"}), "0");
  }
}

TEST_F(WorkerRedisUser, ParksWhatMayNotEvenBeBuried) {
  const redis_server server(with_user({}));
  cluster_bench bench(url(server));
  run(bench);
  running_worker worker(bench, {.concurrency = 1});
  const std::string queue = "celery";
  ASSERT_TRUE(eventually([&] {
    const queue_info info = bench.app().tasks()->queues({&queue, 1}).at(0);
    return runs_ == 21 && info.delayed == 1 && info.held == 0 && info.waiting == 0;
  }));
  EXPECT_EQ(worker.stop(), 0);
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
