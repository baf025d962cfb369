// process objects: every option, every state, deaths in any order.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_object {

int nothing() { return 0; }
void until_killed() {
  for (;;) ::pause();
}
void say_name() { std::cout << tutti::this_process::name(); }
void echo() {
  for (std::string line; std::getline(std::cin, line);) std::cout << '[' << line << ']' << std::flush;
}
void to_both() {
  std::fputs("out", stdout);
  std::fputs("err", stderr);
}
void end_with(int code) { std::exit(code); }
void kill_itself(int signal) {
  ::signal(signal, SIG_DFL);
  ::raise(signal);
  until_killed();
}
void throws_text() { throw std::out_of_range("page 12"); }
void throws_number() { throw 42; }
std::string taken(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "none" : value;
}
void surroundings() {
  ::rlimit cpu{};
  ::getrlimit(RLIMIT_CPU, &cpu);
  ::cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  std::cout << std::filesystem::current_path().string() << ' ' << taken("TUTTI_SPEC_A") << ' ' << taken("TUTTI_SPEC_B")
            << ' ' << cpu.rlim_cur << ' ' << CPU_COUNT(&cpus);
}
void ignores_interrupts() {
  ::raise(SIGINT);
  std::cout << "alive";
}
void says_descriptors() {
  std::string all;
  for (int fd = 3; fd < 1000; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) {
      std::error_code ignored;
      all += std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string() + '\n';
    }
  }
  std::cout << all;
}
/// Prints the id of a grandchild that it leaves alone.
void with_grandchild(int way) {
  static tutti::process inner({.tree = true}, tutti::fn<until_killed>);
  std::cout << inner.pid() << std::endl;
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(0);
  if (way == 2) std::abort();
  until_killed();
}
void add_to(tutti::shared_value<int> sum, int by) { sum.fetch_add(by); }

}  // namespace spec_object

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_object;
using testing::HasSubstr;
using testing::Not;

class SpecProcess : public testing::TestWithParam<start_method> {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
};

TEST_P(SpecProcess, HasANameAndAPid) {
  process p({.name = "painter", .out = stdio::pipe(), .start = GetParam()}, fn<say_name>);
  EXPECT_EQ(p.name(), "painter");
  EXPECT_GT(p.pid(), 1);
  EXPECT_FALSE(p.daemon());
  EXPECT_TRUE(p);
  const int id = p.pid();
  EXPECT_EQ(p.communicate().out, "painter");
  EXPECT_EQ(p.pid(), id);
  EXPECT_EQ(to_string(p), "painter (pid " + std::to_string(id) + "): exit code 0");
  process other({.start = GetParam()}, fn<nothing>);
  EXPECT_EQ(other.name().substr(0, 8), "process-");
  EXPECT_EQ(other.name().find_first_not_of("0123456789", 8), std::string::npos);
  EXPECT_EQ(this_process::name(), "main");
}

TEST_P(SpecProcess, StatesFromStartToEnd) {
  process p({.start = GetParam()}, fn<until_killed>);
  EXPECT_TRUE(p.alive());
  EXPECT_EQ(p.status(), std::nullopt);
  EXPECT_EQ(p.join(0s), std::nullopt);
  EXPECT_EQ(p.join(-1s), std::nullopt);
  EXPECT_EQ(p.join(1ms), std::nullopt);
  EXPECT_THAT(to_string(p), HasSubstr("running"));
  EXPECT_EQ(p.failure(), nullptr);
  p.terminate();
  EXPECT_EQ(p.join(), exit_status::killed(SIGTERM));
  EXPECT_EQ(p.join(), exit_status::killed(SIGTERM));  // again
  EXPECT_EQ(p.join(0s), exit_status::killed(SIGTERM));
  EXPECT_EQ(p.status(), exit_status::killed(SIGTERM));
  EXPECT_FALSE(p.alive());
  EXPECT_EQ(p.status()->value(), -15);
  p.kill();  // nothing
  p.terminate();
  p.signal(SIGUSR1);
  EXPECT_EQ(p.status(), exit_status::killed(SIGTERM));
  EXPECT_THAT(to_string(p), HasSubstr("killed by SIGTERM"));
}

