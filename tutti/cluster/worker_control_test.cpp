// Workers: what is revoked, what they tell, and how they end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/worker.hpp>

#include <tutti/base/error.hpp>

#include <atomic>
#include <csignal>
#include <random>
#include <stdexcept>
#include <tests/support/cluster_worker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::SizeIs;
using tutti_test::cluster_bench;
using tutti_test::eventually;
using tutti_test::running_worker;
using tutti_test::signal_gate;

std::string revoking(const std::string& id, bool terminate) {
  return R"({"task_id": ")" + id + R"(", "terminate": )" + (terminate ? "true" : "false") + R"(, "signal": "SIGTERM"})";
}

// One that is busy with a task that waits for `go`, or to be asked to stop.
class BusyWorker : public testing::Test {
 protected:
  BusyWorker() {
    bench_.task("block", [this](const auto&) -> std::string {
      entered_.open();
      const std::stop_callback stop(this_call::stop_token(), [this] { go_.open(); });
      EXPECT_TRUE(go_.wait());
      if (this_call::stop_token().stop_requested()) throw cancelled("asked to stop");
      return "\"ended\"";
    });
    bench_.task("count", [this](const auto&) { return std::to_string(++runs_); });
  }
  void begin(running_worker&) { ASSERT_TRUE(entered_.wait()); }

  cluster_bench bench_;
  signal_gate entered_, go_;
  std::atomic<int> runs_{0};
};

TEST_F(BusyWorker, DoesNotRunWhatWasRevokedWhileItWaited) {
  const std::string busy = bench_.send("block");
  running_worker worker(bench_, {.concurrency = 1, .prefetch = 5});
  begin(worker);
  const std::string held = bench_.send("count");
  ASSERT_TRUE(eventually([&] { return worker->stats().received == 2; }));
  EXPECT_THAT(ask_workers(bench_.app(), "revoke", revoking(held, false), {worker->name()}, 30s), SizeIs(1));
  EXPECT_EQ(bench_.await(held).status, "REVOKED");
  const task_message later = bench_.message("count");
  EXPECT_THAT(ask_workers(bench_.app(), "revoke", revoking(later.id, false), {worker->name()}, 30s), SizeIs(1));
  go_.open();
  EXPECT_EQ(bench_.await(busy).status, "SUCCESS");
  bench_.send(later);
  EXPECT_EQ(bench_.await(later.id).status, "REVOKED");
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(worker->stats().revoked, 2U);
}

TEST_F(BusyWorker, EndsARunningTaskThatIsTerminated) {
  const std::string busy = bench_.send("block");
  running_worker worker(bench_, {.concurrency = 1});
  begin(worker);
  EXPECT_THAT(ask_workers(bench_.app(), "revoke", revoking(busy, true), {worker->name()}, 30s), SizeIs(1));
  const task_result r = bench_.await(busy);
  EXPECT_EQ(r.status, "REVOKED");
  EXPECT_THROW(static_cast<void>(value_of(r)), cancelled);
  EXPECT_EQ(bench_.await(bench_.send("count")).result, "1");
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_EQ(bench_.look(busy)->status, "REVOKED");
  EXPECT_EQ(bench_.left(), 0U);
}

TEST_F(BusyWorker, KnowsWhatWasRevokedBeforeItBegan) {
  const std::string id = bench_.message("count").id;
  {
    running_worker before(bench_, {.concurrency = 1});
    bench_.await(bench_.send("count"));  // it listens
    EXPECT_THAT(ask_workers(bench_.app(), "revoke", revoking(id, false), {before->name()}, 30s), SizeIs(1));
    EXPECT_EQ(before.stop(), 0);
  }
  task_message m = bench_.message("count");
  m.id = id;
  bench_.send(m);
  running_worker after(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(id).status, "REVOKED");
  EXPECT_EQ(runs_, 1);
}

