// The program is killed, at any moment: no worker, no launcher, no zombie is left.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/programs.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_parent {

using namespace std::chrono_literals;

int add(int a, int b) { return a + b; }
void fill(tutti::shared_array<int> numbers, int value) { std::ranges::fill(numbers, value); }
int nested(int n) {
  tutti::process_pool inner(2);
  tutti::process_pool other({.workers = 1}, tutti::fn<add>, 1, 2);
  return inner.submit<add>(n, 1).get() + other.submit<add>(n, 2).get();
}
void until_killed() {
  for (;;) ::pause();
}
int sum(tutti::process_queue<int> from) {
  int all = 0;
  for (int n : from) all += n;
  return all;
}
/// A call whose worker has processes of its own, grandchildren of the program.
void with_processes_of_its_own() {
  tutti::process p(tutti::fn<until_killed>);
  tutti::process q = tutti::process::exec({"sleep", "1000"});
  tutti::process t =
      tutti::process::exec({"sh", "-c", "setsid sleep 1000 & echo; wait"}, {.tree = true, .out = tutti::stdio::pipe()});
  char c = 0;
  if (::read(t.out().get(), &c, 1) == 1) static_cast<void>(::write(1, "g", 1));
  until_killed();
}

/// Gives up all that might end it with the program.
void hold_out(int way) {
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::setsid();
  for (int number = 1; number < 65; ++number) ::signal(number, SIG_IGN);
  static_cast<void>(::write(1, "g", 1));
  if (way == 1) ::close_range(2, ~0U, 0);
  if (way == 2) ::close_range(3, ~0U, 0);
  until_killed();
}
void stop_itself() {
  static_cast<void>(::write(1, "g", 1));
  ::raise(SIGSTOP);
}

}  // namespace spec_parent

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_parent;

void throws() { throw std::runtime_error("nobody catches it"); }
void throw_to_nobody() noexcept { throws(); }

void step() { ASSERT_EQ(::write(1, ".", 1), 1); }

// All that a program does with this module, again and again, until it is killed.
TEST(SpecParentProgram, DISABLED_Busy) {
  for (;;) {
    process_pool pool({.workers = 2, .grace = 0s});
    step();
    auto three = pool.submit<add>(1, 2);
    step();
    shared_array<int> numbers(5000);
    auto filled = pool.submit<fill>(numbers, 3);
    step();
    auto inner = pool.submit<nested>(4);
    pool.resize(4);
    step();
    process held({.daemon = true}, fn<until_killed>);
    step();
    process tree = process::exec({"sh", "-c", "setsid sleep 1000 & setsid sleep 1000"}, {.daemon = true, .tree = true});
    process image({.daemon = true, .start = start_method::exec}, fn<until_killed>);
    step();
    process_queue<int> queue(10);
    auto all = pool.submit<sum>(queue);
    for (int i = 0; i < 5; ++i) queue.send(i);
    queue.close();
    step();
    auto late = pool.with({.timeout = 1ms}).submit<until_killed>();
    EXPECT_EQ(three.get(), 3);
    filled.get();
    EXPECT_EQ(inner.get(), 11);
    step();
    pool.resize(1);
    step();
    EXPECT_EQ(all.get(), 10);
    EXPECT_THROW(late.get(), timed_out);
    pool.shutdown(tutti::cancel);
    step();
  }
}

// Two levels of pools and processes at rest: 'g' when all are there.
TEST(SpecParentProgram, DISABLED_Deep) {
  process_pool pool(2);
  auto one = pool.submit<with_processes_of_its_own>();
  auto other = pool.submit<with_processes_of_its_own>();
  one.get();
}

TEST(SpecParentProgram, DISABLED_HoldsOut) {
  process_pool pool(2);
  auto one = pool.submit<hold_out>(0), two = pool.submit<hold_out>(1);
  process p(fn<hold_out>, 2);
  process q(fn<stop_itself>);
  one.get();
}

// How a program ends otherwise, with a busy pool whose calls never end.
TEST(SpecParentProgram, DISABLED_Exits) {
  ::signal(SIGSEGV, SIG_DFL);                        // sanitizers have a handler
  static process_pool& pool = *new process_pool(2);  // never destroyed
  for (int i = 0; i < 4; ++i) static_cast<void>(pool.submit<until_killed>());
  step();
  const std::string way = std::getenv("TUTTI_SPEC_WAY");
  if (way == "exit") std::_Exit(7);
  if (way == "abort") std::abort();
  if (way == "terminate") throw_to_nobody();
  ::pause();
}

std::vector<::pid_t> children_of(::pid_t id) {
  std::vector<::pid_t> ids;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(id) + "/task")) {
    std::ifstream in(task.path() / "children");
    for (::pid_t child = 0; in >> child;) ids.push_back(child);
  }
  return ids;
}

