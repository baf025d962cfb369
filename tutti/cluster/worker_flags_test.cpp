#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/worker_flags.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

namespace tutti::cluster {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

worker_flags parse(const std::vector<std::string>& words, app_options given = {}) {
  return parse_worker_flags(words, std::move(given));
}

std::string refusal(const std::vector<std::string>& words) {
  try {
    (void)parse(words);
  } catch (const std::invalid_argument& bad) {
    return bad.what();
  }
  return "it was taken";
}

struct outcome {
  int code = 0;
  std::string output;
};

// This program again, as a worker.
outcome run_self(const std::string& words) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  std::FILE* const pipe = ::popen(("'" + self + "' " + words + " 2>&1").c_str(), "r");
  outcome result;
  char piece[512];
  for (std::size_t n = 0; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) result.output.append(piece, n);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

TEST(WorkerFlags, AllInAllForms) {
  const worker_flags flags = parse({"-Q",
                                    "a,b,,c",
                                    "-c4",
                                    "--pool=prefork",
                                    "-l",
                                    "INFO",
                                    "-n",
                                    "w1",
                                    "--prefetch",
                                    "0",
                                    "--max-tasks-per-child=7",
                                    "--max-memory-per-child",
                                    "2048",
                                    "-E",
                                    "--backend",
                                    "memory://results",
                                    "--load",
                                    "a.so",
                                    "--load=b.so",
                                    "-q",
                                    "-b",
                                    "memory://tasks"});
  EXPECT_THAT(flags.worker.queues, ElementsAre("a", "b", "c"));
  EXPECT_EQ(flags.worker.concurrency, 4);
  EXPECT_EQ(flags.worker.pool, worker_pool::processes);
  EXPECT_EQ(flags.level, log_level::info);
  EXPECT_EQ(flags.worker.name, "w1");
  EXPECT_EQ(flags.worker.prefetch, std::size_t{0});
  EXPECT_EQ(flags.worker.max_tasks_per_child, 7u);
  EXPECT_EQ(flags.worker.max_memory_per_child, 2048u);
  EXPECT_TRUE(flags.worker.task_events);
  EXPECT_TRUE(flags.worker.handle_signals);
  EXPECT_TRUE(flags.quiet);
  EXPECT_THAT(flags.libraries, ElementsAre("a.so", "b.so"));
  EXPECT_EQ(flags.app.broker, "memory://tasks");
  EXPECT_EQ(flags.app.backend, "memory://results");
}

TEST(WorkerFlags, NoneAreFine) {
  const worker_flags flags = parse({}, {.broker = "memory://given"});
  EXPECT_EQ(flags.app.broker, "memory://given");
  EXPECT_TRUE(flags.worker.queues.empty());
  EXPECT_FALSE(flags.help);
  EXPECT_TRUE(parse({"-h"}).help);
}

TEST(WorkerFlags, NamesWithTheHost) {
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof host - 1), 0);
  EXPECT_EQ(parse({"-n", "a%%b@%h"}).worker.name, std::string("a%b@") + host);
  EXPECT_THAT(refusal({"-n", "a@%i"}), AllOf(HasSubstr("a@%i"), HasSubstr("%h")));
}

TEST(WorkerFlags, RefusesWhatMakesNoSenseByName) {
  EXPECT_EQ(refusal({"math"}), "unexpected argument \"math\"");
  EXPECT_EQ(refusal({"redis://:secret@h"}), "unexpected argument \"redis://**@h\"");
  EXPECT_THAT(refusal({"--url://:secret@h"}), testing::Not(HasSubstr("secret")));
  EXPECT_THAT(refusal({"-c", "redis://:secret@h"}), HasSubstr("\"redis://**@h\""));
  for (const char* flag : {"-P", "-c", "-l", "-q", "--prefetch"})
    EXPECT_THAT(refusal({flag, "redis//u:secret@h"}), testing::Not(HasSubstr("secret"))) << flag;
  EXPECT_THAT(refusal({"--fast"}), AllOf(HasSubstr("\"--fast\""), HasSubstr("--concurrency")));
  EXPECT_THAT(refusal({"-x"}), HasSubstr("\"-x\""));
  EXPECT_EQ(refusal({"-c"}), "-c needs a value");
  EXPECT_EQ(refusal({"--queues="}), "--queues needs a value");
  EXPECT_EQ(refusal({"--quiet=1"}), "--quiet has no value");
  for (const char* bad : {"0", "-1", "x", "4x", "99999999999"})
    EXPECT_THAT(refusal({"-c", bad}), AllOf(HasSubstr("-c"), HasSubstr(bad))) << bad;
  EXPECT_THAT(refusal({"-P", "gevent"}), HasSubstr("gevent"));
  EXPECT_THAT(refusal({"-l", "loud"}), AllOf(HasSubstr("loud"), HasSubstr("debug")));
  EXPECT_THAT(refusal({"-Q", ","}), HasSubstr("-Q"));
}

