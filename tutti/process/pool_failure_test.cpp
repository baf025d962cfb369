// What a worker's death, or a call that does not end, costs: its own call, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process_channel.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_array.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/this_task.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <new>
#include <string>
#include <tests/support/processes.hpp>
#include <thread>
#include <vector>

namespace pool_failure_test {

enum class end : int { sigkill, abort, segfault, exit0, exit3, quick_exit };

int add(int a, int b) { return a + b; }
int die(end how) {
  switch (how) {
    case end::sigkill: ::raise(SIGKILL); break;
    case end::abort:
      ::signal(SIGABRT, SIG_DFL);  // sanitizers have handlers
      std::abort();
    case end::segfault:
      ::signal(SIGSEGV, SIG_DFL);
      ::raise(SIGSEGV);
      break;
    case end::exit0: std::exit(0);
    case end::exit3: std::exit(3);
    case end::quick_exit: std::_Exit(4);
  }
  return 0;
}
void die_quietly(end how) { die(how); }
void refuse() { throw std::invalid_argument("no licence"); }
int die_once(const std::string& path, int result) {
  if (::access(path.c_str(), F_OK) == 0) return result;
  std::ofstream(path) << "x";
  return die(end::sigkill);
}
int pid() { return ::getpid(); }
int parent() { return ::getppid(); }
void wait_for_ever() {
  for (;;) ::pause();
}
void stop_itself() { ::raise(SIGSTOP); }
bool wait_for_file(const std::string& path) {
  while (::access(path.c_str(), F_OK) != 0) std::this_thread::yield();
  return true;
}
std::size_t allocate(std::size_t bytes) {
  std::vector<char> memory(bytes, 'x');
  return memory.size();
}
void close_everything() {
  for (int fd = 3; fd < 1000; ++fd) ::close(fd);
}
void reuse_descriptors() {
  close_everything();
  for (int i = 0; i < 50; ++i) static_cast<void>(::open("/dev/null", O_RDWR));
}
std::string long_text(std::size_t bytes) { return std::string(bytes, 'y'); }
std::size_t length(const std::string& text) { return text.size(); }
int first_of(tutti::shared_array<int> array) { return array[0]; }
int next_of(tutti::process_channel<int> link) { return link.receive() + 1; }
void handle_signals() {
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGUSR1}) ::signal(signal, SIG_IGN);
}
void go_elsewhere() {
  if (::chdir("/") != 0) throw std::runtime_error("chdir");
}
void say(const std::string& text) { std::cout << text; }
struct unsendable {
  int value = 0;
  template <class Archive>
  void save(Archive&) const {
    throw std::logic_error("this cannot be encoded");
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(value);
  }
};
unsendable give_unsendable() { return {}; }
int take_unsendable(const unsendable& u) { return u.value; }
struct strange {
  int code = 7;
};
class parse_failure : public std::exception {
 public:
  parse_failure(int line, std::string text) : line_(line), text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  int line() const { return line_; }

 private:
  int line_;
  std::string text_;
};
void throw_strange() { throw strange(); }
void throw_int() { throw 42; }
void throw_parse_failure() { throw parse_failure(3, "line 3: no equals sign"); }
// A program with a pool, which is killed.
void hold_a_pool() {
  tutti::process_pool pool(2);
  for (const int p : {pool.submit<pid>().get(), pool.submit<parent>().get()}) std::printf("%d\n", p);
  std::fflush(stdout);
  pool.submit<wait_for_ever>().get();
}

}  // namespace pool_failure_test

