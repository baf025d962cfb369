// Forks, threads and images of the program's own: what calls and programs do beside this module.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_forks {

using namespace std::chrono_literals;

int same(int n) { return n; }
int pid() { return ::getpid(); }
void until_killed() {
  for (;;) ::pause();
}
/// A child that holds all that its worker has. Its number.
int leave_a_child() {
  const ::pid_t id = ::fork();
  if (id == 0) {
    for (;;) ::pause();
  }
  return id;
}
void leave_a_child_and_die(tutti::shared_value<int> child) {
  child.store(leave_a_child());
  ::raise(SIGKILL);
}
int both_return() { return ::fork() == 0 ? 1 : 2; }
int child_exits(int code) {
  std::printf("<once>");
  const ::pid_t id = ::fork();
  if (id == 0) std::exit(code);
  int status = 0;
  ::waitpid(id, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int child_throws() {
  if (::fork() == 0) throw std::runtime_error("in the child");
  return 3;
}
void program_with_forks() {
  tutti::process_pool pool(1);
  for (int i = 0; i < 5; ++i) {
    if (pool.submit<child_exits>(7).get() != 7) std::abort();
  }
}
void end_by(const std::string& way) {
  if (way == "pthread_exit") ::pthread_exit(nullptr);
  if (way == "exec") ::execl("/bin/true", "true", nullptr);
  if (way == "exec_fails") ::execl("/bin/false", "false", nullptr);
  if (way == "terminate") std::terminate();
  if (way == "quick_exit") std::quick_exit(4);
  if (way == "_exit") ::_exit(0);
  if (way == "trap") __builtin_trap();
  if (way == "throw") []() noexcept { std::rethrow_exception(std::make_exception_ptr(1)); }();
  if (way == "exit_in_thread") std::jthread([] { std::exit(5); }).join();
  if (way == "exit_at_exit") {
    std::atexit([] { ::_exit(6); });
    std::exit(0);
  }
  if (way == "pipe") {
    ::signal(SIGPIPE, SIG_DFL);
    ::raise(SIGPIPE);
  }
  if (way == "hup") ::raise(SIGHUP);
}
int end_in_call(const std::string& way) {
  end_by(way);
  return -1;
}
void exec_sleep() { ::execl("/bin/sleep", "sleep", "1000", nullptr); }
void end_main_thread() {
  std::thread([] { until_killed(); }).detach();
  ::pthread_exit(nullptr);
}
void send_and_leave_a_child(tutti::process_writer<int> out, tutti::shared_value<int> child) {
  out.send(1);
  leave_a_child_and_die(child);
}
void receive_and_leave_a_child(tutti::process_reader<int> in, tutti::shared_value<int> child) {
  static_cast<void>(in.receive());
  leave_a_child_and_die(child);
}
void take_and_leave_a_child(tutti::process_semaphore permits, tutti::shared_value<int> child) {
  permits.acquire();
  leave_a_child_and_die(child);
}
void get_and_leave_a_child(tutti::process_queue<int> from, tutti::shared_value<int> child) {
  static_cast<void>(from.receive());
  leave_a_child_and_die(child);
}
void lock_and_leave_a_child(tutti::process_mutex lock, tutti::shared_value<int> child) {
  lock.lock();
  leave_a_child_and_die(child);
}

}  // namespace spec_forks

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_forks;

class SpecForks : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<pid>).join(); }
  static void end(int id) {
    ASSERT_GT(id, 0);
    const unique_fd child = tutti_test::watch(id);
    ::kill(id, SIGKILL);
    EXPECT_TRUE(tutti_test::ends(child));
  }
};

// A child of its own holds the dead worker's descriptors: that it is dead is noticed all the same.
TEST_F(SpecForks, WorkerThatDiesWithAChild) {
  process_pool pool(1);
  for (int i = 0; i < 3; ++i) {
    const shared_value<int> child(0);
    EXPECT_THROW(pool.submit<leave_a_child_and_die>(child).get(), worker_lost);
    EXPECT_EQ(pool.submit<same>(i).get(), i);
    end(child.load());
  }
}

