// Workers: what becomes of messages, on every kind of pool that runs in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/worker.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/json.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/core/this_task.hpp>

#include <atomic>
#include <limits>
#include <stdexcept>
#include <tests/support/cluster_worker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using tutti_test::cluster_bench;
using tutti_test::eventually;
using tutti_test::running_worker;
using tutti_test::signal_gate;

std::string sum(const std::vector<std::string>& args) {
  long all = 0;
  for (const std::string& a : args) all += std::stol(a);
  return std::to_string(all);
}

class WorkerPools : public testing::TestWithParam<worker_pool> {
 protected:
  cluster_bench bench_;
  worker_options options_{.concurrency = 2, .pool = GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Worker, WorkerPools, testing::Values(worker_pool::threads, worker_pool::inline_),
                         [](const auto& of) { return of.param == worker_pool::threads ? "threads" : "inline"; });

TEST_P(WorkerPools, RunsATaskAndKeepsItsResult) {
  bench_.task("sum", sum);
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("sum", "[2, 3]");
  const task_result r = bench_.await(id);
  EXPECT_EQ(r.status, "SUCCESS");
  EXPECT_EQ(r.result, "5");
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_EQ(bench_.left(), 0U);
  EXPECT_EQ(worker->stats().received, 1U);
  EXPECT_EQ(worker->stats().succeeded, 1U);
}

TEST_P(WorkerPools, RunsEachOfManyOnce) {
  constexpr int many = 2000;
  std::vector<std::atomic<int>> runs(many);
  bench_.task("note", [&](const std::vector<std::string>& args) {
    ++runs[std::stoul(args.at(0))];
    return args[0];
  });
  std::vector<std::string> ids;
  for (int i = 0; i < many; ++i) ids.push_back(bench_.send("note", "[" + std::to_string(i) + "]"));
  running_worker worker(bench_, options_);
  for (int i = 0; i < many; ++i) ASSERT_EQ(bench_.await(ids[static_cast<std::size_t>(i)]).result, std::to_string(i));
  EXPECT_EQ(worker.stop(), 0);
  for (const auto& n : runs) EXPECT_EQ(n.load(), 1);
  EXPECT_EQ(bench_.left(), 0U);
}

TEST_P(WorkerPools, ATaskCallsOthersWhereItCameTo) {
  const cluster_bench current;
  current.app().make_current();
  bench_.task("sum", sum);
  bench_.task("call", [](const auto&) { return json_string(send_task("sum", {}, 2, 3).id()); });
  running_worker worker(bench_, options_);
  const std::string called = string_in(bench_.await(bench_.send("call")).result).value();
  EXPECT_EQ(bench_.await(called).result, "5");
}

TEST_P(WorkerPools, KeepsWhatATaskThrows) {
  bench_.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("no such thing"); });
  bench_.task("throw_int", [](const auto&) -> std::string { throw 42; });
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("fail"));
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "ValueError");
  EXPECT_THROW(static_cast<void>(value_of(r)), std::invalid_argument);
  EXPECT_EQ(bench_.await(bench_.send("throw_int")).status, "FAILURE");
  ASSERT_EQ(worker.stop(), 0);
  EXPECT_EQ(worker->stats().failed, 2U);
  EXPECT_EQ(bench_.left(), 0U);
}

TEST_P(WorkerPools, TriesAgainWhatMayBeTriedAgain) {
  std::atomic<int> attempts{0};
  bench_.task("flaky",
              [&](const auto&) -> std::string {
                EXPECT_EQ(this_call::retries(), attempts.load());
                if (++attempts < 3) throw retryable("not yet");
                return "\"done\"";
              },
              {.max_retries = 2, .retry_delay = 1ms});
  running_worker worker(bench_, options_);
  EXPECT_EQ(bench_.await(bench_.send("flaky")).result, "\"done\"");
  EXPECT_EQ(attempts, 3);
  ASSERT_EQ(worker.stop(), 0);
  EXPECT_EQ(worker->stats().retried, 2U);
}

TEST_P(WorkerPools, FailsWithTheLastErrorWhenNoRetriesAreLeft) {
  std::atomic<int> attempts{0};
  bench_.task("hopeless", [&](const auto&) -> std::string { throw retryable("attempt " + std::to_string(++attempts)); },
              {.max_retries = 1, .retry_delay = 1ms});
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("hopeless"));
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_THAT(r.failure->args, HasSubstr("attempt 2"));
}