TEST_F(BusyWorker, KeepsTheRevocationsOfAFloodInOne) {
  running_worker worker(bench_, {.concurrency = 1});
  bench_.await(bench_.send("count"));
  std::vector<std::string> ids;
  for (int i = 0; i < 300; ++i) {
    ids.push_back("id-" + std::to_string(i));
    tell_workers(bench_.app(), "revoke", revoking(ids.back(), false), {worker->name()});
  }
  const auto known = [&] {
    const auto said = ask_workers(bench_.app(), "revoked", "{}", {worker->name()}, 30s);
    return said.size() == 1 ? array_parts(said.begin()->second).size() : 0;
  };
  EXPECT_TRUE(eventually([&] { return known() == ids.size(); }));
  EXPECT_EQ(worker.stop(), 0);
  const std::string id = "tutti-revoked";
  const auto kept = bench_.app().results()->fetch({&id, 1}).at(0);
  ASSERT_TRUE(kept);
  EXPECT_THAT(object_parts(*kept), SizeIs(ids.size()));
}

TEST_F(BusyWorker, ShowsWhatItHas) {
  const std::string busy = bench_.send("block");
  running_worker worker(bench_, {.concurrency = 1, .prefetch = 5});
  begin(worker);
  const std::string held = bench_.send("count");
  ASSERT_TRUE(eventually([&] { return worker->stats().received == 2; }));
  const auto active = ask_workers(bench_.app(), "active", "{}", {worker->name()}, 30s);
  ASSERT_THAT(active, SizeIs(1));
  EXPECT_THAT(active.begin()->second, HasSubstr(busy));
  const auto reserved = ask_workers(bench_.app(), "reserved", "{}", {worker->name()}, 30s);
  ASSERT_THAT(reserved, SizeIs(1));
  EXPECT_THAT(reserved.begin()->second, HasSubstr(held));
  go_.open();
}

TEST_F(BusyWorker, IsShutDownWarmWithWhatRunsEnded) {
  const std::string busy = bench_.send("block");
  running_worker worker(bench_, {.concurrency = 1, .prefetch = 5});
  begin(worker);
  const std::string held = bench_.send("count");
  ASSERT_TRUE(eventually([&] { return worker->stats().received == 2; }));
  worker->shutdown();
  ASSERT_TRUE(eventually([&] {
    const std::string queue = "celery";
    return bench_.app().tasks()->queues({&queue, 1}).at(0).waiting == 1;  // what is held goes back at once
  }));
  go_.open();
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_EQ(bench_.look(busy)->status, "SUCCESS");
  EXPECT_EQ(bench_.left(), 1U);
  EXPECT_EQ(runs_, 0);
  running_worker next(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(held).result, "1");
}

TEST_F(BusyWorker, IsShutDownColdWithWhatRunsGivenBack) {
  const std::string busy = bench_.send("block");
  running_worker worker(bench_, {.concurrency = 1});
  begin(worker);
  EXPECT_EQ(worker.stop(false), 1);
  EXPECT_FALSE(bench_.look(busy));
  EXPECT_EQ(bench_.left(), 1U);
}

TEST_F(BusyWorker, IsShutDownFromAfar) {
  worker one(bench_.app(), {.concurrency = 1});
  one.start();
  bench_.await(bench_.send("count"));
  tell_workers(bench_.app(), "shutdown", "{}", {one.name()});
  EXPECT_EQ(one.wait(), 0);
}

TEST_F(BusyWorker, HandlesSignals) {
  const std::string busy = bench_.send("block");
  worker handling(bench_.app(), {.concurrency = 1, .handle_signals = true});
  handling.start();
  ASSERT_TRUE(entered_.wait());
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  go_.open();
  EXPECT_EQ(handling.wait(), 0);
  EXPECT_EQ(bench_.look(busy)->status, "SUCCESS");
}