TEST_F(SpecForks, PoolEndsWhileACallsChildLives) {
  int child = 0;
  {
    process_pool pool(1);
    child = pool.submit<leave_a_child>().get();
    EXPECT_EQ(pool.submit<same>(1).get(), 1);
  }
  EXPECT_FALSE(tutti_test::is_gone(child));
  end(child);
}

TEST_F(SpecForks, IdleWorkerIsKilledWhileItsChildLives) {
  process_pool pool(1);
  const int worker = pool.submit<pid>().get(), child = pool.submit<leave_a_child>().get();
  const unique_fd watched = tutti_test::watch(worker);
  ::kill(worker, SIGKILL);
  ASSERT_TRUE(tutti_test::ends(watched));
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  end(child);
}

TEST_F(SpecForks, ChildOfACallThatReturnsEnds) {
  process_pool pool(1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pool.submit<both_return>().get(), 2);
    EXPECT_EQ(pool.submit<child_throws>().get(), 3);
    EXPECT_EQ(pool.submit<child_exits>(9).get(), 9);
    EXPECT_EQ(pool.submit<same>(i).get(), i);
  }
  EXPECT_EQ(pool.stats().lost, 0u);
}

// "When the process of one end is gone, however it ended, the other receives what was sent, and then `closed`."
TEST_F(SpecForks, ReceiverLearnsOfTheDeadWhoseChildLives) {
  const shared_value<int> child(0);
  auto [in, out] = process_channel<int>::simplex();
  process p(fn<send_and_leave_a_child>, std::move(out), child);
  EXPECT_EQ(in.receive(), 1);
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  EXPECT_THROW(static_cast<void>(in.receive_for(1500ms)), closed);
  end(child.load());
  EXPECT_THROW(in.receive(), closed);
}
TEST_F(SpecForks, SenderLearnsOfTheDeadWhoseChildLives) {
  const shared_value<int> child(0);
  auto [in, out] = process_channel<int>::simplex();
  process p(fn<receive_and_leave_a_child>, std::move(in), child);
  out.send(1);
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  auto& to = out;
  EXPECT_THROW(
      {
        while (to.send_for(1500ms, 1)) {
        }
      },
      closed);
  end(child.load());
}
TEST_F(SpecForks, OwnersAreLostThoughTheirChildrenLive) {
  const shared_value<int> child(0);
  const process_mutex lock("forked");
  process(fn<lock_and_leave_a_child>, lock, child).join();
  EXPECT_THROW(static_cast<void>(lock.lock_for(tutti_test::hang)), owner_lost);
  end(child.load());
  const process_semaphore permits(1, "forked");
  process(fn<take_and_leave_a_child>, permits, child).join();
  EXPECT_THROW(static_cast<void>(permits.acquire_for(tutti_test::hang)), owner_lost);
  end(child.load());
  process_queue<int> queue(2);
  queue.send(1);
  process(fn<get_and_leave_a_child>, queue, child).join();
  EXPECT_THROW(static_cast<void>(queue.join_for(tutti_test::hang)), owner_lost);
  end(child.load());
}

class SpecCallEnds : public testing::TestWithParam<const char*> {};
TEST_P(SpecCallEnds, AndIsLostAlone) {
  ::alarm(60);
  process_pool pool(1);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  EXPECT_THROW(pool.submit<end_in_call>(GetParam()).get(), worker_lost);
  EXPECT_EQ(pool.submit<same>(2).get(), 2);
  EXPECT_EQ(pool.stats().lost, 1u);
  ::alarm(0);
}
INSTANTIATE_TEST_SUITE_P(Ways, SpecCallEnds,
                         testing::Values("pthread_exit", "exec", "exec_fails", "terminate", "quick_exit", "_exit",
                                         "trap", "throw", "exit_in_thread", "exit_at_exit", "pipe", "hup"),
                         [](const auto& way) { return std::string(way.param); });

TEST_F(SpecForks, CallsThatGoOnAsAnotherProgram) {
  process_pool pool({.workers = 1, .grace = 0s});
  // It has the worker's process, but is none: lost, or killed when its time is up.
  EXPECT_ANY_THROW(pool.with({.timeout = 50ms}).submit<exec_sleep>().get());
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  EXPECT_ANY_THROW(pool.with({.timeout = 50ms}).submit<end_main_thread>().get());
  EXPECT_EQ(pool.submit<same>(2).get(), 2);
}

