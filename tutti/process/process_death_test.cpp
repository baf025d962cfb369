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