TEST_P(WorkerPools, BuriesWhatItCannotRun) {
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("tasks.nobody_has", "[1]"));
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "NotRegistered");
  EXPECT_THAT(r.failure->args, AllOf(HasSubstr("--load"), HasSubstr("celery")));
  const outgoing_message rubbish{"celery", "this is no message", {}, {}};
  bench_.app().tasks()->publish({&rubbish, 1});
  ASSERT_TRUE(eventually([&] { return bench_.buried().size() == 2; }));
  for (const std::string& text : bench_.buried()) EXPECT_THAT(text, HasSubstr("x-death-reason"));
  ASSERT_EQ(worker.stop(), 0);
  EXPECT_EQ(worker->stats().dead_lettered, 2U);
  EXPECT_EQ(bench_.left(), 0U);
}

TEST_P(WorkerPools, DoesNotRunAgainWhatCameToNoEndTooOften) {
  std::atomic<int> runs{0};
  bench_.task("count", [&](const auto&) { return std::to_string(++runs); });
  running_worker worker(bench_, options_);
  task_message m = bench_.message("count");
  m.headers.insert_or_assign("x-tutti-lost", "3");
  EXPECT_EQ(bench_.await(bench_.send(m)).status, "FAILURE");
  EXPECT_TRUE(eventually([&] { return bench_.buried().size() == 1; }));
  EXPECT_EQ(runs, 0);
}

TEST_P(WorkerPools, DoesNotRunWhatHasExpired) {
  std::atomic<int> runs{0};
  bench_.task("late", [&](const auto&) { return std::to_string(++runs); });
  task_message m = bench_.message("late");
  m.expires = std::chrono::system_clock::now() - 1s;
  bench_.send(m);
  running_worker worker(bench_, options_);
  EXPECT_EQ(bench_.await(m.id).status, "REVOKED");
  EXPECT_THAT(bench_.buried(), SizeIs(1));
  EXPECT_EQ(runs, 0);
}

TEST_P(WorkerPools, WaitsUntilATaskIsDue) {
  std::atomic<bool> early{false};
  const auto eta = std::chrono::system_clock::now() + 60ms;
  bench_.task("timed", [&](const auto&) {
    early = std::chrono::system_clock::now() < eta;
    return std::string("1");
  });
  task_message m = bench_.message("timed");
  m.eta = eta;
  bench_.send(m);  // as Celery's clients do: the broker does not know
  running_worker worker(bench_, options_);
  EXPECT_EQ(bench_.await(m.id).status, "SUCCESS");
  EXPECT_FALSE(early);
}

TEST_P(WorkerPools, TellsATaskWhatItIs) {
  const auto seen = std::make_shared<std::vector<std::string>>();
  bench_.task("who",
              [seen](const auto&) {
                *seen = {this_call::id(),
                         this_call::task(),
                         this_call::worker(),
                         this_call::header("traceparent").value_or("none"),
                         std::string(this_task::name()),
                         this_call::deadline() ? "limited" : "unlimited",
                         this_task::deadline() ? "limited" : "unlimited"};
                EXPECT_TRUE(this_call::running());
                return std::string("null");
              },
              {.time_limit = 1min});
  running_worker worker(bench_, options_);
  task_message m = bench_.message("who");
  m.headers["traceparent"] = "\"00-1-2-01\"";
  bench_.send(m);
  EXPECT_EQ(bench_.await(m.id).status, "SUCCESS");
  EXPECT_THAT(*seen, ElementsAre(m.id, "who", worker->name(), "\"00-1-2-01\"", "who", "limited", "limited"));
  EXPECT_FALSE(this_call::running());
  EXPECT_THROW(static_cast<void>(this_call::id()), std::logic_error);
}

TEST_P(WorkerPools, TellsProgressAndThatItHasStarted) {
  signal_gate go;
  bench_.task("slow",
              [&](const auto&) {
                EXPECT_EQ(bench_.look(this_call::id())->status, "STARTED");
                EXPECT_THROW(this_call::update_state(1, "SUCCESS"), std::invalid_argument);
                this_call::update_state(std::vector<int>{1, 10});
                EXPECT_TRUE(go.wait());
                return std::string("\"ready\"");
              },
              {.track_started = true});
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("slow");
  EXPECT_EQ(bench_.await(id, "PROGRESS").result, "[1,10]");
  go.open();
  EXPECT_EQ(bench_.await(id).result, "\"ready\"");
}

TEST_P(WorkerPools, KeepsNoResultThatNobodyWants) {
  std::atomic<int> runs{0};
  bench_.task("quiet", [&](const auto&) { return std::to_string(++runs); }, {.ignore_result = true});
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("quiet");
  ASSERT_TRUE(eventually([&] { return runs == 1 && bench_.left() == 0; }));
  EXPECT_FALSE(bench_.look(id));
}

