// The commands for tasks and workers, over brokers that need no server, with real workers.
#include <apps/tutti/queues_command.hpp>
#include <apps/tutti/run_command_testing.hpp>

#include <tutti/cluster/app.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/worker.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <thread>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

cluster::registered_task named(const std::string& name, std::string (*run)(std::string_view, std::string_view)) {
  cluster::registered_task task;
  task.settings.name = name;
  task.settings.max_retries = 0;
  task.run = run;
  return task;
}

const cluster::task_registration echo(named("cli.echo", [](std::string_view args, std::string_view kwargs) {
  return std::string(args) + std::string(kwargs) == "[]{}" ? std::string("null")
                                                           : "[" + std::string(args) + "," + std::string(kwargs) + "]";
}));
const cluster::task_registration fail(named("cli.fail", [](std::string_view, std::string_view) -> std::string {
  throw std::invalid_argument("it cannot be\x1b[1m");
}));

// Each test has a broker of its own, and a worker of this process where it wants one.
class ClusterCommands : public testing::Test {
 protected:
  void work() {
    worker_ = std::make_unique<cluster::worker>(cluster::app({.broker = broker_}),
                                                cluster::worker_options{.concurrency = 2, .name = "cli@test"});
    worker_->start();
  }
  // The command with this test's broker.
  outcome tutti(std::vector<const char*> words) const {
    words.insert(words.begin() + 1, {"--broker", broker_.c_str()});
    return run(words);
  }
  // Until the worker answers.
  void wait_for_worker() const {
    const cluster::app where({.broker = broker_});
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (cluster::ask_workers(where, "ping", "{}", {"cli@test"}, 50ms).empty())
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "no worker answers";
  }

  static inline int count_ = 0;
  std::string broker_ = "memory://cli" + std::to_string(++count_);
  // A broker in memory is there as long as somebody has it.
  std::shared_ptr<cluster::broker> tasks_ = cluster::app({.broker = broker_}).tasks();
  std::shared_ptr<cluster::result_store> results_ = cluster::app({.broker = broker_}).results();
  std::unique_ptr<cluster::worker> worker_;
};

TEST_F(ClusterCommands, CallPrintsTheResult) {
  work();
  const outcome said = tutti({"call", "cli.echo", "2", "-5", "two words", "1,2", "[1, {}]", "\"3\"", "status", "",
                              "--kwargs", R"({"n": 12345678901234567890})"});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "[[2,-5,\"two words\",\"1,2\",[1, {}],\"3\",\"status\",\"\"],{\"n\":12345678901234567890}]\n");
  EXPECT_EQ(said.err, "");
  EXPECT_EQ(tutti({"call", "cli.echo", "--priority", "9", "--expires", "60", "--timeout", "60"}).out, "null\n");
}

