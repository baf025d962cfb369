// Who dies first, and in whatever way: nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/launcher.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <tests/support/processes.hpp>
#include <thread>
#include <vector>

namespace process_death_test {

void wait_for_ever() {
  for (;;) ::pause();
}
void say(const std::string& text) {
  std::fputs((text + '\n').c_str(), stdout);
  std::fflush(stdout);
}
void say_parent_and_wait() {
  say(std::to_string(::getppid()));
  wait_for_ever();
}
// A program with processes of its own.
void start_another_and_wait() {
  tutti::process inner(tutti::fn<wait_for_ever>);
  say(std::to_string(inner.pid()));
  wait_for_ever();
}
void start_another_and_leave() {
  static tutti::process inner(tutti::fn<wait_for_ever>);
  say(std::to_string(inner.pid()));
}
void be_forked_and_wait() {
  tutti::process inner(tutti::fn<wait_for_ever>);
  if (::fork() == 0) {
    // Has what its parent has, and goes on.
    say(std::to_string(::getpid()));
    wait_for_ever();
  }
  say(std::to_string(inner.pid()));
  wait_for_ever();
}
// Those signals of the launcher's own that a child would have otherwise than usual.
void say_unusual_signals() {
  ::sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  std::string unusual;
  for (const int number : {SIGCHLD, SIGTERM, SIGCONT, SIGUSR1, SIGUSR2}) {
    struct ::sigaction action{};
    ::sigaction(number, nullptr, &action);
    if (action.sa_handler != SIG_DFL || ::sigismember(&mask, number) == 1) unusual += ' ' + std::to_string(number);
  }
  say("unusual:" + unusual);
}

}  // namespace process_death_test

namespace tutti {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;
using tutti_test::read_line;
using tutti_test::until_gone;

// A copy of this program that does something else, before main, which calls init.
constexpr const char* scenario = "TUTTI_PROCESS_TEST_SCENARIO";
[[maybe_unused]] const bool instead_of_tests = [] {
  const char* const wanted = std::getenv(scenario);
  if (wanted == nullptr) return false;
  if (wanted == std::string("without init")) {
    try {
      process p(fn<process_death_test::wait_for_ever>);
    } catch (const std::logic_error& e) {
      process_death_test::say(e.what());
    }
    std::_Exit(0);
  }
  if (wanted == std::string("thread")) {  // as a library that starts one when it is loaded
    std::thread([] { process_death_test::wait_for_ever(); }).detach();
    return true;
  }
  if (wanted == std::string("hang")) process_death_test::wait_for_ever();
  return true;
}();

TEST(ProcessDeath, OfTheParentIsTheEndOfAll) {
  for (const auto start : {start_method::fork, start_method::exec}) {
    process parent({.out = stdio::pipe(), .start = start}, fn<process_death_test::start_another_and_wait>);
    const int inner = std::stoi(read_line(parent.out()));
    parent.kill();
    EXPECT_EQ(parent.join(), exit_status::killed(SIGKILL));
    until_gone(inner);
  }
}

TEST(ProcessDeath, OfTheParentIsSeenThoughAForkOfItHasItsSockets) {
  process parent({.out = stdio::pipe()}, fn<process_death_test::be_forked_and_wait>);
  int pids[2];
  for (int& pid : pids) pid = std::stoi(read_line(parent.out()));
  parent.kill();
  parent.join();
  // One of the two is the fork, which is nobody's business but its parent's.
  for (;;) {
    std::vector<int> left;
    for (const int pid : pids) {
      if (::kill(pid, 0) == 0) left.push_back(pid);
    }
    if (left.size() <= 1) break;
    std::this_thread::yield();
  }
  for (const int pid : pids) ::kill(pid, SIGKILL);
}

TEST(ProcessDeath, OfTheParentByExitIsTheEndOfAll) {
  process parent({.out = stdio::pipe(), .start = start_method::exec}, fn<process_death_test::start_another_and_leave>);
  const int inner = std::stoi(read_line(parent.out()));
  parent.terminate();  // its static object would join
  parent.join();
  until_gone(inner);
}

TEST(ProcessDeath, OfTheLauncherIsTheEndOfItsProcessesAndOfNothingElse) {
  process p({.name = "orphan", .out = stdio::pipe()}, fn<process_death_test::say_parent_and_wait>);
  const int launcher = std::stoi(read_line(p.out()));
  EXPECT_NE(launcher, ::getpid());
  ASSERT_EQ(::kill(launcher, SIGKILL), 0);
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  until_gone(p.pid());
  // The next one has a new launcher.
  process next({.out = stdio::pipe()}, fn<process_death_test::say_parent_and_wait>);
  EXPECT_NE(std::stoi(read_line(next.out())), launcher);
  next.kill();
}

TEST(ProcessDeath, LeavesNoZombie) {
  {
    process p(fn<process_death_test::wait_for_ever>);
    p.kill();
  }
  // The only child this program may have is its launcher.
  ::siginfo_t info{};
  EXPECT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), 0);
  EXPECT_EQ(info.si_pid, 0);
}

TEST(ProcessDeath, IsSeenThoughTheLauncherHasAThreadOfALibrary) {
  if (std::getenv(scenario) == nullptr) {
    const std::pair<std::string, std::string> environment[] = {{scenario, "thread"}};
    const process_options options = {.out = stdio::pipe(), .err = stdio::output(), .environment = environment};
    process here = process::exec({"/proc/self/exe", "--gtest_filter=ProcessDeath.IsSeenThough*"}, options);
    const auto said = here.communicate({}, 60s);
    EXPECT_TRUE(said.status.success()) << said.out;
    return;
  }
  for (int n = 0; n < 100; ++n) process(fn<process_death_test::say>, std::string()).join();
}