TEST_P(WorkerPools, AcknowledgesBeforeItRunsWhereThatIsAsked) {
  std::atomic<int> attempts{0};
  std::atomic<std::uint64_t> held{99};
  bench_.task("once",
              [&](const auto&) -> std::string {
                held = bench_.left();
                if (++attempts == 1) throw retryable("again");
                return "1";
              },
              {.retry_delay = 1ms, .acknowledge = ack::early});
  running_worker worker(bench_, options_);
  EXPECT_EQ(bench_.await(bench_.send("once")).status, "SUCCESS");
  EXPECT_EQ(held, 0U);
  EXPECT_EQ(attempts, 2);
}

TEST_P(WorkerPools, AColdEndTellsOfWhatWasAcknowledgedAlready) {
  signal_gate entered;
  bench_.task("once",
              [&](const auto&) -> std::string {
                entered.open();
                while (!this_call::stop_token().stop_requested()) std::this_thread::yield();
                throw cancelled("I was told to");
              },
              {.acknowledge = ack::early});
  running_worker worker(bench_, options_);
  const std::string id = bench_.send("once");
  ASSERT_TRUE(entered.wait());
  EXPECT_EQ(worker.stop(false), 1);
  const task_result r = bench_.await(id);
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "WorkerLostError");
  EXPECT_EQ(bench_.left(), 0U);
}

TEST_P(WorkerPools, CountsNoMoreRetriesThanANumberHolds) {
  std::atomic<int> attempts{0};
  bench_.task("flaky",
              [&](const auto&) -> std::string {
                if (++attempts < 3) throw retryable("not yet");
                return "1";
              },
              {.max_retries = {}, .retry_delay = 1ms, .retry_backoff = false});
  running_worker worker(bench_, options_);
  task_message m = bench_.message("flaky");
  m.retries = std::numeric_limits<int>::max();
  EXPECT_EQ(bench_.await(bench_.send(m)).status, "SUCCESS");
}

TEST_P(WorkerPools, DoesNotDoAgainWhatIsDone) {
  std::atomic<int> runs{0};
  bench_.task("charge", [&](const auto&) { return std::to_string(++runs); }, {.dedupe = true});
  running_worker worker(bench_, options_);
  const task_message m = bench_.message("charge");
  bench_.send(m);
  bench_.await(m.id);
  bench_.send(m);
  ASSERT_TRUE(eventually([&] { return worker->stats().succeeded == 2 && bench_.left() == 0; }));
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(bench_.await(m.id).result, "1");
}

TEST_P(WorkerPools, AsksATaskToStopAtItsSoftLimit) {
  bench_.task("endless",
              [](const auto&) -> std::string {
                while (!this_task::stop_requested()) std::this_thread::yield();
                EXPECT_TRUE(this_call::stop_token().stop_requested());
                throw cancelled("I was told to");
              },
              {.soft_time_limit = 20ms});
  running_worker worker(bench_, options_);
  const task_result r = bench_.await(bench_.send("endless"));
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "SoftTimeLimitExceeded");
}

TEST_P(WorkerPools, GivesUpATaskAtItsTimeLimit) {
  signal_gate go;
  bench_.task("stuck", [&](const auto&) {
    EXPECT_TRUE(go.wait());
    return std::string("\"too late\"");
  });
  running_worker worker(bench_, options_);
  task_message m = bench_.message("stuck");
  m.time_limit = 0.02;
  bench_.send(m);
  const task_result r = bench_.await(m.id);
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "TimeLimitExceeded");
  EXPECT_THROW(static_cast<void>(value_of(r)), timed_out);
  go.open();
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_EQ(bench_.look(m.id)->status, "FAILURE");
}

TEST_P(WorkerPools, MapsATaskOfOurs) {
  bench_.task("sum", sum);
  running_worker worker(bench_, options_);
  task_message m = bench_.message("celery.starmap");
  m.kwargs = R"({"task": )" + tutti_test::signature("sum") + R"(, "it": [[1, 2], [3, 4]]})";
  bench_.send(m);
  EXPECT_EQ(bench_.await(m.id).result, "[3,7]");
}

