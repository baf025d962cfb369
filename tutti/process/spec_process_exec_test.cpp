// Executed programs and their descendants: words, pipes, trees, deaths in any order.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_exec {

int nothing() { return 0; }
void until_killed() {
  for (;;) ::pause();
}
void change(tutti::shared_array<int> marks, int n) { marks[static_cast<std::size_t>(n)] = ::getpid(); }

}  // namespace spec_exec

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_exec;
using testing::HasSubstr;

class SpecExec : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<nothing>).join(); }  // what the module keeps open is open
  // Two numbers of processes, each on a line.
  static std::vector<unique_fd> watch_two(process& p) {
    std::vector<unique_fd> both;
    for (int i = 0; i < 2; ++i) both.push_back(tutti_test::watch(std::stoi(tutti_test::read_line(p.out()))));
    return both;
  }
};

TEST_F(SpecExec, WordsArriveAsTheyAre) {
  process p = process::exec({"printf", "[%s]", "a b", "", "*", "$HOME", "'\"\\", "\xff\n"}, {.out = stdio::pipe()});
  EXPECT_EQ(p.communicate().out, "[a b][][*][$HOME]['\"\\][\xff\n]");
}

TEST_F(SpecExec, LooksInPathOfItsOwnAndOurs) {
  EXPECT_TRUE(process::exec({"/bin/true"}).join().success());
  EXPECT_EQ(process::exec({"false"}).join(), exit_status::exited(1));
  const tutti_test::fresh_path file;
  std::ofstream(file.path()) << "#!/bin/sh\nexit 42\n";
  ASSERT_EQ(::chmod(file.path().c_str(), 0755), 0);
  const std::string folder = file.path().substr(0, file.path().rfind('/')), before = std::getenv("PATH");
  ::setenv("PATH", (folder + ":" + before).c_str(), 1);
  EXPECT_EQ(process::exec({"file"}).join(), exit_status::exited(42));
  ::setenv("PATH", before.c_str(), 1);
}

TEST_F(SpecExec, HasControlCAsWeHadIt) {
  EXPECT_EQ(process::exec({"sh", "-c", "kill -INT $$; exit 5"}).join(), exit_status::killed(SIGINT));
  EXPECT_EQ(process::exec({"sh", "-c", "kill -PIPE $$; exit 5"}).join(), exit_status::killed(SIGPIPE));
}

TEST_F(SpecExec, CommunicatesMoreThanPipesHold) {
  const std::string much(1'000'000, 'm');
  process p =
      process::exec({"sh", "-c", "tee /dev/stderr"}, {.in = stdio::pipe(), .out = stdio::pipe(), .err = stdio::pipe()});
  const process_output said = p.communicate(much);
  EXPECT_EQ(said.out, much);
  EXPECT_EQ(said.err, much);
  EXPECT_TRUE(said.status.success());
}

TEST_F(SpecExec, CommunicatesWithWhoDoesNotListen) {
  const std::string much(1'000'000, 'm');
  process p = process::exec({"sh", "-c", "exec <&-; echo said; exit 4"}, {.in = stdio::pipe(), .out = stdio::pipe()});
  const process_output said = p.communicate(much);  // no SIGPIPE for us
  EXPECT_EQ(said.out, "said\n");
  EXPECT_EQ(said.status, exit_status::exited(4));
  process killed = process::exec({"sh", "-c", "read x; kill -9 $$"}, {.in = stdio::pipe(), .out = stdio::pipe()});
  EXPECT_EQ(killed.communicate("one line\n" + much).status, exit_status::killed(SIGKILL));
  process none = process::exec({"true"});
  EXPECT_THROW(none.communicate("text"), std::logic_error);
}

TEST_F(SpecExec, ReadsByHand) {
  process p = process::exec({"cat"}, {.in = stdio::pipe(), .out = stdio::pipe()});
  ASSERT_EQ(::write(p.in().get(), "line\n", 5), 5);
  EXPECT_EQ(tutti_test::read_line(p.out()), "line");
  p.in().reset();
  EXPECT_EQ(tutti_test::read_line(p.out()), "");
  EXPECT_TRUE(p.join().success());
}

TEST_F(SpecExec, StoppedAndContinued) {
  process p = process::exec({"cat"}, {.in = stdio::pipe(), .out = stdio::pipe()});
  p.signal(SIGSTOP);
  while (tutti_test::state_of(p.pid()) != 'T') std::this_thread::yield();
  EXPECT_TRUE(p.alive());
  EXPECT_EQ(p.join(1ms), std::nullopt);
  p.signal(SIGCONT);
  EXPECT_EQ(p.communicate("text").out, "text");
  process q = process::exec({"cat"}, {.in = stdio::pipe()});
  q.signal(SIGSTOP);
  q.kill();  // works on the stopped
  EXPECT_EQ(q.join(), exit_status::killed(SIGKILL));
}

constexpr const char* children_of_both_kinds =
    "sleep 1000 & echo $!; setsid sh -c 'sleep 1000 & echo $!; wait' & trap '' HUP TERM; wait; wait";