TEST(WorkerFlags, OtherFlagsChangeWhatTheFileSays) {
  const std::string file = testing::TempDir() + "tutti_flags_" + std::to_string(::getpid()) + ".json";
  std::ofstream(file) << R"({"broker": "memory://file", "queue": "filed"})";
  const worker_flags flags = parse({"-b", "memory://flag", "--config", file}, {.backend = "memory://given"});
  EXPECT_EQ(flags.app.broker, "memory://flag");
  EXPECT_EQ(flags.app.backend, "memory://given");
  EXPECT_EQ(flags.app.queue, "filed");
  EXPECT_EQ(parse({"--config", file}, {.broker = "memory://given"}).app.broker, "memory://file");
  std::ofstream(file) << R"({"lease": 2000})";
  const app_options kept = parse({"--config", file}, {.broker = "memory://b", .queue = "video", .eager = true}).app;
  EXPECT_EQ(kept.broker, "memory://b");
  EXPECT_EQ(kept.queue, "video");
  EXPECT_TRUE(kept.eager);
  EXPECT_EQ(kept.lease, std::chrono::seconds(2));
  std::filesystem::remove(file);
}

TEST(WorkerFlags, ALibraryThatCannotBeLoadedIsTheSystemsRefusal) {
  EXPECT_THROW((void)run_worker({.app = {.broker = "memory://x"}, .libraries = {"/no/such/library.so"}}), os_error);
  try {
    (void)run_worker({.app = {.broker = "memory://x"}, .libraries = {"redis://:secret@h"}});
    FAIL() << "it was loaded";
  } catch (const os_error& refused) {
    EXPECT_THAT(refused.what(), AllOf(HasSubstr("redis://**@h"), testing::Not(HasSubstr("secret"))));
  }
}

TEST(WorkerFlags, GoBeforeAnEnvironmentThatIsWrong) {
  const std::string words = "--tutti-worker memory://x --load /no/such/library.so";
  ::setenv("CELERY_BROKER_URL", "amqp://host", 1);
  const outcome broker = run_self(words);
  ::setenv("CELERY_RESULT_BACKEND", "rpc://", 1);
  const outcome backend = run_self(words + " --backend memory://y");
  ::unsetenv("CELERY_BROKER_URL");
  ::unsetenv("CELERY_RESULT_BACKEND");
  EXPECT_THAT(broker.output, HasSubstr("library.so\" cannot be loaded"));
  EXPECT_THAT(backend.output, HasSubstr("library.so\" cannot be loaded"));
}

TEST(WorkerFlags, AnyProgramIsAWorker) {
  const outcome help = run_self("--tutti-worker memory://x --help");
  EXPECT_EQ(help.code, 0) << help.output;
  EXPECT_EQ(help.output, worker_flags_help());
  const outcome wrong = run_self("--tutti-worker=memory://x --fast");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.output, HasSubstr("unknown option \"--fast\""));
  const outcome scheme = run_self("--tutti-worker nonsense://user:secret@h");
  EXPECT_EQ(scheme.code, 2);
  EXPECT_THAT(scheme.output, AllOf(HasSubstr("nonsense"), testing::Not(HasSubstr("secret"))));
  const outcome library = run_self("--tutti-worker memory://x --load /no/such/library.so");
  EXPECT_EQ(library.code, 1);
  EXPECT_THAT(library.output, HasSubstr("the library \"/no/such/library.so\" cannot be loaded: "));
  const outcome pool = run_self("--tutti-worker memory://x -P processes");
  EXPECT_EQ(pool.code, 2);
  EXPECT_THAT(pool.output, HasSubstr("memory://"));
}

}  // namespace
}  // namespace tutti::cluster
