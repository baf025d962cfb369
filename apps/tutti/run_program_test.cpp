// Programs run and measured: what is counted, what failure says, and that nothing is left running.
#include <apps/tutti/interleaved.hpp>
#include <apps/tutti/run_program.hpp>
#include <tutti/base/unique_fd.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

program shell(const std::string& script) { return {.words = {"/bin/sh", "-c", script}}; }

// What run_program says about a program that fails; "" when it does not.
std::string failure_of(const program& what, std::optional<double> timeout = {}) {
  try {
    run_program(what, timeout);
  } catch (const program_failed& failed) {
    return failed.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

TEST(RunProgram, MeasuresTimeAndMemory) {
  const program_run run = run_program({.words = {"sleep", "0.02"}});
  EXPECT_GE(run.seconds, 0.02);
  EXPECT_GE(run.cpu_seconds, 0);
  EXPECT_LT(run.cpu_seconds, run.seconds);
  EXPECT_GT(run.peak_bytes, 0);
}

TEST(RunProgram, SetsTheEnvironmentAndReplacesWhatWasSet) {
  program what =
      shell(R"sh(test "$OMP_NUM_THREADS" = 3 && test "$(env | grep -c ^HOME=)" = 1 && test "$HOME" = there)sh");
  what.environment = {{"OMP_NUM_THREADS", "3"}, {"HOME", "there"}};
  EXPECT_EQ(failure_of(what), "");
}

TEST(RunProgram, HasNoInput) { EXPECT_EQ(failure_of(shell("test -z \"$(cat)\"")), ""); }

TEST(RunProgram, FailureSaysCodeAndLastLines) {
  const std::string text = failure_of(shell("seq 20; echo broken >&2; exit 7"));
  for (const char* part : {"exit code 7", "  20\n", "broken"}) EXPECT_TRUE(contains(text, part)) << text;
  EXPECT_FALSE(contains(text, "  11\n")) << text;
  EXPECT_TRUE(contains(failure_of({.words = {"/bin/false"}}), "exit code 1; it wrote nothing"));
  EXPECT_TRUE(
      contains(failure_of(shell("printf 'a\\033[2Jb\\t\\177\\302\\233\\233|\\ncd'; exit 1")), "a?[2Jb\t???|\n  cd"));
}

TEST(RunProgram, FailureNamesTheSignal) {
  const std::string text = failure_of(shell("echo last words; kill -TERM $$"));
  EXPECT_TRUE(contains(text, "SIGTERM")) << text;
  EXPECT_TRUE(contains(text, "last words")) << text;
}

TEST(RunProgram, UnknownProgramsAreNoPrograms) {
  for (const char* name : {"tutti-has-no-such-program", "./tutti-has-no-such-program", "/etc/passwd", "/"}) {
    try {
      run_program({.words = {name}});
      ADD_FAILURE() << name;
    } catch (const not_a_program& error) {
      EXPECT_TRUE(contains(error.what(), name)) << error.what();
    }
  }
}

TEST(RunProgram, TheProgramInThisDirectoryIsNamedOnlyWhereThereIsOne) {
  const auto said = [](const std::string& name) -> std::string {
    try {
      run_program({.words = {name}});
    } catch (const not_a_program& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_FALSE(contains(said("tutti-has-no-such-program"), "./")) << said("tutti-has-no-such-program");
  std::string name = "tutti-only-here-XXXXXX";
  const unique_fd file(::mkstemp(name.data()));
  ASSERT_TRUE(file);
  EXPECT_FALSE(contains(said(name), "is ./" + name)) << said(name);
  ASSERT_EQ(::fchmod(file.get(), 0700), 0);
  EXPECT_TRUE(contains(said(name), "is ./" + name)) << said(name);
  fs::remove(name);
}

TEST(RunProgram, FailureSaysWithWhat) {
  const program what{.words = {"/bin/false"}, .note = "with 4 workers"};
  EXPECT_TRUE(contains(failure_of(what), "\"/bin/false\" with 4 workers failed"));
}

class Left : public testing::Test {
 protected:
  Left() {
    std::string name = (fs::temp_directory_path() / "tutti-run-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~Left() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(Left, ATimeoutEndsTheWholeGroup) {
  const std::string fifo = (root_ / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const unique_fd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const std::string text = failure_of(shell("exec 3>" + fifo + "; echo begun; sleep 1000 & sleep 1000"), 0.3);
  EXPECT_TRUE(contains(text, "did not end within 0.3 s")) << text;
  // All of them hold the other end of the fifo: when they have gone, this does not wait any longer.
  ::fcntl(reader.get(), F_SETFL, 0);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0);
}

TEST_F(Left, AChildThatStaysBehindIsNotWaitedForButEnded) {
  const std::string fifo = (root_ / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const unique_fd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_EQ(failure_of(shell("exec 3>" + fifo + "; sleep 1000 & echo begun >&3")), "");
  // The child holds the other end: only when it has gone, this is the end and not a wait for more.
  pollfd wanted = {reader.get(), POLLIN, 0};
  std::string begun(64, ' ');
  EXPECT_EQ(::read(reader.get(), begun.data(), begun.size()), 6);
  EXPECT_EQ(::poll(&wanted, 1, 30'000), 1) << "the child still runs";
}

// A program that reads from the terminal would be stopped, and we would wait for ever.
TEST(RunProgram, HasNoTerminal) {
  EXPECT_EQ(failure_of(shell("read pid name state parent group session terminal rest </proc/self/stat; "
                             "test $group = $$ && test $session = $$ && test $terminal = 0")),
            "");
}

TEST(RunProgram, FailureIsSeenWhereChildrenAreIgnored) {
  struct sigaction ignore = {};
  struct sigaction before = {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGCHLD, &ignore, &before), 0);
  EXPECT_TRUE(contains(failure_of({.words = {"/bin/false"}}), "exit code 1"));
  struct sigaction after = {};
  EXPECT_EQ(::sigaction(SIGCHLD, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
}

TEST(RunProgram, OutputWithoutEndIsDropped) {
  const std::string text = failure_of(shell("yes a rather long line of output"), 0.3);
  EXPECT_TRUE(contains(text, "did not end within")) << text;
  EXPECT_LT(text.size(), 1000U);
  EXPECT_EQ(failure_of(shell("head -c 5000000 /dev/zero")), "");
}

TEST(Quoted, AsAShellWantsIt) {
  EXPECT_EQ(quoted({"./a", "--x=1", "b c", "", "it's", "{}"}), R"(./a --x=1 'b c' '' 'it'\''s' {})");
  EXPECT_EQ(quoted({"naïve", "a\x1b[2J'\nb\\", "\xff"}), R"('naïve' $'a\033[2J\047\012b\134' $'\377')");
}

TEST(Interleaved, EveryRoundHasEachProgramOnce) {
  std::set<std::vector<std::size_t>> orders;
  for (std::size_t round = 0; round < 10; ++round) {
    std::vector<std::size_t> order = order_of_round(5, round);
    orders.insert(order);
    EXPECT_EQ(order.front(), round % 5);
    std::ranges::sort(order);
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  }
  EXPECT_EQ(orders.size(), 10U);
  EXPECT_EQ(order_of_round(1, 3), std::vector<std::size_t>{0});
}

TEST(Interleaved, CountsRunsButNotTheWarmup) {
  const std::vector<program> programs = {shell("exit 0"), shell("true")};
  std::vector<std::size_t> order;
  const auto runs = run_interleaved(programs, {.runs = 2, .warmup = 1}, [&](std::size_t which, int done, int all) {
    EXPECT_EQ(done, static_cast<int>(order.size()));
    EXPECT_EQ(all, 6);
    order.push_back(which);
  });
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 1, 0, 0, 1}));
  ASSERT_EQ(runs.size(), 2U);
  for (const auto& of_one : runs) EXPECT_EQ(of_one.size(), 2U);
}

}  // namespace
}  // namespace tutti::app