namespace tutti {
namespace {

using namespace std::chrono_literals;
namespace fs = pool_failure_test;
using fs::end;
using testing::HasSubstr;
using tutti_test::fresh_path;
using tutti_test::until_gone;

struct way {
  end how;
  std::optional<int> code, signal;
};
const way ways[] = {{end::sigkill, {}, SIGKILL}, {end::abort, {}, SIGABRT}, {end::segfault, {}, SIGSEGV},
                    {end::exit0, 0, {}},         {end::exit3, 3, {}},       {end::quick_exit, 4, {}}};

class PoolFailure : public testing::TestWithParam<way> {};
std::string name_of(const testing::TestParamInfo<way>& of) {
  const char* const names[] = {"sigkill", "abort", "segfault", "exit0", "exit3", "quick_exit"};
  return names[static_cast<int>(of.param.how)];
}
INSTANTIATE_TEST_SUITE_P(Ways, PoolFailure, testing::ValuesIn(ways), name_of);

TEST_P(PoolFailure, InACallCostsThatCall) {
  process_pool pool({.workers = 2, .name = "mill"});
  std::vector<future<int>> others;
  for (int i = 0; i < 200; ++i) others.push_back(pool.submit<fs::add>(i, i));
  auto victim = pool.submit<fs::die>(GetParam().how);
  for (int i = 200; i < 400; ++i) others.push_back(pool.submit<fs::add>(i, i));
  try {
    victim.get();
    FAIL() << "it has a result";
  } catch (const worker_lost& e) {
    EXPECT_EQ(e.exit_code(), GetParam().code);
    EXPECT_EQ(e.signal(), GetParam().signal);
    EXPECT_THAT(e.what(),
                testing::MatchesRegex("worker [0-9]+ \\(pid [0-9]+\\) of process_pool \"mill\" .* while it ran "
                                      "task \"pool_failure_test::die\""));
  }
  for (int i = 0; i < 400; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].get(), 2 * i);
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
  EXPECT_EQ(pool.stats().lost, 1u);
}

TEST_P(PoolFailure, InTheInitializerIsSaidToWhoWaits) {
  process_pool pool({.workers = 2}, fn<fs::die_quietly>, GetParam().how);
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      static_cast<void>(pool.submit<fs::add>(1, 1).get());
      FAIL() << "it has a result";
    } catch (const worker_lost& e) {
      EXPECT_EQ(e.exit_code(), GetParam().code);
      EXPECT_EQ(e.signal(), GetParam().signal);
      EXPECT_THAT(e.what(), HasSubstr("in its initializer"));
    }
  }
}

TEST(PoolFailureOfInitializer, ItsExceptionArrives) {
  process_pool pool({.workers = 1}, fn<fs::refuse>);
  EXPECT_THROW(static_cast<void>(pool.submit<fs::add>(1, 1).get()), std::invalid_argument);
}

TEST(PoolFailureIdle, WorkersThatDieAreReplaced) {
  process_pool pool(2);
  for (int i = 0; i < 10; ++i) {
    const int pid = pool.submit<fs::pid>().get();
    ::kill(pid, SIGKILL);  // that one may have answered before it was said to run
    for (const int p : pool.pids()) ::kill(p, SIGTERM);
    until_gone(pid);
    // It may be given to a worker that is dying; then it is another one's.
    EXPECT_EQ(pool.with({.retries = 10}).submit<fs::add>(i, 1).get(), i + 1);
  }
}

TEST(PoolFailureRetry, AnotherWorkerTriesAgain) {
  process_pool pool(2);
  const fresh_path marker;
  EXPECT_EQ(pool.with({.retries = 1}).submit<fs::die_once>(marker.path(), 5).get(), 5);
  EXPECT_THROW(pool.with({.retries = 2}).submit<fs::die>(end::sigkill).get(), worker_lost);
  EXPECT_EQ(pool.stats().retried, 3u);
  EXPECT_EQ(pool.stats().lost, 4u);
}