TEST_P(SpecProcess, EndsByEveryCodeAndSignal) {
  for (int code : {0, 1, 3, 127, 255})
    EXPECT_EQ(process({.start = GetParam()}, fn<end_with>, code).join(), exit_status::exited(code));
  for (int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGALRM, SIGRTMIN + 2}) {
    EXPECT_EQ(process({.start = GetParam()}, fn<kill_itself>, signal).join(), exit_status::killed(signal)) << signal;
  }
}

TEST_P(SpecProcess, StreamsArePipesFilesOrNothing) {
  process echoes({.in = stdio::pipe(), .out = stdio::pipe(), .start = GetParam()}, fn<echo>);
  EXPECT_EQ(echoes.communicate("one\ntwo\n").out, "[one][two]");
  process both({.out = stdio::pipe(), .err = stdio::pipe(), .start = GetParam()}, fn<to_both>);
  const process_output said = both.communicate();
  EXPECT_EQ(said.out, "out");
  EXPECT_EQ(said.err, "err");
  process one({.out = stdio::pipe(), .err = stdio::output(), .start = GetParam()}, fn<to_both>);
  EXPECT_THAT(one.communicate().out, testing::AllOf(HasSubstr("out"), HasSubstr("err")));
  process silent({.in = stdio::null(), .out = stdio::null(), .err = stdio::null(), .start = GetParam()}, fn<echo>);
  EXPECT_TRUE(silent.join().success());  // at the end of nothing
  EXPECT_FALSE(silent.in());
  EXPECT_FALSE(silent.out());
}

TEST_P(SpecProcess, StreamsAreFilesOrDescriptors) {
  const tutti_test::fresh_path file;
  const std::string path = file.path();
  const auto text = [&path] {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  std::ofstream(path) << "what was there before, which is longer";
  process({.out = stdio::file(path), .err = stdio::null(), .start = GetParam()}, fn<to_both>).join();
  EXPECT_EQ(text(), "out");
  process({.out = stdio::append(path), .err = stdio::null(), .start = GetParam()}, fn<to_both>).join();
  EXPECT_EQ(text(), "outout");
  process reads({.in = stdio::file(path), .out = stdio::pipe(), .start = GetParam()}, fn<echo>);
  EXPECT_EQ(reads.communicate().out, "[outout]");
  const unique_fd open(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  process({.out = stdio::descriptor(open.get()), .err = stdio::descriptor(open.get()), .start = GetParam()},
          fn<to_both>)
      .join();
  EXPECT_THAT(text(), testing::AllOf(HasSubstr("out"), HasSubstr("err")));
  EXPECT_GE(::fcntl(open.get(), F_GETFD), 0);  // "stays the caller's"
}

TEST_P(SpecProcess, HasTheSurroundingsItWasGiven) {
  ::setenv("TUTTI_SPEC_A", "ours", 1);  // of now, not of when the first process was started
  const std::pair<std::string, std::string> environment[] = {{"TUTTI_SPEC_B", "theirs"}};
  const resource_limit limits[] = {{RLIMIT_CPU, 77}};
  const int cpus[] = {::sched_getcpu()};
  process p({.out = stdio::pipe(),
             .environment = environment,
             .directory = "/usr",
             .limits = limits,
             .cpus = cpus,
             .start = GetParam()},
            fn<surroundings>);
  EXPECT_EQ(p.communicate().out, "/usr ours theirs 77 1");
  const std::pair<std::string, std::string> other[] = {{"TUTTI_SPEC_A", "instead"}};
  process q({.out = stdio::pipe(), .environment = other, .start = GetParam()}, fn<surroundings>);
  EXPECT_THAT(q.communicate().out, HasSubstr(std::filesystem::current_path().string() + " instead none"));
  ::unsetenv("TUTTI_SPEC_A");
}

TEST_P(SpecProcess, KeepsWhatItsFunctionThrew) {
  process p({.name = "reader", .err = stdio::pipe(), .start = GetParam()}, fn<throws_text>);
  EXPECT_EQ(p.communicate().err, "reader: std::out_of_range: page 12\n");
  EXPECT_EQ(p.join(), exit_status::exited(1));
  ASSERT_TRUE(p.failure());
  EXPECT_THROW(std::rethrow_exception(p.failure()), std::out_of_range);
  process q({.err = stdio::pipe(), .start = GetParam()}, fn<throws_number>);
  EXPECT_THAT(q.communicate().err, HasSubstr("int"));
  EXPECT_EQ(q.join().code(), 1);
  EXPECT_THROW(std::rethrow_exception(q.failure()), remote_error);
}

TEST_P(SpecProcess, IgnoresControlC) {
  process p({.out = stdio::pipe(), .start = GetParam()}, fn<ignores_interrupts>);
  EXPECT_EQ(p.communicate().out, "alive");
}

TEST_P(SpecProcess, HasNoDescriptorOfOurs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);  // not even those that are not closed by exec
  const unique_fd reads(ends[0]), writes(ends[1]);
  process p({.out = stdio::pipe(), .start = GetParam()}, fn<says_descriptors>);
  const std::string ours = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(ends[0]));
  EXPECT_THAT(p.communicate().out, Not(HasSubstr(ours)));
}