// However it ends, with `tree` all its descendants do, also those in other sessions, and orphans.
TEST_F(SpecExec, TreeEndsWithKill) {
  process p = process::exec({"sh", "-c", children_of_both_kinds}, {.tree = true, .out = stdio::pipe()});
  const auto both = watch_two(p);
  p.kill();
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  for (const unique_fd& one : both) EXPECT_TRUE(tutti_test::ends(one));
}
TEST_F(SpecExec, TreeEndsWithTheFirstOfThem) {
  for (const char* end : {"exit 3", "kill -9 $$", "kill -SEGV $$"}) {
    const std::string script = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; read x; " + std::string(end);
    process p = process::exec({"sh", "-c", script}, {.tree = true, .in = stdio::pipe(), .out = stdio::pipe()});
    const auto both = watch_two(p);
    p.in().reset();
    EXPECT_FALSE(p.join().success());
    for (const unique_fd& one : both) EXPECT_TRUE(tutti_test::ends(one)) << end;
  }
}
TEST_F(SpecExec, TreeEndsWithItsObject) {
  std::vector<unique_fd> both;
  {
    process p =
        process::exec({"sh", "-c", children_of_both_kinds}, {.daemon = true, .tree = true, .out = stdio::pipe()});
    both = watch_two(p);
  }
  for (const unique_fd& one : both) EXPECT_TRUE(tutti_test::ends(one));
}
TEST_F(SpecExec, TreeOfOrphans) {
  // Twice forked: its parent is gone at once.
  const char* script = "(sleep 1000 & echo $!); (setsid setsid sleep 1000 & echo $!); read x";
  process p = process::exec({"sh", "-c", script}, {.tree = true, .in = stdio::pipe(), .out = stdio::pipe()});
  const auto both = watch_two(p);
  p.in().reset();
  p.join();
  for (const unique_fd& one : both) EXPECT_TRUE(tutti_test::ends(one));
}
TEST_F(SpecExec, TreeKeepsItsStatusAndPid) {
  process p = process::exec({"sh", "-c", "echo $$; exit 9"}, {.tree = true, .out = stdio::pipe()});
  const std::string id = std::to_string(p.pid());
  const process_output said = p.communicate();
  EXPECT_EQ(said.out, id + '\n');
  EXPECT_EQ(said.status, exit_status::exited(9));
  process q = process::exec({"sh", "-c", "kill -SEGV $$"}, {.tree = true});
  EXPECT_EQ(q.join(), exit_status::killed(SIGSEGV));
}

// What has no `tree` "may outlive it".
TEST_F(SpecExec, WithoutATreeGrandchildrenStay) {
  process p = process::exec({"sh", "-c", "sleep 1000 & echo $!"}, {.out = stdio::pipe()});
  const int id = std::stoi(tutti_test::read_line(p.out()));
  p.join();
  EXPECT_FALSE(tutti_test::is_gone(id));
  const unique_fd left = tutti_test::watch(id);
  ::kill(id, SIGKILL);
  EXPECT_TRUE(tutti_test::ends(left));
}

// "If the launcher is killed, all it had started ends, and the next start makes a new one."
TEST_F(SpecExec, LauncherIsKilled) {
  process p = process::exec({"sleep", "1000"});
  process q(fn<until_killed>);
  process_pool pool(2);
  const shared_array<int> marks(1);
  pool.submit<change>(marks, 0).get();
  EXPECT_GT(std::exchange(marks[0], 0), 0);
  std::ifstream in("/proc/" + std::to_string(p.pid()) + "/stat");
  std::string text;
  std::getline(in, text);
  const int launcher = std::stoi(text.substr(text.rfind(')') + 4));
  std::ifstream words("/proc/" + std::to_string(launcher) + "/cmdline");
  std::getline(words, text);
  ASSERT_THAT(text, HasSubstr("--tutti-worker=launcher"));
  ASSERT_NE(launcher, ::getpid());
  ::kill(launcher, SIGKILL);
  EXPECT_FALSE(p.join().success());
  EXPECT_FALSE(q.join().success());
  pool.submit<change>(marks, 0).get();
  EXPECT_GT(marks[0], 0);
  EXPECT_TRUE(process::exec({"true"}).join().success());
}

TEST_F(SpecExec, ObjectsEndInAnyOrder) {
  auto first = std::make_optional(process::exec({"sleep", "1000"}, {.daemon = true}));
  auto second = std::make_optional(process::exec({"sleep", "1000"}, {.daemon = true}));
  auto third = std::make_optional(process::exec({"cat"}, {.in = stdio::pipe()}));
  second.reset();
  EXPECT_TRUE(first->alive());
  EXPECT_TRUE(third->alive());
  first.reset();
  third->in().reset();
  third.reset();
}

TEST_F(SpecExec, ProgramStartsManyAndReadsNone) {
  std::vector<process> all;
  for (int i = 0; i < 30; ++i) all.push_back(process::exec({"echo", "unread"}, {.out = stdio::pipe()}));
  for (process& p : all) EXPECT_TRUE(p.join().success());
}

}  // namespace
}  // namespace tutti