TEST(PoolFailureRetry, AtRandomNothingIsLostOrDoubled) {
  process_pool pool(3);
  std::vector<future<int>> all;
  for (int i = 0; i < 2000; ++i) all.push_back(pool.with({.retries = 1000}).submit<fs::add>(i, i));
  std::jthread killer([&pool](const std::stop_token& stop) {
    for (int n = 0; n < 20 && !stop.stop_requested(); ++n) {
      for (const int p : pool.pids()) {
        ::kill(p, SIGKILL);
        break;
      }
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(all[static_cast<std::size_t>(i)].get(), 2 * i);
}

TEST(PoolFailureTimeout, AStoppedOrHangingWorkerIsKilled) {
  process_pool pool({.workers = 1, .grace = 0ns});
  EXPECT_THROW(pool.with({.timeout = 1ms}).submit<fs::stop_itself>().get(), timed_out);
  EXPECT_THROW(pool.with({.timeout = 1ms}).submit<fs::wait_for_ever>().get(), timed_out);
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
  EXPECT_EQ(pool.stats().lost, 2u);
}

TEST(PoolFailureMemory, BeyondTheLimitIsBadAlloc) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool pool({.workers = 1, .memory_limit = 200 << 20});
  const int before = pool.submit<fs::pid>().get();
  EXPECT_THROW(pool.submit<fs::allocate>(std::size_t{300} << 20).get(), std::bad_alloc);
  EXPECT_EQ(pool.submit<fs::allocate>(std::size_t{100} << 20).get(), std::size_t{100} << 20);
  EXPECT_EQ(pool.submit<fs::pid>().get(), before);
}

TEST(PoolFailureParent, ItsDeathLeavesNothing) {
  process program({.out = stdio::pipe()}, fn<fs::hold_a_pool>);
  int pids[2];
  for (int& pid : pids) {
    std::string line;
    for (char c = 0; ::read(program.out().get(), &c, 1) == 1 && c != '\n';) line += c;
    pid = std::stoi(line);
  }
  program.kill();
  program.join();
  for (const int pid : pids) until_gone(pid);  // a worker, and the launcher
}

TEST(PoolFailureResult, TooLargeForMemoryIsAnError) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool pool(1);
  const int before = pool.submit<fs::pid>().get();
  EXPECT_ANY_THROW(pool.submit<fs::long_text>(std::size_t{1} << 60).get());
  EXPECT_EQ(pool.submit<fs::pid>().get(), before);
}

TEST(PoolFailureResult, ThatCannotBeEncodedIsAnError) {
  process_pool pool(1);
  EXPECT_THROW(pool.submit<fs::give_unsendable>().get(), std::logic_error);
  EXPECT_THROW(static_cast<void>(pool.submit<fs::take_unsendable>(fs::unsendable())), std::logic_error);  // at once
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
}

TEST(PoolFailureResult, ExceptionsOfUnknownTypeTellTypeAndText) {
  process_pool pool(1);
  try {
    pool.submit<fs::throw_parse_failure>().get();
    FAIL();
  } catch (const remote_error& e) {
    EXPECT_EQ(e.type(), "pool_failure_test::parse_failure");
    EXPECT_STREQ(e.what(), "line 3: no equals sign");
    EXPECT_THAT(e.stack(), HasSubstr("#0 pool_failure_test::throw_parse_failure()"));
  }
  try {
    pool.submit<fs::throw_strange>().get();
    FAIL();
  } catch (const remote_error& e) {
    EXPECT_EQ(e.type(), "pool_failure_test::strange");
  }
  EXPECT_THROW(pool.submit<fs::throw_int>().get(), remote_error);
}

TEST(PoolFailureManners, ATaskMayCloseAllDescriptors) {
  process_pool pool(1);
  for (const bool reuse : {false, true}) {
    const int before = pool.submit<fs::pid>().get();
    reuse ? pool.submit<fs::reuse_descriptors>().get() : pool.submit<fs::close_everything>().get();
    EXPECT_EQ(pool.submit<fs::first_of>(shared_array<int>::copy_of(std::vector{3, 4})).get(), 3);
    EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
    EXPECT_EQ(pool.submit<fs::long_text>(100'000).get(), std::string(100'000, 'y'));
    EXPECT_EQ(pool.submit<fs::length>(std::string(100'000, 'x')).get(), 100'000u);
    EXPECT_NE(pool.submit<fs::pid>().get(), before);  // it was replaced
  }
}

// Its worker stands still when this returns: it takes nothing more.
int stop_worker(process_pool& pool) {
  const int worker = pool.submit<fs::pid>().get();
  ::kill(worker, SIGSTOP);
  while (tutti_test::state_of(worker) != 'T') std::this_thread::yield();
  return worker;
}

// What a worker has not begun with is done by the next one: shared objects that were sent to it come back.
TEST(PoolFailureManners, SharedObjectsAreNotLostWithAWorkerThatHasNotTakenThem) {
  process_pool pool(1);
  const int worker = stop_worker(pool);
  auto [here, there] = process_channel<int>::pair();
  auto next = pool.submit<fs::next_of>(std::move(there));
  auto three = pool.submit<fs::first_of>(shared_array<int>::copy_of(std::vector{3, 4}));
  ::kill(worker, SIGKILL);
  here.send(6);
  EXPECT_EQ(next.get(), 7);
  EXPECT_EQ(three.get(), 3);
  EXPECT_THROW(here.receive(), closed);  // nobody holds the other end any more
  EXPECT_EQ(pool.stats().lost, 1u);
}

TEST(PoolFailureManners, WhatIsCancelledBeforeItsWorkerDiesIsNotBegunByTheNext) {
  process_pool pool(1);
  const int worker = stop_worker(pool);
  auto [here, there] = process_channel<int>::pair();
  auto next = pool.submit<fs::next_of>(std::move(there));
  next.cancel();
  ::kill(worker, SIGKILL);
  EXPECT_THROW(next.get(), cancelled);
  EXPECT_THROW(here.receive(), closed);
}

TEST(PoolFailureManners, ATaskMayChangeDirectoryAndSignals) {
  process_pool pool({.workers = 1, .grace = 0ns});
  pool.submit<fs::go_elsewhere>().get();
  pool.submit<fs::handle_signals>().get();
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
  EXPECT_THROW(pool.with({.timeout = 1ms}).submit<fs::wait_for_ever>().get(), timed_out);
  EXPECT_EQ(pool.submit<fs::add>(1, 1).get(), 2);
}

}  // namespace
}  // namespace tutti