// Plays the system: waits for all that a killed program has left.
TEST(SpecParentProgram, DISABLED_KillsAtRandom) {
  tutti_test::choices choose(0x5eed);
  for (int round = 0; round < 20 && !HasFailure(); ++round) {
    tutti_test::kept_program program("SpecParentProgram.DISABLED_Busy");
    const auto steps = choose.below(24), turns = choose.below(400'000);
    for (unsigned i = 0; i < steps; ++i) ASSERT_EQ(program.hear(), '.') << "round " << round;
    for (unsigned i = 0; i < turns; ++i) asm volatile("");
    ASSERT_EQ(::kill(program.pid(), SIGKILL), 0);
    EXPECT_EQ(program.end_of_all(), SIGKILL) << "round " << round << ", after step " << steps;
    EXPECT_TRUE(program.is_silent());
  }
}

TEST(SpecParentProgram, DISABLED_KillsDeep) {
  for (int round = 0; round < 3; ++round) {
    tutti_test::kept_program program("SpecParentProgram.DISABLED_Deep");
    ASSERT_EQ(program.hear(), 'g');
    ASSERT_EQ(program.hear(), 'g');
    ::kill(program.pid(), SIGKILL);
    EXPECT_EQ(program.end_of_all(), SIGKILL);
    EXPECT_TRUE(program.is_silent());
  }
}

TEST(SpecParentProgram, DISABLED_KillsWhoHoldsOut) {
  tutti_test::kept_program program("SpecParentProgram.DISABLED_HoldsOut");
  for (int i = 0; i < 4; ++i) ASSERT_EQ(program.hear(), 'g');
  ::kill(program.pid(), SIGKILL);
  EXPECT_EQ(program.end_of_all(), SIGKILL);
  EXPECT_TRUE(program.is_silent());
}

// Everybody but the program is stopped, and so can do nothing when it is killed.
TEST(SpecParentProgram, DISABLED_KillsTheStopped) {
  tutti_test::kept_program program("SpecParentProgram.DISABLED_Deep");
  ASSERT_EQ(program.hear(), 'g');
  ASSERT_EQ(program.hear(), 'g');
  std::vector<::pid_t> ids = children_of(program.pid());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ::kill(ids[i], SIGSTOP);
    for (::pid_t id : children_of(ids[i])) ids.push_back(id);
  }
  EXPECT_GT(ids.size(), 6u);
  ::kill(program.pid(), SIGKILL);
  EXPECT_EQ(program.end_of_all(std::chrono::seconds(1)), SIGKILL);
  EXPECT_TRUE(program.is_silent());
}

TEST(SpecParentProgram, DISABLED_KillsTheLauncherFirst) {
  tutti_test::kept_program program("SpecParentProgram.DISABLED_Deep");
  ASSERT_EQ(program.hear(), 'g');
  ASSERT_EQ(program.hear(), 'g');
  // All that the program has started itself is the launcher.
  const std::vector<::pid_t> ids = children_of(program.pid());
  ASSERT_FALSE(ids.empty());
  for (::pid_t id : ids) ::kill(id, SIGKILL);
  ::kill(program.pid(), SIGKILL);
  EXPECT_EQ(program.end_of_all(), SIGKILL);
  EXPECT_TRUE(program.is_silent());
}

TEST(SpecParentProgram, DISABLED_Ends) {
  tutti_test::kept_program program("SpecParentProgram.DISABLED_Exits");
  ASSERT_EQ(program.hear(), '.');
  const std::string way = std::getenv("TUTTI_SPEC_WAY");
  if (way == "term") ::kill(program.pid(), SIGTERM);
  if (way == "int") ::kill(program.pid(), SIGINT);
  if (way == "segv") ::kill(program.pid(), SIGSEGV);
  const int status = program.end_of_all();
  if (way == "exit") {
    EXPECT_EQ(WEXITSTATUS(status), 7);
  } else {
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
  }
  EXPECT_TRUE(program.is_silent());
}

void succeeds(const std::string& test, const std::vector<std::pair<std::string, std::string>>& environment = {}) {
  process keeper = process::exec(tutti_test::program_of("SpecParentProgram.DISABLED_" + test),
                                 {.out = stdio::pipe(), .err = stdio::output(), .environment = environment});
  const process_output said = keeper.communicate();
  EXPECT_TRUE(said.status.success()) << to_string(said.status) << '\n' << said.out;
}

TEST(SpecParentKilled, AtRandomMomentsLeavesNothing) { succeeds("KillsAtRandom"); }
TEST(SpecParentKilled, TakesItsGrandchildrenAlong) { succeeds("KillsDeep"); }
TEST(SpecParentKilled, TakesThoseAlongWhoHoldOut) { succeeds("KillsWhoHoldsOut"); }
TEST(SpecParentKilled, TakesTheStoppedAlong) { succeeds("KillsTheStopped"); }
TEST(SpecParentKilled, AfterItsLauncher) { succeeds("KillsTheLauncherFirst"); }

class SpecParentEnds : public testing::TestWithParam<const char*> {};
TEST_P(SpecParentEnds, AndLeavesNothing) { succeeds("Ends", {{"TUTTI_SPEC_WAY", GetParam()}}); }
INSTANTIATE_TEST_SUITE_P(Spec, SpecParentEnds, testing::Values("exit", "abort", "terminate", "term", "int", "segv"));

}  // namespace
}  // namespace tutti