TEST(Worker, TakesTheMoreUrgentFirst) {
  cluster_bench bench;
  signal_gate entered, go;
  bench.task("block", [&](const auto&) {
    entered.open();
    EXPECT_TRUE(go.wait());
    return std::string("null");
  });
  std::vector<std::string> order;
  bench.task("note", [&](const auto& args) {
    order.push_back(args.at(0));
    return args[0];
  });
  running_worker worker(bench, {.concurrency = 1, .prefetch = 10});
  bench.send("block");
  ASSERT_TRUE(entered.wait());
  std::string last;
  for (const int priority : {1, 5, 9}) {
    task_message m = bench.message("note", "[" + std::to_string(priority) + "]");
    m.priority = priority;
    last = bench.send(m);
  }
  ASSERT_TRUE(eventually([&] { return worker->stats().received == 4; }));
  go.open();
  bench.await(last);
  ASSERT_TRUE(eventually([&] { return worker->stats().succeeded == 4; }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_THAT(order, ElementsAre("9", "5", "1"));
}

TEST(Worker, RunsNoMoreOfALimitedTaskThanItMay) {
  cluster_bench bench;
  std::vector<std::chrono::steady_clock::time_point> begun;
  bench.task("limited",
             [&](const auto&) {
               begun.push_back(std::chrono::steady_clock::now());
               return std::string("null");
             },
             {.rate_limit = "50/s"});
  std::atomic<int> others{0};
  bench.task("free", [&](const auto&) { return std::to_string(++others); });
  for (int i = 0; i < 5; ++i) bench.send("limited");
  bench.send("free");
  const auto start = std::chrono::steady_clock::now();
  running_worker worker(bench, {.concurrency = 1, .prefetch = 10});
  ASSERT_TRUE(eventually([&] { return worker->stats().succeeded == 6; }));
  EXPECT_EQ(worker.stop(), 0);
  ASSERT_EQ(begun.size(), 5U);
  for (std::size_t i = 0; i < begun.size(); ++i) EXPECT_GE(begun[i] - start, i * 20ms);
}

TEST(Worker, LeavesToOthersWhatItMayNotRunSoon) {
  cluster_bench bench;
  std::atomic<int> runs{0};
  bench.task("rare", [&](const auto&) { return std::to_string(++runs); }, {.rate_limit = "1/h"});
  for (int i = 0; i < 3; ++i) bench.send("rare");
  running_worker worker(bench, {.concurrency = 1, .prefetch = 0});
  const std::string queue = "celery";
  EXPECT_TRUE(eventually([&] {
    const queue_info info = bench.app().tasks()->queues({&queue, 1}).at(0);
    return runs == 1 && info.delayed == 2 && info.held == 0;
  }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_EQ(bench.left(), 2U);
}

TEST(Worker, RunsInTimeWhatItHasLeftToOthers) {
  cluster_bench bench;
  std::vector<std::chrono::steady_clock::time_point> begun;
  bench.task("rare",
             [&](const auto&) {
               begun.push_back(std::chrono::steady_clock::now());
               return std::string("null");
             },
             {.rate_limit = "54/m"});
  for (int i = 0; i < 2; ++i) bench.send("rare");
  running_worker worker(bench, {.concurrency = 1, .prefetch = 0});
  ASSERT_TRUE(eventually([&] { return worker->stats().succeeded == 2; }));
  EXPECT_EQ(worker.stop(), 0);
  EXPECT_GE(worker->stats().received, 3U);
  EXPECT_GE(begun.at(1) - begun.at(0), 1s);
}

TEST(Worker, HasANameOfItsOwn) {
  cluster_bench bench;
  const worker one(bench.app()), two(bench.app()), named(bench.app(), {.name = "sorter"}),
      whole(bench.app(), {.name = "sorter@there"});
  EXPECT_THAT(one.name(), testing::StartsWith("tutti"));
  EXPECT_NE(one.name(), two.name());
  EXPECT_THAT(named.name(), testing::StartsWith("sorter@"));
  EXPECT_EQ(whole.name(), "sorter@there");
}

TEST(Worker, RunsOnce) {
  const cluster_bench bench;
  worker works(bench.app(), {.concurrency = 1});
  EXPECT_THROW(works.wait(), std::logic_error);
  works.start();
  EXPECT_THROW(works.start(), std::logic_error);
  works.shutdown();
  EXPECT_EQ(works.wait(), 0);
  EXPECT_THROW(works.wait(), std::logic_error);
  EXPECT_THROW(works.run(), std::logic_error);
  works.start();
  EXPECT_THROW(works.wait(), std::logic_error);
}

TEST(Worker, RefusesOptionsThatMakeNoSense) {
  cluster_bench bench;
  EXPECT_THROW(worker(bench.app(), {.concurrency = -1}), std::invalid_argument);
  EXPECT_THROW(worker(bench.app(), {.pool = worker_pool::processes}), std::invalid_argument);
  EXPECT_THROW(worker(bench.app(), {.queues = {""}}), std::invalid_argument);
  EXPECT_THROW(worker(bench.app(), {.heartbeat = 0ms}), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(parse_worker_pool("gevent")), std::invalid_argument);
  EXPECT_EQ(parse_worker_pool("prefork"), worker_pool::processes);
  for (const worker_pool pool : {worker_pool::threads, worker_pool::processes, worker_pool::inline_}) {
    EXPECT_EQ(parse_worker_pool(to_string(pool)), pool);
  }
  try {
    static_cast<void>(parse_worker_pool("redis://:secret@host"));
    ADD_FAILURE() << "a URL is no pool";
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), testing::Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace tutti::cluster