TEST_P(SpecProcess, DaemonIsKilledByItsObject) {
  unique_fd watched;
  {
    const process p({.daemon = true, .start = GetParam()}, fn<until_killed>);
    EXPECT_TRUE(p.daemon());
    watched = tutti_test::watch(p.pid());
  }
  EXPECT_TRUE(tutti_test::ends(watched));
}

TEST_P(SpecProcess, MoveAndAssign) {
  process p({.name = "first", .daemon = true, .start = GetParam()}, fn<until_killed>);
  const unique_fd first = tutti_test::watch(p.pid());
  process q = std::move(p);
  EXPECT_FALSE(p);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(q.name(), "first");
  q = process({.name = "second", .start = GetParam()}, fn<nothing>);
  EXPECT_TRUE(tutti_test::ends(first));
  EXPECT_TRUE(q.join().success());
}

// Whichever way it dies, what it has started dies with it.
TEST_P(SpecProcess, DiesAndTakesItsProcessesAlong) {
  for (int way = 0; way < 5; ++way) {
    process p({.out = stdio::pipe(), .err = stdio::null(), .start = GetParam()}, fn<with_grandchild>, way);
    const unique_fd grandchild = tutti_test::watch(std::stoi(tutti_test::read_line(p.out())));
    if (way == 3) p.kill();
    if (way == 4) p.terminate();
    p.join();
    EXPECT_TRUE(tutti_test::ends(grandchild)) << way;
  }
}

TEST_P(SpecProcess, IsJoinedFromSeveralSides) {
  process p({.start = GetParam()}, fn<until_killed>);
  std::jthread joins([&p] { EXPECT_EQ(p.join(), exit_status::killed(SIGKILL)); });
  while (!p.alive()) std::this_thread::yield();
  p.kill();
}

TEST_P(SpecProcess, ManyAtOnce) {
  const shared_value<int> sum(0);
  std::vector<process> all;
  for (int i = 0; i < 40; ++i) all.emplace_back(process_options{.start = GetParam()}, fn<add_to>, sum, i);
  for (process& p : all) EXPECT_TRUE(p.join().success());
  EXPECT_EQ(sum.load(), 780);
}

INSTANTIATE_TEST_SUITE_P(Starts, SpecProcess, testing::Values(start_method::fork, start_method::exec),
                         [](const auto& how) {
                           return std::string(how.param == start_method::fork ? "fork" : "exec");
                         });

}  // namespace
}  // namespace tutti
