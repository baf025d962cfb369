// The command line from the outside in: what it prints, where, and its exit codes.
#include <apps/tutti/command_line.hpp>
#include <apps/tutti/progress.hpp>
#include <apps/tutti/report.hpp>
#include <apps/tutti/run_command_testing.hpp>

#include <gtest/gtest.h>

#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

class Demo : public testing::Test {
 protected:
  Demo() {
    std::string name = (fs::temp_directory_path() / "tutti-demo-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~Demo() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name, std::ios::binary) << text;
  }

  fs::path root_;
};

TEST(CommandLine, Version) {
  const outcome result = run({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "tutti " TUTTI_VERSION "\n");
  EXPECT_EQ(result.err, "");
}

TEST(CommandLine, HelpNamesCommandsOptionsAndExitCodes) {
  const outcome all = run({"--help"});
  EXPECT_EQ(all.code, 0);
  for (const char* part : {"demo", "executors", "--version", "Exit codes:"})
    EXPECT_TRUE(contains(all.out, part)) << part;
  const outcome demo = run({"demo", "--help"});
  EXPECT_EQ(demo.code, 0);
  for (const char* part : {"PATH", "--on", "Examples:", "Exit codes:"}) EXPECT_TRUE(contains(demo.out, part)) << part;
}

TEST(CommandLine, MistakesNameTheValueAndTheKnownOnes) {
  struct mistake {
    std::vector<const char*> arguments;
    std::vector<const char*> parts;
  };
  const std::vector<mistake> mistakes = {
      {{}, {"command is missing", "demo, executors"}},
      {{"demmo"}, {"unknown command \"demmo\"", "demo, executors"}},
      {{"--versoin"}, {"unknown option \"--versoin\"", "--version"}},
      {{"demo", "--onn"}, {"unknown option \"--onn\"", "--on"}},
      {{"demo", "a", "b"}, {"unexpected argument \"b\""}},
      {{"demo", "--on"}, {"--on"}},
      {{"executors", "x"}, {"unexpected argument \"x\""}},
      {{"demo", "--on", "thread:4"}, {"\"thread:4\"", "inline, threads[:N]"}},
      {{"demo", "--on", "threads:0"}, {"threads:0"}},
      {{"demo", "--on", "threads:-1"}, {"threads:-1"}},
      {{"demo", "--on", "threads:1e9"}, {"threads:1e9"}},
      {{"demo", "--on", ""}, {"--on"}},
  };
  for (const mistake& m : mistakes) {
    const outcome result = run(m.arguments);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    for (const char* part : m.parts) EXPECT_TRUE(contains(result.err, part)) << result.err;
  }
}

// A URL at the wrong place, or nearly one, is in no error of any command.
TEST(CommandLine, PasswordsAreInNoError) {
  using words = std::vector<std::string>;
  ::setenv("TUTTI_BROKER", "nonsense://", 1);  // what could be obeyed is refused then
  std::vector<words> before = {{},
                               {"no such command"},
                               {"bench", "--no-such"},
                               {"demo", "--on", "inline"},
                               {"run", "--no-such"},
                               {"worker", "-b", "memory://x", "--load"}};
  for (const char* command : {"executors", "speedup", "trace", "worker", "call", "result", "status", "inspect",
                              "control", "queues", "purge"}) {
    before.push_back({command});
    before.push_back({command, "--no-such"});
    before.push_back({command, "one", "two"});
  }
  const auto add = [&](const words& command, const words& options) {
    for (const std::string& option : options) {
      before.push_back(command);
      before.back().push_back(option);
    }
  };
  for (const words& command : {words{"status"},
                               {"inspect", "ping"},
                               {"control", "shutdown"},
                               {"queues"},
                               {"purge", "x"},
                               {"result", "x"},
                               {"call", "x"},
                               {"worker"}})
    add(command, {"-b", "--broker", "--config", "--backend", "--timeout", "--json"});
  add({"inspect"}, {"query_task", "ping", "-d"});
  add({"control"}, {"pool_grow", "shutdown", "--signal"});
  add({"queues"}, {"--show"});
  add({"call", "x"}, {"--kwargs", "--countdown", "--eta", "--expires", "--priority", "--time-limit",
                      "--soft-time-limit", "--id", "-Q"});
  add({"worker"},
      {"-Q", "-c", "-P", "-l", "-n", "-q", "--prefetch", "--max-tasks-per-child", "--max-memory-per-child"});
  add({"demo"}, {"--on", "--no-such"});
  add({"trace", "/dev/null"}, {"--lines"});
  add({"run"}, {"-n", "--hosts", "--launcher"});
  for (const char* command : {"speedup", "bench"}) add({command}, {"-n", "--warmup", "--timeout", "--"});
  add({"speedup"}, {"-w", "--env", "--svg"});
  for (const words& given : before) {
    for (const char* bad : {"redis://:secret@h/x", "redis//u:secret@h", "redis:/u:secret@h,1", "redis://u:sec,secret",
                            "[redis://:secret@h]", "redis://h/x?password=secret"}) {
      for (const bool joined : {false, true}) {
        if (joined && (given.empty() || !given.back().starts_with("--") || given.back() == "--")) continue;
        words all = given;
        if (joined) {
          all.back() += std::string("=") + bad;
        } else {
          all.emplace_back(bad);
        }
        if (!given.empty() && (given.front() == "speedup" || given.front() == "run")) {
          all.emplace_back("--");
          all.emplace_back("/no/such/program");
        }
        std::vector<const char*> pointers;
        std::string said;
        for (const std::string& word : all) {
          pointers.push_back(word.c_str());
          said += word + " ";
        }
        const outcome result = run(pointers);
        EXPECT_NE(result.code, 0) << said;
        EXPECT_FALSE(contains(result.out + result.err, "secret")) << said << "\n" << result.out << result.err;
      }
    }
  }
  ::unsetenv("TUTTI_BROKER");
}

TEST(CommandLine, ExecutorsListsAllKinds) {
  const outcome result = run({"executors"});
  EXPECT_EQ(result.code, 0);
  for (const char* part : {"inline", "threads[:N]", "processes[:N]", "redis://", "processors"}) {
    EXPECT_TRUE(contains(result.out, part)) << part;
  }
}

TEST(CommandLine, ResultsThatCannotBeWrittenAreAFailure) {
  std::ofstream full("/dev/full");
  std::ostringstream err;
  const char* const arguments[] = {"tutti", "executors"};
  EXPECT_EQ(run_command(2, arguments, full, err, false), 1);
  EXPECT_TRUE(contains(err.str(), "could not be written")) << err.str();
}

TEST_F(Demo, CountsOnEveryExecutorAndAgrees) {
  write("a", "one two two three three three");
  write("b", std::string("binary\0", 7));
  const std::string root = root_.string();
  const outcome result = run({"demo", root.c_str()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* part : {"1 files", "1 binary", "serial", "inline", "threads", "agree", "three",
                           "6 words, 3 different", "agree to the word", "efficiency", "serial fraction", "memory"}) {
    EXPECT_TRUE(contains(result.out, part)) << part << "\n" << result.out;
  }
}

TEST_F(Demo, RunsOnTheExecutorsNamed) {
  write("a", "word");
  const std::string root = root_.string();
  const outcome result = run({"demo", "--on", "threads:1", root.c_str(), "--on", "threads:3"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "threads:1")) << result.out;
  EXPECT_TRUE(contains(result.out, "threads:3")) << result.out;
  EXPECT_FALSE(contains(result.out, "inline")) << result.out;
}

TEST_F(Demo, NothingToCount) {
  const std::string root = root_.string();
  EXPECT_EQ(run({"demo", root.c_str()}).code, 3);
  const outcome absent = run({"demo", "/nonexistent/path"});
  EXPECT_EQ(absent.code, 3);
  EXPECT_TRUE(contains(absent.err, "/nonexistent/path")) << absent.err;
  const outcome special = run({"demo", "/dev/null"});
  EXPECT_EQ(special.code, 3);
  EXPECT_TRUE(contains(special.err, "neither a directory nor a file")) << special.err;
}

TEST(Report, Numbers) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(12'345'678), "12,345,678");
  EXPECT_EQ(megabytes(1'250'000), "1.2 MB");
}

TEST(Report, RowsSayWhoDiffersAndWhoFailed) {
  std::ostringstream out;
  write_runs(out, {{.where = "serial", .seconds = 2, .bytes = 4'000'000},
                   {.where = "good", .workers = 2, .seconds = 1, .bytes = 4'000'000},
                   {.where = "wrong", .workers = 2, .seconds = 1, .bytes = 4'000'000, .agrees = false},
                   {.where = "broken", .workers = 2, .failure = "worker lost"}});
  EXPECT_TRUE(contains(out.str(), "2.00x")) << out.str();
  EXPECT_TRUE(contains(out.str(), "100 %")) << out.str();
  EXPECT_TRUE(contains(out.str(), "agree")) << out.str();
  EXPECT_TRUE(contains(out.str(), "DIFFER")) << out.str();
  EXPECT_TRUE(contains(out.str(), "failed: worker lost")) << out.str();
}

TEST(Progress, Line) {
  const std::string half = progress_line("threads", 500'000'000, 1'000'000'000, 2);
  for (const char* part : {"threads [", "50 %", "250 MB/s", "0:02 left"}) EXPECT_TRUE(contains(half, part)) << half;
  EXPECT_TRUE(contains(progress_line("x", 0, 0, 0), "0 %"));
  EXPECT_TRUE(contains(progress_line("x", 200, 100, 1), "100 %"));  // a file has grown
  EXPECT_TRUE(contains(progress_line("x", 1'000'000, 601'000'000, 1), "10:00 left"));
  EXPECT_LE(progress_line("a rather long name of an executor", 1, 1u << 31, 1).size(), 79U);
}

TEST(Progress, SilentWhereItIsNotShown) {
  std::ostringstream silent;
  {
    progress_bar bar(silent, false, "x", 100);
    bar.done() = 50;
  }
  EXPECT_EQ(silent.str(), "");
}

TEST_F(Demo, ExitCodesReachTheShell) {
  write("a.txt", "one two two\n");
  const auto code_of = [](const std::string& arguments) {
    const int status = std::system((TUTTI_COMMAND " " + arguments + " >/dev/null 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(code_of("--version"), 0);
  EXPECT_EQ(code_of("executors"), 0);
  EXPECT_EQ(code_of("demo " + root_.string()), 0);
  EXPECT_EQ(code_of("nonsense"), 2);
  EXPECT_EQ(code_of("demo /nonexistent"), 3);
}

}  // namespace
}  // namespace tutti::app
