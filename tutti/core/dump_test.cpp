// What dump() tells about pools, tasks and waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tests/support/forks.hpp>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/dump.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using testing::HasSubstr;
using testing::Not;
using tutti_test::count_waiting;
using tutti_test::until;
using tutti_test::watchdog;

std::string dumped() {
  std::ostringstream out;
  tutti::dump(out);
  return out.str();
}
void until_dumped(const std::string& part) {
  while (dumped().find(part) == std::string::npos) std::this_thread::yield();
}

TEST(Dump, PoolsWhileTheyLive) {
  const watchdog dog;
  {
    const tutti::thread_pool pool({.threads = 3, .name = "dump-pool"});
    EXPECT_THAT(dumped(), HasSubstr("pool \"dump-pool\": 3 threads, 0 queued"));
    until_dumped("worker 0: idle");
  }
  EXPECT_THAT(dumped(), Not(HasSubstr("dump-pool")));
}

TEST(Dump, WhatRunsAndWhatIsQueued) {
  const watchdog dog;
  std::atomic<bool> open{false};
  tutti::thread_pool pool({.threads = 1, .name = "dump-busy"});
  auto busy = pool.with({.name = "digging"}).submit([&] {
    while (!open) std::this_thread::yield();
  });
  until_dumped("runs digging");
  auto other = pool.submit([] {}), third = pool.submit([] {});
  EXPECT_THAT(dumped(), HasSubstr("pool \"dump-busy\": 1 threads, 2 queued; submitted 3, run 1,"));
  open = true;
  third.get();
  EXPECT_THAT(dumped(), Not(HasSubstr("digging")));
}

TEST(Dump, WhoWaitsForWhatAndWhere) {
  const watchdog dog;
  tutti::thread_pool pool({.threads = 1, .name = "dump-wait"});
  tutti::promise<int> promise;
  auto shared = promise.get_future().share();
  auto task = pool.with({.name = "the waiter"}).submit([shared] { return shared.get(); });
  std::jthread outside([shared] { EXPECT_EQ(shared.get(), 3); });
  const auto waits = [] {
    return count_waiting(
        [](const auto& one) { return std::string(one.where.file).find("dump_test") != std::string::npos; });
  };
  until([&] { return waits() == 2; });
  const std::string text = dumped();
  EXPECT_THAT(text, HasSubstr("in task the waiter waits in future::wait at "));
  EXPECT_THAT(text, HasSubstr("dump_test.cpp:"));
  EXPECT_THAT(text, HasSubstr("(dump-wait/0)"));
  promise.set_value(3);
  EXPECT_EQ(task.get(), 3);
  outside.join();
  EXPECT_EQ(waits(), 0);
}

TEST(Dump, LeavesTheStreamAsItWas) {
  std::ostringstream out;
  out << std::setprecision(9);
  tutti::dump(out);
  EXPECT_EQ(out.precision(), 9);
}

TEST(Dump, AtAnyTimeFromAnyThread) {
  const watchdog dog;
  std::atomic<bool> over{false};
  std::jthread looking([&] {
    while (!over) dumped();
  });
  for (int round = 0; round < 30; ++round) {
    tutti::thread_pool pool(2);
    std::vector<tutti::future<int>> futures;
    for (int i = 0; i < 50; ++i) {
      futures.push_back(
          pool.with({.name = "short"}).submit([&pool, i] { return pool.submit([i] { return i; }).get(); }));
    }
    for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
  }
  over = true;
}

// Standard error goes here while it lives.
class caught_errors {
 public:
  caught_errors() {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    read_.reset(ends[0]);
    before_.reset(::dup(STDERR_FILENO));
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
  }
  ~caught_errors() { ::dup2(before_.get(), STDERR_FILENO); }
  caught_errors(const caught_errors&) = delete;
  caught_errors& operator=(const caught_errors&) = delete;

  // Blocks until `part` has been written.
  std::string until(const std::string& part) {
    std::string text;
    while (text.find(part) == std::string::npos) {
      char buffer[4096];
      const ssize_t size = ::read(read_.get(), buffer, sizeof buffer);
      if (size <= 0) std::abort();
      text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
  }

 private:
  tutti::unique_fd read_, before_;
};

std::string header() { return "tutti: dump of process " + std::to_string(::getpid()) + ":\n"; }

TEST(DumpOnSignal, WhileTheProgramHangs) {
  const watchdog dog;
  tutti::thread_pool pool({.threads = 1, .name = "dump-hang"});
  tutti::promise<void> never;
  auto waits = pool.with({.name = "stuck"}).submit([gate = never.get_future().share()] { gate.get(); });
  until([] { return tutti_test::task_waits("stuck"); });
  tutti::dump_on_signal();
  tutti::dump_on_signal();  // harmless
  tutti::dump_on_signal(SIGUSR2);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGUSR1}) {
    caught_errors errors;
    errno = 1234;
    EXPECT_EQ(::kill(::getpid(), signal), 0);
    EXPECT_EQ(errno, 1234);
    const std::string text = errors.until("in task stuck waits in future::wait");
    EXPECT_THAT(text, HasSubstr(header()));
    EXPECT_THAT(text, HasSubstr("pool \"dump-hang\": 1 threads"));
  }
  never.set_value();
  waits.get();
}

TEST(DumpOnSignal, AChildGoesOnAndMayAskForItsOwn) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const watchdog dog;
  tutti::dump_on_signal();
  EXPECT_EQ(tutti_test::in_child([] {
              ::raise(SIGUSR1);  // nobody there to answer: nothing happens
              caught_errors errors;
              tutti::dump_on_signal();
              ::raise(SIGUSR1);
              errors.until(header());
              return 0;
            }),
            0);
  caught_errors errors;
  ::raise(SIGUSR1);
  EXPECT_EQ(errors.until("dump of process").find(header()), 0U) << "the child's did not ring here";
}

TEST(DumpOnSignal, SignalsThatCannotBeAnswered) {
  for (const auto& [signal, text] :
       {std::pair(SIGKILL, "signal 9 (Killed)"), std::pair(SIGSEGV, "signal 11 (Segmentation fault)"),
        std::pair(0, "signal 0 (unknown)"), std::pair(1000, "signal 1000 (unknown)")}) {
    try {
      tutti::dump_on_signal(signal);
      ADD_FAILURE() << signal;
    } catch (const std::invalid_argument& e) {
      EXPECT_EQ(std::string(e.what()), std::string("dump_on_signal: ") + text + " cannot be answered; take SIGUSR1");
    }
  }
}

}  // namespace
