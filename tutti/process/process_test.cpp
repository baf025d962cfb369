// Processes: how they begin, end and fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/this_process.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <tests/support/processes.hpp>
#include <thread>
#include <vector>

namespace process_test {

void nothing() {}
void leave_with(int code) { std::_Exit(code); }
void say(const std::string& text) { std::fputs(text.c_str(), stdout); }
void say_name() { say(tutti::this_process::name()); }
void say_directory() { say(std::filesystem::current_path().string()); }
void say_parent() { say(std::to_string(::getppid())); }
void echo() {
  for (int c = 0; (c = std::getchar()) != EOF;) std::putchar(c);
}
void fail() { throw std::out_of_range("no such page"); }
struct strange {};
void fail_strangely() { throw strange(); }
struct silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
void fail_silently() { throw silent(); }
void raise(int signal) { ::raise(signal); }
void wait_for_ever() {
  for (;;) ::pause();
}
void report_ready_and_wait() {
  say("ready\n");
  std::fflush(stdout);
  wait_for_ever();
}
void start_another_and_wait() {
  tutti::process inner(tutti::fn<wait_for_ever>);
  say(std::to_string(inner.pid()) + '\n');
  std::fflush(stdout);
  wait_for_ever();
}
void check_limit(int resource, std::uint64_t value) {
  ::rlimit is{};
  ::getrlimit(static_cast<__rlimit_resource>(resource), &is);
  std::_Exit(is.rlim_cur == value && is.rlim_max == value ? 0 : 1);
}
void check_cpus(int cpu) {
  ::cpu_set_t set;
  ::sched_getaffinity(0, sizeof set, &set);
  std::_Exit(CPU_COUNT(&set) == 1 && CPU_ISSET(static_cast<std::size_t>(cpu), &set) ? 0 : 1);
}
void check_interrupt_is_ignored() {
  struct ::sigaction now{};
  ::sigaction(SIGINT, nullptr, &now);
  std::_Exit(now.sa_handler == SIG_IGN ? 0 : 1);
}

}  // namespace process_test