TEST_F(ClusterCommands, CallSaysWhatFailed) {
  work();
  const outcome failed = tutti({"call", "cli.fail"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_EQ(failed.out, "");
  EXPECT_THAT(failed.err, AllOf(StartsWith("tutti: cli.fail ("), HasSubstr("failed: ValueError: it cannot be?[1m"),
                                Not(HasSubstr("\x1b"))));
  const outcome unknown = tutti({"call", "cli.nobody"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("NotRegistered"));
  const outcome json = tutti({"call", "cli.fail", "--json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_THAT(json.out, HasSubstr(R"("status":"FAILURE")"));
}

TEST_F(ClusterCommands, CallWithoutAWorkerTimesOut) {
  const outcome late = tutti({"call", "cli.echo", "--timeout", "0.05"});
  EXPECT_EQ(late.code, 3);
  EXPECT_THAT(late.err, AllOf(HasSubstr("has not ended; its state is PENDING, its queue celery at " + broker_),
                              HasSubstr("tutti status")));
  EXPECT_THAT(tutti({"queues"}).out, HasSubstr("celery          1"));
}

TEST_F(ClusterCommands, CallIsSentAlsoWhereProgramsAreEager) {
  work();
  ::setenv("TUTTI_EAGER", "1", 1);
  const outcome said = tutti({"call", "cli.echo", "1", "--timeout", "60"});
  ::unsetenv("TUTTI_EAGER");
  EXPECT_EQ(said.out, "[[1],{}]\n") << said.err;
}

TEST_F(ClusterCommands, ResultIsThereLater) {
  const std::string id = "cli-result-1";
  EXPECT_EQ(tutti({"call", "cli.echo", "--no-wait", "--id", id.c_str()}).out, id + "\n");
  EXPECT_EQ(tutti({"result", id.c_str()}).code, 3);
  EXPECT_THAT(tutti({"result", id.c_str(), "--json"}).out, HasSubstr("PENDING"));
  work();
  const outcome said = tutti({"result", id.c_str(), "--timeout", "60"});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "null\n");
  EXPECT_THAT(tutti({"result", id.c_str(), "--json"}).out, HasSubstr(R"("status":"SUCCESS")"));
}

TEST_F(ClusterCommands, ACallThatIsNotDueWaits) {
  EXPECT_EQ(tutti({"call", "cli.echo", "--no-wait", "--countdown", "1000", "-Q", "later"}).code, 0);
  EXPECT_EQ(tutti({"call", "cli.echo", "--no-wait", "--eta", "2100-01-01T00:00:00", "-Q", "later"}).code, 0);
  EXPECT_THAT(tutti({"queues", "later", "--json"}).out, HasSubstr(R"("delayed":2)"));
}

TEST_F(ClusterCommands, RefusesWhatMakesNoSense) {
  for (const auto& [words, part] : std::vector<std::pair<std::vector<const char*>, const char*>>{
           {{"call"}, "NAME"},
           {{"call", "x", "--kwargs", "[1]"}, "--kwargs [1]"},
           {{"call", "x", "--eta", "soon"}, "--eta \"soon\""},
           {{"call", "x", "--expires", "never"}, "--expires \"never\""},
           {{"call", "x", "--eta", "2100-01-01T00:00:00", "--countdown", "1"}, "--countdown and --eta"},
           {{"call", "x", "--priority", "10"}, "priority"},
           {{"call", "x", "--time-limit", "0"}, "\"0\" is no number of seconds from 0.001"},
           {{"call", "x", "--ignore-result", "--timeout", "1"}, "--timeout"},
           {{"call", "x", "--countdown", "x"}, "\"x\" is no number of seconds from 0 to 300000000"},
           {{"status", "-t", "0"}, "\"0\" is no number of seconds from 0.001 to 1000000"},
           {{"queues", "--show", "0"}, "--show"},
           {{"inspect", "nonsense"}, "unknown command \"nonsense\"; known: active"},
           {{"inspect", "ping", "pong"}, "it is used as: ping"},
           {{"inspect", "query_task"}, "query_task ids..."},
           {{"control", "rate_limit", "x"}, "rate_limit task_name rate_limit"},
           {{"control", "pool_grow", "x"}, "\"x\" is no number"},
           {{"control", "shutdown", "--terminate"}, "for revoke"},
           {{"purge"}, "QUEUES"}}) {
    const outcome said = tutti(words);
    EXPECT_EQ(said.code, 2) << words[0] << said.err;
    EXPECT_THAT(said.err, HasSubstr(part));
    EXPECT_EQ(said.out, "");
  }
  const outcome scheme = run({"queues", "-b", "nonsense://user:secret@host"});
  EXPECT_EQ(scheme.code, 2);
  EXPECT_THAT(scheme.err, Not(HasSubstr("secret")));
}

TEST_F(ClusterCommands, AsksAndTellsWorkers) {
  for (const char* command : {"status", "inspect", "control"}) {
    std::vector<const char*> words = {command, "-t", "0.05"};
    if (command[0] == 'i') words.push_back("ping");
    if (command[0] == 'c') words.push_back("shutdown");
    const outcome nobody = tutti(words);
    EXPECT_EQ(nobody.code, 1);
    EXPECT_THAT(nobody.err, AllOf(StartsWith("tutti: no worker answered within 0.05 s at " + broker_),
                                  HasSubstr("`tutti worker`")));
  }
  work();
  wait_for_worker();
  const auto ask = [&](std::vector<const char*> words) {
    words.insert(words.end(), {"-d", "cli@test", "-t", "30"});
    return tutti(words);
  };
  EXPECT_EQ(ask({"inspect", "ping"}).out, "cli@test: ok\n  pong\n");
  EXPECT_EQ(ask({"inspect", "ping", "--json"}).out, "{\"cli@test\":{\"ok\":\"pong\"}}\n");
  EXPECT_EQ(ask({"inspect", "active"}).out, "cli@test: ok\n  none\n");
  EXPECT_THAT(ask({"inspect", "registered"}).out, HasSubstr("\n  cli.echo\n"));
  EXPECT_EQ(ask({"control", "enable_events"}).out, "cli@test: ok\n  task events enabled\n");
  EXPECT_EQ(ask({"control", "rate_limit", "cli.echo", "100/s"}).code, 0);
  const outcome unknown = ask({"control", "rate_limit", "cli.nobody", "100/s"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_EQ(unknown.out, "cli@test: error\n  unknown task\n");
  EXPECT_EQ(ask({"control", "revoke", "a", "b", "--terminate"}).out, "cli@test: ok\n  terminate: tasks unknown\n");
  EXPECT_THAT(ask({"inspect", "revoked"}).out, AllOf(HasSubstr("  a\n"), HasSubstr("  b\n")));
  EXPECT_THAT(ask({"status"}).out, AllOf(StartsWith("worker "), HasSubstr("\ncli@test        0            2")));
  EXPECT_THAT(ask({"status", "--json"}).out, StartsWith(R"({"cli@test":{"running":0,"concurrency":2,"processed":)"));
  EXPECT_THAT(ask({"control", "shutdown"}).out, HasSubstr("shutting down"));
  EXPECT_EQ(worker_->wait(), 0);
}

TEST_F(ClusterCommands, PurgeAsksBefore) {
  EXPECT_EQ(tutti({"call", "cli.echo", "--no-wait", "-Q", "first"}).code, 0);
  EXPECT_EQ(tutti({"call", "cli.echo", "--no-wait", "-Q", "second"}).code, 0);
  std::istringstream no("n\n"), yes("y\n");
  const queues_options options{.at = {.broker = broker_}, .names = {"first"}};
  std::ostringstream out, err;
  EXPECT_THROW(run_purge(options, yes, false, out, err), std::invalid_argument);
  EXPECT_EQ(run_purge(options, no, true, out, err), exit_code::failure);
  EXPECT_THAT(tutti({"queues", "--json"}).out, HasSubstr(R"("name":"first","waiting":1)"));
  EXPECT_EQ(run_purge(options, yes, true, out, err), exit_code::success);
  EXPECT_EQ(out.str(), "first: 1 dropped\n");
  EXPECT_THAT(err.str(), HasSubstr("Drop all tasks that wait in first, at memory:"));
  EXPECT_EQ(tutti({"purge", "-f", "first", "second", "--json"}).out, "{\"first\":0,\"second\":1}\n");
}

TEST_F(ClusterCommands, QueuesShowWhatWasPutAsideAndWhy) {
  cluster::task_message message;
  message.task = "cli.echo";
  message.id = "id-1";
  const std::string sent = cluster::encode_message(message);
  tasks_->publish(std::vector<cluster::outgoing_message>{
      {"odd", sent},
      {"odd.dead", cluster::with_header(sent, "x-death-reason", "\"its\\u001b task\"")},
      {"odd.dead", cluster::with_header("junk", "x-death-reason", "\"unreadable\"")}});
  EXPECT_THAT(tutti({"queues", "odd"}).out, AllOf(HasSubstr("odd               1"), HasSubstr("odd.dead          2")));
  EXPECT_THAT(tutti({"queues", "odd.dead", "none"}).out, Not(HasSubstr("none.dead")));
  EXPECT_THAT(tutti({"queues", "odd", "--show"}).out,
              HasSubstr("\nodd:\n  id-1  cli.echo\n\nodd.dead:\n  id-1  cli.echo: its? task\n"
                        "  (no id)  (no task): unreadable\n"));
  EXPECT_THAT(tutti({"queues", "odd.dead", "--show", "1", "--json"}).out,
              HasSubstr(R"("messages":[{"id":"id-1","task":"cli.echo","reason":"its\u001b task"}]}])"));
  EXPECT_EQ(tasks_->peek("odd.dead", 10).size(), 2U);
}

TEST_F(ClusterCommands, WhatStillCannotBeRunIsPutAsideOnceMore) {
  worker_ = std::make_unique<cluster::worker>(cluster::app({.broker = broker_}),
                                              cluster::worker_options{.queues = {"odd.dead"}, .concurrency = 1});
  worker_->start();
  EXPECT_THAT(tutti({"call", "cli.nobody", "-Q", "odd.dead", "--timeout", "60"}).err, HasSubstr("NotRegistered"));
  worker_->shutdown();
  EXPECT_EQ(worker_->wait(), 0);
  EXPECT_THAT(tutti({"queues", "odd.dead.dead"}).out, HasSubstr("odd.dead.dead          1"));
}

// In a folder of its own, as somebody who gives no broker.
class NoBrokerGiven : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_nobroker_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    before_ = fs::current_path();
    fs::current_path(folder_ = name);
    for (const auto& [variable, was] : was_) ::unsetenv(variable);
  }
  void TearDown() override {
    for (const auto& [variable, was] : was_) {
      if (was) ::setenv(variable, was->c_str(), 1);
    }
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static std::pair<const char*, std::optional<std::string>> kept(const char* variable) {
    const char* const value = std::getenv(variable);
    return {variable, value != nullptr ? std::optional<std::string>(value) : std::nullopt};
  }

  fs::path before_, folder_;
  std::vector<std::pair<const char*, std::optional<std::string>>> was_ = {
      kept("TUTTI_BROKER"), kept("CELERY_BROKER_URL"), kept("TUTTI_BACKEND"), kept("CELERY_RESULT_BACKEND")};
};

TEST_F(NoBrokerGiven, WhatOnlyLooksMakesNoFile) {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{{"status"},
                                                                                     {"inspect", "ping"},
                                                                                     {"control", "shutdown"},
                                                                                     {"queues"},
                                                                                     {"purge", "-f", "q"},
                                                                                     {"result", "id"}}) {
    const outcome said = run(words);
    EXPECT_EQ(said.code, 2) << words[0];
    EXPECT_EQ(said.err,
              "tutti: no broker given: give --broker URL or set TUTTI_BROKER (the default, sqlite:tutti.db, does not "
              "exist here)\n")
        << words[0];
    EXPECT_TRUE(fs::is_empty(folder_)) << words[0];
  }
  const outcome elsewhere = run({"result", "id", "--backend", "memory://elsewhere"});
  EXPECT_EQ(elsewhere.code, 3);
  EXPECT_EQ(elsewhere.err,
            "tutti: the task id has not ended; its state is PENDING (or its result is not kept in memory://elsewhere): "
            "`tutti status --broker URL` lists the workers that answer, `tutti queues --broker URL` what waits\n");
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(run({"call", "cli.echo", "--no-wait", "--id", "id"}).code, 0);
  EXPECT_EQ(run({"result", "id"}).code, 3);
  EXPECT_THAT(run({"queues"}).out, HasSubstr("celery          1"));
}

TEST_F(NoBrokerGiven, AFileMaySayWhichItIs) {
  std::ofstream("here.json") << R"({"broker": "sqlite:here.db", "queue": "mine", "eager": true})";
  std::ofstream("wrong.json") << R"({"brokers": "sqlite:here.db"})";
  EXPECT_EQ(run({"call", "cli.echo", "--no-wait", "--config", "here.json"}).code, 0);
  EXPECT_THAT(run({"queues", "--config", "here.json"}).out, HasSubstr("mine           1"));
  EXPECT_EQ(run({"queues", "-b", "memory://nothing", "--config", "here.json", "--json"}).out, "[]\n");
  const outcome wrong = run({"status", "--config", "wrong.json"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("wrong.json: there is no option \"brokers\"; known: broker"));
  std::ofstream("away.json") << R"({"backend": "rpc://"})";
  const outcome away = run({"status", "-b", "memory://nothing", "--config", "away.json"});
  EXPECT_EQ(away.code, 2);
  EXPECT_THAT(away.err, StartsWith("tutti: away.json: broker URL \"rpc://\""));
  for (const char* command : {"status", "worker"}) {
    const outcome none = run({command, "--config", "none.json"});
    EXPECT_EQ(none.code, 3) << command;
    EXPECT_THAT(none.err, HasSubstr("none.json: No such file")) << command;
  }
}

TEST_F(NoBrokerGiven, AFileKeepsTheQueueThatItDoesNotName) {
  std::ofstream("site.json") << R"({"broker": "sqlite:here.db"})";
  ::setenv("TUTTI_QUEUE", "video", 1);
  EXPECT_EQ(run({"call", "cli.echo", "--no-wait", "--config", "site.json"}).code, 0);
  ::unsetenv("TUTTI_QUEUE");
  EXPECT_THAT(run({"queues", "--config", "site.json"}).out, HasSubstr("video          1"));
}

TEST_F(NoBrokerGiven, OptionsGoBeforeAnEnvironmentThatIsWrong) {
  ::setenv("CELERY_BROKER_URL", "amqp://host", 1);
  ::setenv("CELERY_RESULT_BACKEND", "rpc://", 1);
  EXPECT_EQ(run({"queues", "-b", "memory://nothing", "--json"}).out, "[]\n");
  EXPECT_EQ(run({"status", "-b", "memory://nothing", "-t", "0.01"}).code, 1);
  EXPECT_EQ(run({"result", "id", "-b", "memory://nothing", "--backend", "memory://nothing"}).code, 3);
  EXPECT_THAT(run({"worker", "-b", "memory://x", "--backend", "memory://x", "--load", "/no/such.so"}).err,
              HasSubstr("cannot be loaded"));
  EXPECT_THAT(run({"queues"}).err, StartsWith("tutti: CELERY_BROKER_URL: broker URL \"amqp://host\""));
  const outcome backend = run({"call", "cli.echo", "-b", "memory://nothing"});
  EXPECT_EQ(backend.code, 2);
  EXPECT_THAT(backend.err, StartsWith("tutti: CELERY_RESULT_BACKEND: broker URL \"rpc://\""));
  ::unsetenv("CELERY_BROKER_URL");
  ::unsetenv("CELERY_RESULT_BACKEND");
}

TEST_F(ClusterCommands, ResultSaysHowFarATaskIs) {
  const cluster::app where({.broker = broker_});
  const std::string text = R"({"task_id":"id","status":"PROGRESS","result":{"step":1},"traceback":null,"children":[]})";
  const cluster::stored_result kept{"id", text, 60s, false};
  where.results()->store(std::span(&kept, 1));
  const outcome said = tutti({"result", "id"});
  EXPECT_EQ(said.code, 3);
  EXPECT_EQ(said.err, "tutti: the task id has not ended; its state is PROGRESS: {\"step\":1}\n");
}

TEST_F(ClusterCommands, HelpEndsOnce) {
  for (const char* command : {"call", "result", "status", "inspect", "control", "queues", "purge"}) {
    const std::string help = tutti({command, "--help"}).out;
    EXPECT_EQ(help.find("Exit codes"), help.rfind("Exit codes")) << help;
    EXPECT_THAT(help, HasSubstr("Exit codes"));
  }
}

TEST_F(ClusterCommands, ABrokerThatIsAwayIsNamedWithTheWayOut) {
  const outcome said = run({"queues", "-b", "sqlite:/nowhere/to/be/found.db"});
  EXPECT_EQ(said.code, 1);
  EXPECT_THAT(said.err, AllOf(HasSubstr("/nowhere/to/be/found.db"), HasSubstr("TUTTI_BROKER")));
}

TEST_F(ClusterCommands, TheWayOutFitsOtherErrorsToo) {
  const outcome results = tutti({"result", "id", "--backend", "sqlite:/nowhere/to/be/found.db"});
  EXPECT_EQ(results.code, 1);
  EXPECT_THAT(results.err, AllOf(HasSubstr("/nowhere/to/be/found.db"), HasSubstr("--backend or TUTTI_BACKEND"),
                                 Not(HasSubstr("Is it running"))));
}

TEST_F(ClusterCommands, CallSetsLimitsAndMayHaveNoResult) {
  const outcome said = tutti(
      {"call", "cli.echo", "--time-limit", "60", "--soft-time-limit", "1.5", "--ignore-result", "--id", "limited"});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(said.out, "limited\n");
  const auto waiting = tasks_->peek("celery", 1);
  ASSERT_EQ(waiting.size(), 1U);
  const cluster::task_message sent = cluster::decode_message(waiting.front());
  EXPECT_EQ(sent.time_limit, 60);
  EXPECT_EQ(sent.soft_time_limit, 1.5);
  EXPECT_TRUE(sent.ignore_result);
}

// `tutti worker` as a process, with a library's tasks.
class WorkerCommand : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "tutti_worker_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    broker_ = "sqlite:" + (folder_ / "tasks.db").string();
  }
  void TearDown() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    fs::remove_all(folder_);
  }
  void start(std::vector<std::string> words) {
    words.insert(words.begin(), {TUTTI_COMMAND, "worker", "-b", broker_, "-n", "lib@test"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int failed = ::posix_spawn(&pid_, TUTTI_COMMAND, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ASSERT_EQ(failed, 0);
  }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string log() const {
    std::ifstream in(folder_ / "log");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_;
  std::string broker_;
  ::pid_t pid_ = 0;
};

TEST_F(WorkerCommand, RunsTheTasksOfALibrary) {
  for (const char* pool : {"threads", "processes", "inline"}) {
    start({"--load", TUTTI_APP_TASKS, "-c", "2", "-P", pool});
    if (HasFatalFailure()) return;
    const outcome said = run({"call", "-b", broker_.c_str(), "app.add", "2", "3", "--timeout", "60"});
    EXPECT_EQ(said.code, 0) << pool << said.err << log();
    EXPECT_EQ(said.out, "5\n");
    ::kill(pid_, SIGTERM);
    EXPECT_EQ(wait(), 0) << log();
    EXPECT_THAT(log(), AllOf(HasSubstr("tutti worker lib@test\n"), HasSubstr(broker_), HasSubstr("queues       celery"),
                             HasSubstr(pool), HasSubstr("app.add, app.echo")));
  }
}

TEST_F(WorkerCommand, IsQuietWhenAskedAndEndsFromAfar) {
  start({"--load", TUTTI_APP_TASKS, "-q", "-Q", "math,other", "-l", "off"});
  if (HasFatalFailure()) return;
  EXPECT_EQ(run({"call", "-b", broker_.c_str(), "app.echo", "hello", "-Q", "other", "--timeout", "60"}).out,
            "\"hello\"\n");
  EXPECT_THAT(run({"inspect", "active_queues", "-b", broker_.c_str(), "-d", "lib@test", "-t", "30"}).out,
              HasSubstr(R"("name":"math")"));
  EXPECT_EQ(run({"control", "shutdown", "-b", broker_.c_str(), "-d", "lib@test", "-t", "30"}).code, 0);
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(log(), "");
}

TEST_F(WorkerCommand, WithoutALibraryItRunsCallsOfPools) {
  start({});
  if (HasFatalFailure()) return;
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (run({"inspect", "ping", "-b", broker_.c_str(), "-d", "lib@test", "-t", "0.5"}).code != 0)
    ASSERT_LT(std::chrono::steady_clock::now(), end) << log();
  EXPECT_EQ(run({"control", "shutdown", "-b", broker_.c_str(), "-d", "lib@test", "-t", "30"}).code, 0);
  EXPECT_EQ(wait(), 0);
  EXPECT_THAT(log(), AllOf(HasSubstr("only calls of cluster_pools can run here"),
                           HasSubstr("tasks        none, only calls of cluster_pools\n")));
}

// The cure for what was put aside: a worker for that queue.
TEST_F(WorkerCommand, WhatWasPutAsideIsRunByAWorkerThatKnowsTheTask) {
  start({"-q"});
  if (HasFatalFailure()) return;
  const outcome unknown = run({"call", "-b", broker_.c_str(), "app.add", "2", "3", "--id", "x1", "--timeout", "60"});
  EXPECT_THAT(unknown.err, HasSubstr("NotRegistered"));
  ::kill(pid_, SIGTERM);
  EXPECT_EQ(wait(), 0) << log();
  EXPECT_THAT(run({"queues", "-b", broker_.c_str(), "--show"}).out, HasSubstr("x1  app.add: no task"));
  start({"-q", "--load", TUTTI_APP_TASKS, "-Q", "celery.dead"});
  if (HasFatalFailure()) return;
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (run({"result", "-b", broker_.c_str(), "x1"}).out != "5\n") ASSERT_LT(std::chrono::steady_clock::now(), end);
  ::kill(pid_, SIGTERM);
  EXPECT_EQ(wait(), 0) << log();
}

TEST_F(WorkerCommand, HelpAndMistakes) {
  EXPECT_THAT(run({"worker", "--help"}).out, AllOf(HasSubstr("--concurrency N"), HasSubstr("--tutti-worker URL")));
  EXPECT_THAT(run({"--help"}).out, HasSubstr("worker"));
  const outcome wrong = run({"worker", "--fast"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("unknown option \"--fast\""), HasSubstr("See `tutti worker --help`.")));
  const outcome library = run({"worker", "-b", "memory://x", "--load", "/no/such.so"});
  EXPECT_EQ(library.code, 1);
  EXPECT_THAT(library.err, HasSubstr("\"/no/such.so\" cannot be loaded"));
}

}  // namespace
}  // namespace tutti::app
