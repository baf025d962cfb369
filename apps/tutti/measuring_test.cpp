// `tutti speedup` and `tutti bench` from the outside in.
#include <apps/tutti/bench_command.hpp>
#include <apps/tutti/command_line.hpp>
#include <apps/tutti/run_command_testing.hpp>
#include <apps/tutti/speedup_command.hpp>
#include <apps/tutti/speedup_report.hpp>
#include <tutti/base/json_text.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/trace/scaling.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

// The built program, through a shell.
outcome run_built(const std::string& arguments) {
  outcome result;
  FILE* pipe = ::popen((TUTTI_COMMAND " " + arguments).c_str(), "r");
  if (pipe == nullptr) return {.code = -1};
  std::array<char, 4096> buffer;
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
    result.out.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

bool has_warning(const std::string& json, const std::string& code) {
  const json_document document(json);
  const json_node root = document.root();
  const json_node warnings = root.member("warnings");
  for (std::size_t i = 0; i < warnings.size(); ++i) {
    const json_node warning = warnings.at(i);
    if (warning.member("code").text() == code) return true;
  }
  return false;
}

class Measuring : public testing::Test {
 protected:
  Measuring() {
    std::string name = (fs::temp_directory_path() / "tutti-measuring-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~Measuring() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST(SpeedupOptions, WorkerCounts) {
  EXPECT_EQ(parse_worker_counts("1"), std::vector<int>{1});
  EXPECT_EQ(parse_worker_counts("8,1,4"), (std::vector<int>{1, 4, 8}));
  EXPECT_EQ(default_worker_counts(1), std::vector<int>{1});
  EXPECT_EQ(default_worker_counts(2), (std::vector<int>{1, 2}));
  EXPECT_EQ(default_worker_counts(6), (std::vector<int>{1, 2, 4, 6}));
  EXPECT_EQ(default_worker_counts(8), (std::vector<int>{1, 2, 4, 8}));
}

TEST(MeasuringCommands, MistakesNameTheValueAndTheWayOut) {
  struct mistake {
    std::vector<const char*> arguments;
    std::vector<const char*> parts;
    int code = 2;
  };
  const std::vector<mistake> mistakes = {
      {{"speedup", "-w", "0", "--", "true"}, {"\"0\"", "-w 1,2,4"}},
      {{"speedup", "-w", "a", "--", "true"}, {"\"a\"", "-w 1,2,4"}},
      {{"speedup", "-w", "1,,2", "--", "true"}, {"1,,2", "-w 1,2,4"}},
      {{"speedup", "-w", "1,2,", "--", "true"}, {"1,2,"}},
      {{"speedup", "-w", "99999999999", "--", "true"}, {"99999999999"}},
      {{"speedup", "-w", "1,1", "--", "true"}, {"1 is named twice"}},
      {{"speedup", "-w", "", "--", "true"}, {"--workers", "empty"}},
      {{"speedup", "--workers=", "--", "true"}, {"--workers"}},
      {{"speedup", "--svg", "", "--", "true"}, {"--svg", "empty"}},
      {{"speedup", "-n", "0", "--", "true"}, {"--runs", "0"}},
      {{"speedup", "-n", "x", "--", "true"}, {"--runs", "x"}},
      {{"speedup", "--timeout", "0", "--", "true"}, {"--timeout"}},
      {{"speedup", "--env", "A=B", "--", "true"}, {"A=B"}},
      {{"speedup", "true"}, {"behind \"--\"", "true"}},
      {{"speedup"}, {"program is missing", "--"}},
      {{"speedup", "--"}, {"program is missing"}},
      {{"speedup", "--", ""}, {"program is missing"}},
      {{"speedup", "--wrokers", "1", "--", "true"}, {"unknown option \"--wrokers\"", "--workers"}},
      {{"bench"}, {"command is missing"}},
      {{"bench", "--"}, {"command is missing"}},
      {{"bench", "--", "true", "--"}, {"command is missing"}},
      {{"bench", "--runz", "--", "true"}, {"unknown option \"--runz\"", "--runs"}},
      {{"speedup", "-w", "1", "--", "tutti-has-no-such-program"}, {"\"tutti-has-no-such-program\"", "PATH"}, 3},
      {{"bench", "--", "/etc/passwd"}, {"/etc/passwd", "Permission denied"}, 3},
      {{"speedup", "-w", "1", "--", "/bin/false"}, {"/bin/false", "exit code 1"}, 1},
      {{"bench", "true", "--", "/bin/false"}, {"/bin/false", "exit code 1"}, 1},
      {{"speedup", "-w", "1", "--", "/bin/sh", "-c", "echo why >&2; kill -SEGV $$"}, {"SIGSEGV", "why"}, 1},
      {{"speedup", "-w", "1", "--timeout", "0.1", "--", "sleep", "1000"}, {"sleep 1000", "within 0.1 s"}, 1},
      {{"speedup", "-w", "3", "--", "/bin/sh", "-c", "exit 5"}, {"with 3 workers failed with exit code 5"}, 1},
      {{"speedup", "-w", "1", "--", "/bin/sh", "-c", "kill $$"}, {"with 1 worker was ended by signal 15"}, 1},
      {{"speedup", "-w", "2", "--timeout", "0.1", "--", "sleep", "1000"}, {"with 2 workers did not end"}, 1},
      {{"speedup", "-w", "1", "--svg", "/nonexistent/a.svg", "--", "true"},
       {"/nonexistent/a.svg", "No such file or directory"},
       1},
      {{"speedup", "-w", "1", "--svg", "/", "--", "true"}, {"--svg /:", "Is a directory"}, 1},
      {{"speedup", "-w", "1", "--json", "--", "/bin/false", "\xff"}, {"UTF-8"}, 1},
      {{"bench", "--json", "--", "/bin/false", "\xff"}, {"UTF-8"}, 1},
      {{"speedup", "-w", "1", "--svg", "/dev/full", "--", "true"}, {"/dev/full", "could not be written"}, 1},
  };
  for (const mistake& m : mistakes) {
    const outcome result = run(m.arguments);
    EXPECT_EQ(result.code, m.code) << result.err;
    for (const char* part : m.parts) EXPECT_TRUE(contains(result.err, part)) << part << '\n' << result.err;
  }
}

TEST(MeasuringCommands, HelpShowsHowToUseThem) {
  EXPECT_TRUE(contains(run({"speedup", "--help"}).out, "tutti speedup -- ./solve --threads {}"));
  EXPECT_TRUE(contains(run({"bench", "--help"}).out, "tutti bench -- "));
  EXPECT_TRUE(contains(run({"speedup", "--help"}).out, "Usage: tutti speedup [OPTIONS] -- PROGRAM ARGS\n"));
  EXPECT_TRUE(
      contains(run({"bench", "--help"}).out, "Usage: tutti bench [OPTIONS] -- COMMAND ARGS [-- COMMAND ARGS]...\n"));
}

#ifdef TUTTI_EXAMPLES
// Every run in the JSON.
std::vector<scaling_run> runs_in(const json_node& root) {
  std::vector<scaling_run> runs;
  const json_node counts = root.member("counts");
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const json_node count = counts.at(i);
    const auto workers = static_cast<int>(count.member("workers").integer(1, 1000));
    const json_node seconds = count.member("seconds");
    for (std::size_t run = 0; run < seconds.size(); ++run)
      runs.push_back({.workers = workers, .seconds = seconds.at(run).real()});
  }
  return runs;
}

// Amdahl's law from the outside: the program's serial share out of its times. Waiting overlaps on any machine, so this
// holds on one processor too. Others may use the machine at the same time and make runs longer, never shorter: the
// share is judged by the fastest runs so far, the report by its own. Starting a process and its threads counts as
// serial: the tolerance has room for that.
TEST_F(Measuring, TheSerialShareOfAProgramIsFound) {
  const std::string svg = (root_ / "plot.svg").string();
  std::map<int, double> fastest;
  double found = 1;
  for (int attempt = 0; attempt < 8 && std::abs(found - 0.1) > 0.08; ++attempt) {
    const outcome result = run_built("speedup -w 1,2,4,8 --oversubscribe -n 3 --json --svg " + svg +
                                     " -- " TUTTI_EXAMPLES "/amdahl --work wait --serial 0.1 --workers {}");
    ASSERT_EQ(result.code, 0) << result.out;
    const json_document document(result.out);
    const json_node root = document.root();
    EXPECT_EQ(root.member("counts").size(), 4U);
    EXPECT_EQ(root.member("variables").size(), 0U);
    EXPECT_GT(fs::file_size(svg), 1000U);

    const std::vector<scaling_run> runs = runs_in(root);
    ASSERT_EQ(runs.size(), 12U);
    const json_node fits = root.member("fits");
    const json_node amdahl = fits.member("amdahl");
    const json_node serial = amdahl.member("serial");
    EXPECT_EQ(amdahl.member("predictions").size(), 3U);
    EXPECT_LE(serial.member("low").real(), serial.member("value").real());
    EXPECT_GE(serial.member("high").real(), serial.member("value").real());
    EXPECT_NEAR(serial.member("value").real(), fit_scaling(scaling_law::amdahl, runs)->serial.value, 1e-9);

    std::vector<scaling_run> best;
    for (const scaling_run& run : runs) {
      double& least = fastest.try_emplace(run.workers, run.seconds).first->second;
      least = std::min(least, run.seconds);
    }
    for (const auto& [workers, seconds] : fastest) best.push_back({.workers = workers, .seconds = seconds});
    found = fit_scaling(scaling_law::amdahl, best)->serial.value;
  }
  EXPECT_NEAR(found, 0.1, 0.08);
}
#endif

TEST(MeasuringCommands, TheReportNamesTheVariablesAndWhatIsDoubtful) {
  const outcome result =
      run({"speedup", "-w", "1,100000", "-n", "1", "--warmup", "0", "--json", "--env", "MINE", "--", "true"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json_document document(result.out);
  const json_node root = document.root();
  const json_node variables = root.member("variables");
  ASSERT_EQ(variables.size(), worker_variables().size() + 1);
  const json_node last = variables.at(variables.size() - 1);
  EXPECT_EQ(last.text(), "MINE");
  EXPECT_TRUE(has_warning(result.out, "one_run")) << result.out;
  EXPECT_TRUE(has_warning(result.out, "oversubscribed")) << result.out;
}

TEST(MeasuringCommands, WorkersArePassedInPlaceOrInVariables) {
  // The scripts fail unless the number arrives exactly as it should. What is set outside stays where nothing else is.
  const char* const outside = ::getenv("GOMAXPROCS");  // NOLINT(concurrency-mt-unsafe)
  const std::string go = outside == nullptr ? "" : outside;
  EXPECT_EQ(run({"speedup", "-w", "3", "-n", "1", "--", "/bin/sh", "-c",
                 "test \"$0\" = -j3-3 && test \"$GOMAXPROCS\" = \"$1\"", "-j{}-{}", go.c_str()})
                .err,
            "");
  EXPECT_EQ(
      run({"speedup", "-w", "3", "-n", "1", "--env", "MINE", "--", "/bin/sh", "-c", "test $OMP_NUM_THREADS$MINE = 33"})
          .err,
      "");
  EXPECT_EQ(run({"speedup", "-w", "3", "-n", "1", "--env", "MINE", "--", "/bin/sh", "-c",
                 "test $0$MINE = 33 && test \"$GOMAXPROCS\" = \"$1\"", "{}", go.c_str()})
                .err,
            "");
}

// A program of which a tenth is serial, measured with runs that differ by `noise`.
speedup_study study_of(const std::vector<int>& counts, double noise) {
  speedup_study study{.program = {"./solve"}, .runs = 3, .machine = {.processors = 8}};
  for (const int n : counts) {
    speedup_row row{.workers = n};
    for (const double factor : {1 - noise, 1.0, 1 + noise})
      row.runs.push_back({.seconds = (0.1 + 0.9 / n) * factor, .cpu_seconds = factor});
    study.rows.push_back(row);
  }
  study.analyse();
  return study;
}

std::string report_of(const speedup_study& study) {
  std::ostringstream out;
  write_study(out, study, {});
  return out.str();
}

TEST(SpeedupReport, LawsAreThereForPeople) {
  const std::string text = report_of(study_of({1, 2, 4, 8}, 0.01));
  for (const char* part : {"workers", "median s", "efficiency", "serial fraction", "Amdahl", "; medians lie 0.0 % from",
                           "Predicted speedup", "1024 workers", "ideal"}) {
    EXPECT_TRUE(contains(text, part)) << part << '\n' << text;
  }
  // Through two points goes every line.
  const std::string two = report_of(study_of({1, 8}, 0.01));
  EXPECT_TRUE(contains(two, "T1 = 1.0000 s\n")) << two;
  EXPECT_FALSE(contains(two, "medians lie")) << two;
}

TEST(SpeedupReport, NoLawIsShownWhereFitsMeanNothing) {
  const speedup_study study = study_of({1, 2, 4}, 0.9);
  const std::string text = report_of(study);
  for (const char* part : {"No law of scaling follows", "Warning: The median of a worker count is known to", "ideal"})
    EXPECT_TRUE(contains(text, part)) << part << '\n' << text;
  for (const char* part : {"Amdahl: ", "Amdahl  ", "Predicted"}) EXPECT_FALSE(contains(text, part)) << part << text;
  EXPECT_TRUE(study.plot().curve.empty());
  std::ostringstream json;
  write_study_json(json, study);
  const json_document document(json.str());
  const json_node root = document.root();
  const json_node fits = root.member("fits");
  EXPECT_FALSE(fits.member("amdahl").is_null());
  EXPECT_TRUE(has_warning(json.str(), "noise"));
}

TEST(MeasuringCommands, TheTableIsThereForPeople) {
  const outcome result = run({"speedup", "-w", "1,2,4", "-n", "2", "--warmup", "0", "--oversubscribe", "--", "true"});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* part : {"workers", "median s", "efficiency", "serial fraction", "ideal"})
    EXPECT_TRUE(contains(result.out, part)) << part << '\n' << result.out;
  const outcome beyond = run({"speedup", "-w", "1,100000", "-n", "1", "--warmup", "0", "--", "true"});
  EXPECT_EQ(beyond.code, 0) << beyond.err;
  for (const char* part : {"100000*", "not in the fits", "Warning: "})
    EXPECT_TRUE(contains(beyond.out, part)) << part << '\n' << beyond.out;
}

TEST_F(Measuring, AFailureLeavesNoPicture) {
  const std::string svg = (root_ / "plot.svg").string();
  EXPECT_EQ(run({"speedup", "-w", "1", "-n", "1", "--svg", svg.c_str(), "--", "/bin/false"}).code, 1);
  EXPECT_FALSE(fs::exists(svg));
  std::ofstream(svg) << "mine";
  EXPECT_EQ(run({"speedup", "-w", "1", "-n", "1", "--svg", svg.c_str(), "--", "/bin/false"}).code, 1);
  EXPECT_EQ(fs::file_size(svg), 4U);
}

TEST(MeasuringCommands, WithoutOneWorkerSpeedupsAreRelativeToTheFewest) {
  const outcome result = run({"speedup", "-w", "4,2", "-n", "1", "--oversubscribe", "--json", "--", "true"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "\"baseline\":2")) << result.out;
  EXPECT_TRUE(has_warning(result.out, "no_single"));
}

TEST(BenchCommand, Commands) {
  using words = std::vector<std::string>;
  EXPECT_EQ(split_commands({"a", "b"}), (std::vector<words>{{"a", "b"}}));
  EXPECT_EQ(split_commands({"a", "--", "b", "c"}), (std::vector<words>{{"a"}, {"b", "c"}}));
  EXPECT_EQ(split_commands({"--"}), (std::vector<words>{{}, {}}));
}

bench_row row_of(const std::string& name, const std::vector<double>& seconds) {
  bench_row row{.command = {name}};
  for (const double s : seconds) row.runs.push_back({.seconds = s});
  return row;
}

TEST(BenchCommand, ReportsAsPytestBenchmarkDoes) {
  std::ostringstream out;
  write_bench(out, {row_of("./slow", {0.020, 0.021, 0.022, 0.023, 0.050}),
                    row_of("./fast", {0.010, 0.0105, 0.011, 0.0115, 0.012})});
  const std::string text = out.str();
  const auto fast = text.find("[2] ./fast"), slow = text.find("[1] ./slow");
  ASSERT_NE(fast, std::string::npos) << text;
  ASSERT_NE(slow, std::string::npos) << text;
  EXPECT_LT(fast, slow);  // the fastest first
  for (const char* part : {"Name (time in ms)", "Min", "Max", "Mean", "StdDev", "Median", "IQR", "Outliers", "OPS",
                           "Rounds", "10.0000 (1.00)", "20.0000 (2.00)", "50.0000 (4.17)", "1;1", "90.9091",
                           "[2] takes 0.500 times", "p = 0.0079: they differ"}) {
    EXPECT_TRUE(contains(text, part)) << part << '\n' << text;
  }
}

TEST(BenchCommand, NamesAreCutBetweenCharactersAndPrintable) {
  std::string umlauts;
  for (int i = 0; i < 60; ++i) umlauts += "ä";
  std::ostringstream out;
  write_bench(out, {row_of(umlauts, {1}), row_of("\x1b[2J", {2}), row_of("plain", {3})});
  const std::string cut = "[1] '" + umlauts.substr(0, std::size_t{2} * 40) + "...  ";  // 48 columns, 2 between
  EXPECT_TRUE(contains(out.str(), cut)) << out.str();
  EXPECT_TRUE(contains(out.str(), "[2] $'\\033[2J'" + std::string(33, ' ') + "  ")) << out.str();
  EXPECT_FALSE(contains(out.str(), "\x1b")) << out.str();
}

TEST(BenchCommand, OneCommandHasNobodyToBeComparedWith) {
  std::ostringstream out;
  write_bench(out, {row_of("./only", {2, 2, 2})});
  EXPECT_TRUE(contains(out.str(), "time in s")) << out.str();
  EXPECT_FALSE(contains(out.str(), "(1.00)")) << out.str();
  EXPECT_FALSE(contains(out.str(), "Mann")) << out.str();
}

TEST(BenchCommand, TheUnitSuitsTheFastestUnlessTheSlowestGetsTooLong) {
  struct table {
    std::vector<double> seconds;
    const char* unit;
    const char* slowest;
  };
  for (const table& t : std::vector<table>{{{0.0002441, 0.0991084410}, "in ms", "99.1084 ("},
                                           {{0.0012, 5}, "in ms", "5000.0000 ("},
                                           {{0.0012, 12}, "in s", "12.0000 (>1000)"},
                                           {{0.5, 12}, "in s", "12.0000 ("},
                                           {{0.0002, 0.0003}, "in us", "300.0000 ("},
                                           {{0.002, 0.003}, "in ms", "3.0000 ("}}) {
    std::ostringstream out;
    write_bench(out, {row_of("a", {t.seconds[0]}), row_of("b", {t.seconds[1]})});
    EXPECT_TRUE(contains(out.str(), t.unit)) << t.unit << '\n' << out.str();
    EXPECT_TRUE(contains(out.str(), t.slowest)) << t.slowest << '\n' << out.str();
  }
}

TEST(BenchCommand, DoubtsEndTheReport) {
  std::ostringstream out;
  write_bench(out, {row_of("a", {1, 1})}, {{"busy", "Others ran."}});
  EXPECT_TRUE(out.str().ends_with("\nWarning: Others ran.\n")) << out.str();
  const outcome json = run({"bench", "-n", "1", "--json", "--", "true"});
  EXPECT_TRUE(has_warning(json.out, "one_run")) << json.out;
  EXPECT_TRUE(contains(run({"bench", "-n", "1", "--", "true"}).out, "Warning: One run of each command"));
}

TEST(BenchCommand, EqualTimes) {
  std::ostringstream out;
  write_bench(out, {row_of("a", {1, 1}), row_of("b", {1, 1})});
  EXPECT_TRUE(contains(out.str(), "too few runs")) << out.str();
  EXPECT_FALSE(contains(out.str(), "nan")) << out.str();
}

TEST(MeasuringCommands, BenchRunsCommandsWithAndWithoutALeadingSeparator) {
  for (const char* const arguments :
       {"bench -n 2 --json -- true -- sh -c 'exit 0'", "bench -n 2 --json true -- sh -c 'exit 0'"}) {
    const outcome result = run_built(arguments);
    ASSERT_EQ(result.code, 0) << result.out;
    const json_document document(result.out);
    const json_node root = document.root();
    const json_node commands = root.member("commands");
    ASSERT_EQ(commands.size(), 2U);
    const json_node second = commands.at(1);
    EXPECT_EQ(second.member("command").size(), 3U);
    EXPECT_EQ(second.member("seconds").size(), 2U);
    EXPECT_FALSE(root.member("difference").is_null());
  }
}

// Waits until there is something to read, or the last writer has gone.
bool readable(const unique_fd& fd) {
  pollfd wanted = {fd.get(), POLLIN, 0};
  return ::poll(&wanted, 1, 30'000) == 1;
}

// A signal that ends tutti takes the program and its children along. They hold a pipe open: its end is their end.
TEST_F(Measuring, InterruptingEndsTheProgramToo) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string fifo = (root_ / ("fifo" + std::to_string(signal))).string();
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const unique_fd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      const std::string script = "exec >" + fifo + "; echo ready; sleep 1000 & sleep 1000";
      ::execl(TUTTI_COMMAND, "tutti", "speedup", "-w", "1", "--", "/bin/sh", "-c", script.c_str(), nullptr);
      ::_exit(127);
    }
    std::array<char, 64> buffer;
    EXPECT_TRUE(readable(reader)) << "the program has not begun";
    EXPECT_GT(::read(reader.get(), buffer.data(), buffer.size()), 0);
    EXPECT_EQ(::kill(pid, signal), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    if (WIFSIGNALED(status)) {
      EXPECT_EQ(WTERMSIG(status), signal);
    }
    EXPECT_TRUE(readable(reader)) << "children still run";
    EXPECT_EQ(::read(reader.get(), buffer.data(), buffer.size()), 0);
  }
}

}  // namespace
}  // namespace tutti::app