namespace tutti {
namespace {

using namespace std::chrono_literals;

namespace fs = std::filesystem;
using testing::HasSubstr;
using tutti_test::is_gone;
using tutti_test::read_line;
using tutti_test::until_gone;

class Process : public testing::TestWithParam<start_method> {
 protected:
  static process_options with(process_options options = {}) {
    options.start = GetParam();
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Starts, Process, testing::Values(start_method::fork, start_method::exec),
                         [](const auto& p) { return p.param == start_method::fork ? "fork" : "exec"; });

TEST_P(Process, RunsAFunctionToItsEnd) {
  process p(with(), fn<process_test::nothing>);
  EXPECT_TRUE(p);
  EXPECT_GT(p.pid(), 0);
  EXPECT_NE(p.pid(), ::getpid());
  EXPECT_EQ(p.join(), exit_status::exited(0));
  EXPECT_FALSE(p.alive());
  EXPECT_EQ(p.status(), exit_status::exited(0));
  EXPECT_EQ(p.failure(), nullptr);
  EXPECT_EQ(p.join(), exit_status::exited(0));  // again
}

TEST_P(Process, HasItsArgumentsAndItsStreams) {
  process p(with({.out = stdio::pipe()}), fn<process_test::say>, "two words");
  EXPECT_EQ(p.communicate().out, "two words");
  process e(with({.in = stdio::pipe(), .out = stdio::pipe()}), fn<process_test::echo>);
  const std::string much(1 << 20, 'x');  // more than pipes hold
  EXPECT_EQ(e.communicate(much).out, much);
}

TEST_P(Process, WhoDoesNotListenRaisesNoSignal) {
  process p(with({.in = stdio::pipe()}), fn<process_test::leave_with>, 3);
  EXPECT_EQ(p.communicate(std::string(1 << 20, 'x')).status, exit_status::exited(3));
}

TEST_P(Process, EndsInManyWays) {
  process code(with(), fn<process_test::leave_with>, 3);
  EXPECT_EQ(code.join(), exit_status::exited(3));
  for (const int signal : {SIGKILL, SIGTERM, SIGUSR1}) {
    process p(with({.err = stdio::null()}), fn<process_test::raise>, signal);
    EXPECT_EQ(p.join(), exit_status::killed(signal));
    EXPECT_EQ(p.failure(), nullptr);
  }
}

TEST_P(Process, AnExceptionIsSaidAndKept) {
  process p(with({.name = "reader", .err = stdio::pipe()}), fn<process_test::fail>);
  const auto said = p.communicate();
  EXPECT_EQ(said.status, exit_status::exited(1));
  EXPECT_EQ(said.err, "reader: std::out_of_range: no such page\n");
  EXPECT_THROW(std::rethrow_exception(p.failure()), std::out_of_range);
  process q(with({.err = stdio::pipe()}), fn<process_test::fail_strangely>);
  EXPECT_THAT(q.communicate().err, HasSubstr("process_test::strange"));
  EXPECT_THROW(std::rethrow_exception(q.failure()), remote_error);
  process r(with({.name = "reader", .err = stdio::pipe()}), fn<process_test::fail_silently>);
  EXPECT_EQ(r.communicate().err, "reader: process_test::silent: \n");
  EXPECT_THROW(std::rethrow_exception(r.failure()), remote_error);
}

TEST_P(Process, IsEndedFromOutside) {
  process p(with({.out = stdio::pipe()}), fn<process_test::report_ready_and_wait>);
  EXPECT_EQ(read_line(p.out()), "ready");
  EXPECT_TRUE(p.alive());
  EXPECT_EQ(p.status(), std::nullopt);
  EXPECT_EQ(p.join(std::chrono::nanoseconds(0)), std::nullopt);
  p.terminate();
  EXPECT_EQ(p.join().value(), -15);
  p.terminate();  // nothing any more
  p.kill();
  process q(with({.out = stdio::pipe()}), fn<process_test::report_ready_and_wait>);
  EXPECT_EQ(read_line(q.out()), "ready");
  q.kill();
  EXPECT_EQ(q.join(), exit_status::killed(SIGKILL));
}

TEST_P(Process, ADaemonEndsWithItsObject) {
  int pid = 0;
  {
    const process p(with({.daemon = true}), fn<process_test::wait_for_ever>);
    EXPECT_TRUE(p.daemon());
    pid = p.pid();
  }
  EXPECT_TRUE(is_gone(pid));
}

TEST_P(Process, OthersAreWaitedFor) {
  const std::string file = (fs::temp_directory_path() / "tutti_process_XXXXXX").string();
  std::string name = file;
  unique_fd made(::mkstemp(name.data()));
  {
    const process p(with({.out = stdio::file(name)}), fn<process_test::say>, "to the end");
  }
  std::ifstream in(name);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "to the end");
  fs::remove(name);
}

TEST_P(Process, BeginsAsItsOptionsSay) {
  const std::string there = fs::canonical(fs::temp_directory_path()).string();
  process d(with({.out = stdio::pipe(), .directory = there}), fn<process_test::say_directory>);
  EXPECT_EQ(d.communicate().out, there);
  process here(with({.out = stdio::pipe()}), fn<process_test::say_directory>);
  EXPECT_EQ(here.communicate().out, fs::current_path());
  const resource_limit limits[] = {{RLIMIT_NOFILE, 99}};
  process l(with({.limits = limits}), fn<process_test::check_limit>, int{RLIMIT_NOFILE}, std::uint64_t{99});
  EXPECT_EQ(l.join().code(), 0);
  const int cpus[] = {::sched_getcpu()};
  process c(with({.cpus = cpus}), fn<process_test::check_cpus>, cpus[0]);
  EXPECT_EQ(c.join().code(), 0);
  process i(with(), fn<process_test::check_interrupt_is_ignored>);
  EXPECT_EQ(i.join().code(), 0);
}

TEST_P(Process, HasAName) {
  EXPECT_EQ(this_process::name(), "main");
  process p(with({.name = "counter", .out = stdio::pipe()}), fn<process_test::say_name>);
  EXPECT_EQ(p.name(), "counter");
  EXPECT_EQ(p.communicate().out, "counter");
  EXPECT_EQ(to_string(p), "counter (pid " + std::to_string(p.pid()) + "): exit code 0");
  process q(with(), fn<process_test::nothing>), r(with(), fn<process_test::nothing>);
  EXPECT_THAT(q.name(), testing::MatchesRegex("process-[0-9]+"));
  EXPECT_NE(q.name(), r.name());
}

TEST_P(Process, ATreeEndsAsAWhole) {
  process p(with({.tree = true, .out = stdio::pipe()}), fn<process_test::start_another_and_wait>);
  const int grandchild = std::stoi(read_line(p.out()));
  EXPECT_FALSE(is_gone(grandchild));
  p.kill();
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  until_gone(grandchild);
}

TEST(ProcessTree, TakesWithItWhatLeftIt) {
  // The shell ends at once; what it leaves behind has a session of its own and no parent.
  process p = process::exec({"sh", "-c", "setsid sleep 1000 >/dev/null & echo $!; read x; exit 5"},
                            {.tree = true, .in = stdio::pipe(), .out = stdio::pipe()});
  const int left = std::stoi(read_line(p.out()));
  EXPECT_FALSE(is_gone(left));
  p.in().reset();
  EXPECT_EQ(p.join(), exit_status::exited(5));
  EXPECT_TRUE(is_gone(left));
  process q = process::exec({"sh", "-c", "sleep 1000 & echo $!; wait"}, {.tree = true, .out = stdio::pipe()});
  const int other = std::stoi(read_line(q.out()));
  q.terminate();
  EXPECT_EQ(q.join(), exit_status::killed(SIGTERM));
  EXPECT_TRUE(is_gone(other));
}

TEST(ProcessExec, RunsAProgram) {
  process p = process::exec({"sh", "-c", "cat; echo oops >&2; exit 4"},
                            {.in = stdio::pipe(), .out = stdio::pipe(), .err = stdio::pipe()});
  const auto said = p.communicate("hello");
  EXPECT_EQ(said.out, "hello");
  EXPECT_EQ(said.err, "oops\n");
  EXPECT_EQ(said.status, exit_status::exited(4));
  process merged = process::exec({"sh", "-c", "echo a; echo b >&2"}, {.out = stdio::pipe(), .err = stdio::output()});
  EXPECT_EQ(merged.communicate().out, "a\nb\n");
  process silent = process::exec({"cat"}, {.in = stdio::null(), .out = stdio::pipe()});
  EXPECT_EQ(silent.communicate().out, "");
  process file = process::exec({"cat"}, {.in = stdio::file("/proc/self/comm"), .out = stdio::pipe()});
  EXPECT_NE(file.communicate().out, "");
}

TEST(ProcessExec, GetsTheEnvironmentOfNowAndMore) {
  ASSERT_EQ(::setenv("TUTTI_PROCESS_TEST", "now", 1), 0);
  const std::vector<std::pair<std::string, std::string>> more = {{"TUTTI_OTHER", "a=b c"}};
  process p =
      process::exec({"sh", "-c", "echo $TUTTI_PROCESS_TEST $TUTTI_OTHER"}, {.out = stdio::pipe(), .environment = more});
  EXPECT_EQ(p.communicate().out, "now a=b c\n");
  ::unsetenv("TUTTI_PROCESS_TEST");
  const std::vector<std::pair<std::string, std::string>> bad = {{"A=B", "c"}};
  EXPECT_THROW(process::exec({"true"}, {.environment = bad}), std::invalid_argument);
}

TEST(ProcessExec, GetsNoDescriptorOfOurs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);  // without O_CLOEXEC
  const unique_fd first(ends[0]), second(ends[1]);
  process p = process::exec({"sh", "-c", "ls /proc/self/fd | wc -l"}, {.out = stdio::pipe()});
  EXPECT_EQ(p.communicate().out, "4\n");  // its three, and ls's own for the folder
}

template <class Start>
std::string refusal_of(Start start) {
  try {
    start();
  } catch (const os_error& e) {
    return e.what();
  }
  return "nothing";
}

TEST(ProcessExec, RefusalsNameWhatAndWhy) {
  using testing::AllOf;
  EXPECT_THAT(refusal_of([] { process::exec({"/nonexistent/prog", "x"}, {.name = "job"}); }),
              AllOf(HasSubstr("job"), HasSubstr("\"/nonexistent/prog\""), HasSubstr("No such file")));
  EXPECT_THAT(refusal_of([] { process::exec({"tutti-no-such-program"}); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal_of([] { process::exec({"/etc/passwd"}); }), HasSubstr("Permission denied"));
  EXPECT_THAT(refusal_of([] { process::exec({"true"}, {.directory = "/nonexistent"}); }),
              AllOf(HasSubstr("directory \"/nonexistent\""), HasSubstr("No such file")));
  EXPECT_THAT(refusal_of([] { process::exec({"true"}, {.out = stdio::file("/nonexistent/x")}); }),
              AllOf(HasSubstr("standard output"), HasSubstr("\"/nonexistent/x\"")));
  EXPECT_THAT(refusal_of([] { process::exec({"true"}, {.err = stdio::descriptor(9999)}); }), HasSubstr("9999"));
  const int cpus[] = {100'000};
  EXPECT_THAT(refusal_of([&] { process::exec({"true"}, {.cpus = cpus}); }), HasSubstr("processors"));
  const resource_limit limits[] = {{9999, 1}};
  EXPECT_THAT(refusal_of([&] { process::exec({"true"}, {.limits = limits}); }), HasSubstr("resource limits"));
  EXPECT_THROW(process::exec({}), std::invalid_argument);
  EXPECT_THROW(process::exec({""}), std::invalid_argument);
  EXPECT_THROW(process::exec({"echo", std::string("a\0b", 3)}), std::invalid_argument);
  EXPECT_THROW(process::exec({"true"}, {.out = stdio::output()}), std::invalid_argument);
  EXPECT_EQ(process::exec({"true"}).join(), exit_status::exited(0));  // after all that
}

TEST(ProcessObject, HoldsOneOrNone) {
  process none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.pid(), 0);
  EXPECT_FALSE(none.alive());
  EXPECT_EQ(none.status(), std::nullopt);
  EXPECT_THROW(none.join(), std::logic_error);
  EXPECT_THROW(static_cast<void>(none.join_async()), std::logic_error);
  none.kill();
  EXPECT_EQ(to_string(none), "no process");
  process p(fn<process_test::nothing>);
  process q(std::move(p));
  EXPECT_FALSE(p);  // NOLINT(bugprone-use-after-move)
  q = process({.daemon = true}, fn<process_test::wait_for_ever>);
  EXPECT_TRUE(q.alive());
  EXPECT_THROW(q.communicate("x"), std::logic_error);
}

TEST(ProcessObject, IsJoinedByAThreadWhileAnotherKillsIt) {
  process p(fn<process_test::wait_for_ever>);
  std::jthread killer([&p] { p.kill(); });
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
}

TEST(ProcessMany, AtOnce) {
  std::vector<process> all;
  for (int i = 0; i < 50; ++i) all.emplace_back(fn<process_test::leave_with>, i);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].join(), exit_status::exited(i));
}

TEST(ProcessMany, FromManyThreads) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 10; ++i) EXPECT_EQ(process(fn<process_test::leave_with>, i).join().code(), i);
    });
  }
}

TEST(ProcessLimits, WhatEndsAtOnceIsNeverTooLate) {
  ::cpu_set_t before, one;
  ::sched_getaffinity(0, sizeof before, &before);
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  for (int n = 0; n < 300; ++n) EXPECT_TRUE(process(fn<process_test::nothing>).communicate("", 60s).status.success());
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(ProcessLimits, WhatWritesWithoutEndIsEnded) {
  process p = process::exec({"yes"}, {.out = stdio::pipe()});
  EXPECT_THROW(p.communicate("", 10ms), timed_out);
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
}

TEST(ProcessLimits, WhatAnEndedProcessHasLeftIsNamed) {
  const tutti_test::fresh_path left;
  process p = process::exec({"sh", "-c", "sleep 1000 & echo $! > " + left.path() + "; exit 3"}, {.out = stdio::pipe()});
  try {
    p.communicate("", 100ms);
    FAIL() << "it has ended";
  } catch (const timed_out& e) {
    EXPECT_THAT(e.what(), HasSubstr(".tree"));
  }
  EXPECT_EQ(p.join().code(), 3);
  int pid = 0;
  std::ifstream(left.path()) >> pid;
  ::kill(pid, SIGKILL);
}

}  // namespace
}  // namespace tutti