// "12 (sh) S 11 ..."
int parent_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  return std::stoi(text.substr(text.rfind(')') + 4));
}

void stop(int pid) {
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  while (tutti_test::state_of(pid) != 'T') std::this_thread::yield();
}

TEST(ProcessDeath, OfTheLauncherWakesAStoppedKeeper) {
  process p({.tree = true}, fn<process_death_test::wait_for_ever>);
  const int keeper = parent_of(p.pid()), launcher = parent_of(keeper);
  stop(p.pid());
  stop(keeper);
  ASSERT_EQ(::kill(launcher, SIGKILL), 0);
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  until_gone(p.pid());
  until_gone(keeper);
}

TEST(ProcessDeath, IsForStoppedTreesToo) {
  process p({.tree = true}, fn<process_death_test::wait_for_ever>);
  stop(parent_of(p.pid()));
  p.kill();
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
}

TEST(ProcessDeath, OfATreeIsToldAsItWasThoughItWasTerminatedAndKilledSince) {
  process p({.tree = true}, fn<process_death_test::wait_for_ever>);
  stop(parent_of(p.pid()));
  ASSERT_EQ(::kill(p.pid(), SIGHUP), 0);
  until_gone(p.pid());
  p.terminate();
  p.kill();
  EXPECT_EQ(p.join(), exit_status::killed(SIGHUP));
}

// By these the launcher and the keepers hear of a death, or do not die themselves.
TEST(ProcessDeath, IsNotWhatASignalOfAnybodyMeans) {
  process p({.tree = true}, fn<process_death_test::wait_for_ever>);
  const int keeper = parent_of(p.pid()), launcher = parent_of(keeper);
  for (const int signal : {SIGCONT, SIGTERM, SIGCONT}) {
    ASSERT_EQ(::kill(keeper, signal), 0);
    ASSERT_EQ(::kill(launcher, signal), 0);
    process next({.daemon = true}, fn<process_death_test::wait_for_ever>);
    EXPECT_EQ(parent_of(next.pid()), launcher);
  }
  EXPECT_TRUE(p.alive());
  EXPECT_EQ(::kill(p.pid(), SIGHUP), 0);
  EXPECT_EQ(p.join(), exit_status::killed(SIGHUP));  // of itself: its keeper was there to tell
}

TEST(ProcessStart, GivesAChildTheSignalsAsUsual) {
  for (const bool tree : {false, true}) {
    for (const auto start : {start_method::fork, start_method::exec}) {
      process p({.tree = tree, .out = stdio::pipe(), .start = start}, fn<process_death_test::say_unusual_signals>);
      EXPECT_EQ(p.communicate().out, "unusual:\n") << tree;
    }
    process q = process::exec({"grep", "SigBlk", "/proc/self/status"}, {.tree = tree, .out = stdio::pipe()});
    EXPECT_EQ(q.communicate().out, "SigBlk:\t0000000000000000\n") << tree;
  }
}

TEST(ProcessStart, WithoutInitSaysWhatIsMissing) {
  const std::pair<std::string, std::string> environment[] = {{scenario, "without init"}};
  process p = process::exec({"/proc/self/exe"}, {.out = stdio::pipe(), .environment = environment});
  const auto said = p.communicate();
  EXPECT_THAT(said.out, HasSubstr("`tutti::init(argc, argv);` the first line of its main"));
}

std::string refusal_of(const std::string& program) {
  try {
    detail::launch_request request;
    request.name = "job";
    detail::launcher::of(program)->start(std::move(request), {});
  } catch (const os_error& e) {
    return e.what();
  }
  return "nothing";
}

TEST(ProcessStart, OfAProgramThatIsNotOursIsRefused) {
  EXPECT_THAT(refusal_of("/nonexistent"), HasSubstr("No such file"));
  EXPECT_THAT(refusal_of("/bin/true"), testing::AllOf(HasSubstr("\"/bin/true\""), HasSubstr("(exit code 0)"),
                                                      HasSubstr("must be a program of tutti::process")));
}

TEST(ProcessStart, OfAProgramThatTalksNonsenseIsRefused) {
  const tutti_test::fresh_path file;
  for (const char* words : {"nonsense", "m", "mnonsense", "M", "m\\0000000000"}) {
    std::ofstream(file.path()) << "#!/bin/sh\nprintf '" << words << "' >&3\n";
    std::filesystem::permissions(file.path(), std::filesystem::perms::owner_all);
    EXPECT_THAT(refusal_of(file.path()), testing::AllOf(HasSubstr('"' + file.path() + '"'), HasSubstr("greeting"),
                                                        HasSubstr("must be a program of tutti::process"),
                                                        HasSubstr("`tutti::init(argc, argv);`")))
        << words;
  }
}

TEST(ProcessStart, OfAProgramThatReachesInitTooLateIsRefused) {
  // Our own program under another name, which hangs before main.
  ASSERT_EQ(::setenv(scenario, "hang", 1), 0);
  const std::string refusal = refusal_of("/proc/" + std::to_string(::getpid()) + "/exe");
  ::unsetenv(scenario);
  EXPECT_THAT(refusal, testing::AllOf(HasSubstr("did not reach tutti::init within 5 s"),
                                      HasSubstr("`tutti::init(argc, argv);` the first line of its main")));
}

}  // namespace
}  // namespace tutti