// The system's death signal goes by threads: that of the thread which has made a pool is nobody's business.
TEST_F(SpecForks, MadeByAThreadThatHasEnded) {
  std::unique_ptr<process_pool> pool;
  process p;
  std::jthread([&] {
    pool = std::make_unique<process_pool>(2);
    EXPECT_EQ(pool->submit<same>(1).get(), 1);
    p = process(fn<until_killed>);
  }).join();
  const int worker = pool->submit<pid>().get();
  std::jthread([&] { EXPECT_EQ(pool->submit<same>(2).get(), 2); }).join();
  EXPECT_EQ(pool->submit<pid>().get() == worker || pool->stats().lost == 0, true);
  EXPECT_EQ(pool->stats().lost, 0u);
  EXPECT_TRUE(p.alive());
  p.kill();
}

// Children of the program: they end, in any way, and its pools and processes do not notice.
TEST_F(SpecForks, ChildOfTheProgramEnds) {
  const auto pool = std::make_unique<process_pool>(1);
  const int worker = pool->submit<pid>().get();
  process p(fn<until_killed>);
  const process_queue<int> queue(2);
  auto [in, out] = process_channel<int>::simplex();
  for (int way = 0; way < 2; ++way) {
    std::fflush(nullptr);
    const ::pid_t child = ::fork();
    if (child == 0) {
      if (way == 0) ::_exit(0);
      ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(pool->submit<pid>().get(), worker);
    EXPECT_TRUE(p.alive());
    out.send(5);
    EXPECT_EQ(in.receive(), 5);
    EXPECT_FALSE(queue.is_closed());
  }
  p.kill();
}

TEST_F(SpecForks, OutputOfForkingCallsIsNotDoubled) {
  process p({.out = stdio::pipe()}, fn<program_with_forks>);
  const process_output said = p.communicate();
  EXPECT_TRUE(said.status.success());
  // The child of a call that calls exit() flushes what it was born with: that much is everybody's rule.
  EXPECT_LE(said.out.size(), 10 * std::string("<once>").size());
  EXPECT_GE(said.out.size(), 5 * std::string("<once>").size());
}

// The program has children of its own, forked and executed, when it is killed: they live, its workers do not.
TEST(SpecForksProgram, DISABLED_HasChildren) {
  process_pool pool(2);
  process p(fn<until_killed>);
  const int worker = pool.submit<pid>().get();
  const ::pid_t forked = leave_a_child(), executed = ::fork();
  if (executed == 0) {
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(127);
  }
  std::printf("%d %d %d %d\n", worker, p.pid(), forked, executed);
  std::fflush(stdout);
  until_killed();
}
TEST(SpecForksProgram, DISABLED_KillsWhoHasChildren) {
  tutti_test::kept_program program("SpecForksProgram.DISABLED_HasChildren");
  std::vector<int> ids(1, 0);
  for (char c = 0; (c = program.hear()) != '\n';) {
    ASSERT_NE(c, '\0');
    if (c == ' ') {
      ids.push_back(0);
    } else {
      ids.back() = ids.back() * 10 + (c - '0');
    }
  }
  ASSERT_EQ(ids.size(), 4u);
  const unique_fd worker = tutti_test::watch(ids[0]), started = tutti_test::watch(ids[1]);
  ::kill(program.pid(), SIGKILL);
  EXPECT_TRUE(tutti_test::ends(worker));
  EXPECT_TRUE(tutti_test::ends(started));
  for (int own : {ids[2], ids[3]}) {
    EXPECT_FALSE(tutti_test::is_gone(own));
    ::kill(own, SIGKILL);
  }
  program.end_of_all();
}
TEST_F(SpecForks, ProgramIsKilledWhileItsChildrenLive) {
  process keeper = process::exec(tutti_test::program_of("SpecForksProgram.DISABLED_KillsWhoHasChildren"),
                                 {.tree = true, .out = stdio::pipe(), .err = stdio::output()});
  const process_output said = keeper.communicate();
  EXPECT_TRUE(said.status.success()) << to_string(said.status) << '\n' << said.out;
}

}  // namespace
}  // namespace tutti