TEST_F(BusyWorker, GivesBackWhatWaitsBehindLongTasks) {
  for (int i = 0; i < 50; ++i) bench_.send("count");
  running_worker worker(bench_, {.concurrency = 1});
  ASSERT_TRUE(eventually([&] { return runs_ == 50; }));  // it has learned that tasks are quick
  task_message block = bench_.message("block");
  block.priority = 9;
  task_message after = bench_.message("count");
  after.priority = 0;
  const std::string queue = "celery";
  const std::array both{outgoing_message{queue, encode_message(block), 9, {}},
                        outgoing_message{queue, encode_message(after), 0, {}}};
  bench_.app().tasks()->publish(both);
  begin(worker);
  running_worker other(bench_, {.concurrency = 1});
  EXPECT_EQ(bench_.await(after.id).result, "51");
  go_.open();
  EXPECT_EQ(bench_.await(block.id).status, "SUCCESS");
}

TEST_F(BusyWorker, TellsWhatItDoes) {
  bench_.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("no \"such\" thing"); });
  bench_.task("retry", [](const auto&) -> std::string {
    if (this_call::retries() == 0) this_call::retry({.countdown = 1ms});
    return "1";
  });
  const auto listener = bench_.app().tasks()->listen("celeryev/*");
  running_worker worker(bench_, {.concurrency = 1, .task_events = true});
  for (const char* task : {"count", "fail", "retry", "unknown"}) bench_.await(bench_.send(task, "[1]"));
  task_message late = bench_.message("count");
  late.expires = std::chrono::system_clock::now() - 1s;
  bench_.await(bench_.send(late));
  std::string all;
  EXPECT_TRUE(eventually([&] {
    if (const auto text = listener->receive(10ms)) {
      for (const auto& [name, value] : object_parts(*text)) {
        if (name == "body") all += from_base64(string_in(value).value());
      }
    }
    const auto is_there = [&](const char* type) { return all.find(type) != std::string::npos; };
    return is_there("task-received") && is_there("task-started") && is_there("task-succeeded") &&
           is_there("task-failed") && is_there("task-retried") && is_there("task-rejected") &&
           is_there("task-revoked") && is_there("worker-online");
  }));
  EXPECT_THAT(all, HasSubstr(late.id));
}

// Each message ends once, however often workers are shut down, and whatever their tasks do.
TEST(WorkerStress, LosesNothingWhenShutDownInTheMiddle) {
  cluster_bench bench;
  constexpr std::size_t many = 2000;
  std::vector<std::atomic<int>> ended(many);
  bench.task("any",
             [&](const std::vector<std::string>& args) -> std::string {
               const std::size_t n = std::stoul(args.at(0));
               thread_local std::minstd_rand random(std::random_device{}());
               switch (random() % 8) {
                 case 0: throw retryable("again");
                 case 1: this_call::retry({.countdown = 1ms});
                 case 2:
                   if (this_call::stop_token().stop_requested()) throw cancelled("stopped");
                   ++ended[n];
                   throw std::runtime_error("failed");
                 case 3: std::this_thread::yield(); break;
                 default: break;
               }
               ++ended[n];
               return args[0];
             },
             {.max_retries = std::nullopt, .retry_delay = 1ms, .retry_backoff = false});
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < many; ++i) ids.push_back(bench.send("any", "[" + std::to_string(i) + "]"));
  const auto total = [&] {
    std::size_t n = 0;
    for (const auto& e : ended) n += e > 0 ? 1U : 0U;
    return n;
  };
  for (std::size_t round = 1; total() < many && round < 1000; ++round) {
    running_worker one(bench, {.concurrency = 2});
    running_worker other(bench, {.pool = worker_pool::inline_});
    const std::size_t enough = std::min(many, total() + 400);
    ASSERT_TRUE(eventually([&] { return total() >= enough; }));
    const bool warm = round % 2 == 0;
    EXPECT_EQ(one.stop(warm), warm ? 0 : 1);
  }
  running_worker last(bench, {.concurrency = 2});
  for (std::size_t i = 0; i < many; ++i) {
    const task_result r = bench.await(ids[i]);
    EXPECT_TRUE(r.status == "SUCCESS" || r.status == "FAILURE") << r.status;
    if (r.status == "SUCCESS") {
      EXPECT_EQ(r.result, std::to_string(i));
    }
  }
  EXPECT_EQ(last.stop(), 0);
  EXPECT_EQ(bench.left(), 0U);
}

}  // namespace
}  // namespace tutti::cluster
