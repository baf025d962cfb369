// Signals: whoever awaits a number gets it, and when nobody does any more all is as before.
#include <gtest/gtest.h>
#include <tests/support/failure_of.hpp>
#include <tests/support/forks.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/listener.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/serve.hpp>
#include <tutti/io/signals.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti_test::failure_of;

auto handler_of(int number) {
  struct ::sigaction now{};
  EXPECT_EQ(::sigaction(number, nullptr, &now), 0);
  return now.sa_handler;
}

TEST(signals, are_awaited) {
  io::run([]() -> tutti::task<> {
    io::signals s({SIGUSR1, SIGUSR2});
    bool got_one = false;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        EXPECT_EQ(co_await s.next(), SIGUSR2);
        got_one = true;
        EXPECT_EQ(co_await s.next(), SIGUSR1);
      });
      co_await tutti::yield_now();
      ::kill(::getpid(), SIGUSR2);
      while (!got_one) co_await tutti::yield_now();
      ::kill(::getpid(), SIGUSR1);
    });
  }());
}

TEST(signals, that_come_while_nobody_waits_are_kept_once_each) {
  io::run([]() -> tutti::task<> {
    io::signals s({SIGUSR2, SIGUSR1, SIGRTMIN, SIGRTMAX});
    for (const int n : {SIGRTMAX, SIGUSR2, SIGUSR1, SIGUSR2, SIGRTMIN, SIGUSR1}) ::raise(n);
    EXPECT_EQ(co_await s.next(), SIGUSR1);
    EXPECT_EQ(co_await s.next(), SIGUSR2);
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await s.next(), SIGUSR1);
    EXPECT_EQ(co_await s.next(), SIGRTMIN);
    EXPECT_EQ(co_await s.next(), SIGRTMAX);
    const std::string late = co_await failure_of<tutti::timed_out>(s.next(1ms));
    EXPECT_EQ(late.find("signals::next at this process took longer than the limit of "), 0U) << late;
  }());
}

TEST(signals, reach_all_who_await_them) {
  std::latch ready(3);
  const auto wait_for_it = [&]() -> tutti::task<> {
    io::signals first({SIGUSR1}), second({SIGUSR2, SIGUSR1});
    ready.count_down();
    EXPECT_EQ(co_await second.next(), SIGUSR1);
    EXPECT_EQ(co_await first.next(), SIGUSR1);
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { io::run(wait_for_it()); });
  ready.wait();
  ::kill(::getpid(), SIGUSR1);
}

std::atomic<int> own_handler_calls{0};
void own_handler(int) { ++own_handler_calls; }

TEST(signals, do_what_they_did_before_when_nobody_awaits_them) {
  own_handler_calls = 0;
  struct ::sigaction own{}, before{};
  own.sa_handler = own_handler;
  ASSERT_EQ(::sigaction(SIGUSR1, &own, &before), 0);
  io::run([]() -> tutti::task<> {
    auto first = std::make_unique<io::signals>(std::initializer_list<int>{SIGUSR1});
    auto second = std::make_unique<io::signals>(std::initializer_list<int>{SIGUSR1, SIGUSR2});
    ::raise(SIGUSR1);
    EXPECT_EQ(own_handler_calls, 0);
    first.reset();
    ::raise(SIGUSR1);
    EXPECT_EQ(own_handler_calls, 0);
    EXPECT_EQ(co_await second->next(), SIGUSR1);
    second.reset();
    EXPECT_EQ(handler_of(SIGUSR1), own_handler);
    EXPECT_EQ(handler_of(SIGUSR2), SIG_DFL);
    ::raise(SIGUSR1);
    EXPECT_EQ(own_handler_calls, 1);
    // Somebody else's handler, installed meanwhile, stays.
    second = std::make_unique<io::signals>(std::initializer_list<int>{SIGUSR2});
    ::signal(SIGUSR2, own_handler);
    second.reset();
    EXPECT_EQ(handler_of(SIGUSR2), own_handler);
    ::signal(SIGUSR2, SIG_DFL);
  }());
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(signals, end_their_wait_when_stopped_or_destroyed) {
  io::run([]() -> tutti::task<> {
    auto s = std::make_unique<io::signals>(std::initializer_list<int>{SIGUSR1});
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      bool stopped = false;
      group.spawn([&]() -> tutti::task<> {
        const std::string said = co_await failure_of<tutti::cancelled>(s->next());
        stopped = said != "no such error";
      });
      co_await tutti::yield_now();
      const std::string twice = co_await failure_of<std::logic_error>(s->next());
      EXPECT_NE(twice, "no such error");
      group.stop();
      while (!stopped) co_await tutti::yield_now();
    });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        const std::string said = co_await failure_of<tutti::closed>(s->next());
        EXPECT_NE(said, "no such error");
      });
      co_await tutti::yield_now();
      *s = {};
    });
    EXPECT_THROW(static_cast<void>(s->next()), tutti::closed);
  }());
}

TEST(signals, may_end_before_a_wait_for_them_begins) {
  io::run([]() -> tutti::task<> {
    io::signals s({SIGUSR1});
    tutti::task<int> next = s.next();
    s = {};
    EXPECT_NE(co_await failure_of<tutti::closed>(std::move(next)), "no such error");
    // Nor is one told that had come.
    s = io::signals({SIGUSR1});
    ::raise(SIGUSR1);
    next = s.next();
    s = {};
    EXPECT_NE(co_await failure_of<tutti::closed>(std::move(next)), "no such error");
  }());
}

TEST(signals, that_cannot_be_had_are_refused) {
  io::run([]() -> tutti::task<> {
    for (const int n : {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, 32})
      EXPECT_THROW(io::signals({SIGUSR1, n}), std::invalid_argument) << n;
    EXPECT_THROW(io::signals({}), std::invalid_argument);
    EXPECT_EQ(handler_of(SIGUSR1), SIG_DFL) << "also the ones beside them";
    co_return;
  }());
  EXPECT_THROW(io::signals({SIGUSR1}), std::logic_error) << "off a loop";
  EXPECT_EQ(handler_of(SIGUSR1), SIG_DFL);
}

TEST(signals, come_and_go_while_handlers_run) {
  // Keeps the handler there all the time: the others come and go beside it.
  std::atomic<bool> over{false};
  std::latch ready(1), last(1);
  std::jthread keeper([&] {
    io::run([](std::atomic<bool>& end, std::latch& begun, std::latch& was_last) -> tutti::task<> {
      io::signals s({SIGUSR1});
      begun.count_down();
      while (!end) co_await s.next();
      was_last.wait();  // `end` may be seen after an earlier signal, and the last one must find a handler, too
    }(over, ready, last));
  });
  ready.wait();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([] {
      io::run([]() -> tutti::task<> {
        for (int n = 0; n < 300; ++n) {
          io::signals s({SIGUSR1, SIGUSR2});
          ::raise(SIGUSR1);
          EXPECT_EQ(co_await s.next(), SIGUSR1);
        }
      }());
    });
  }
  threads.clear();
  over = true;
  ::raise(SIGUSR1);
  last.count_down();
}

TEST(signals, of_a_forked_child_do_what_they_did_before) {
  io::run([]() -> tutti::task<> {
    io::signals s({SIGUSR1});
    const ::pid_t child = ::fork();
    if (child == 0) {
      ::alarm(30);
      ::raise(SIGUSR1);
      ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) << status;
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await s.next(), SIGUSR1) << "the parent's goes on";
  }());
}

TEST(signals, of_a_forked_child_are_its_own) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  io::run([]() -> tutti::task<> {
    io::signals s({SIGUSR1});
    const int got = tutti_test::in_child([] {
      int number = 0;
      std::thread([&] {
        number = io::run([]() -> tutti::task<int> {
          io::signals own({SIGUSR1, SIGUSR2});
          ::raise(SIGUSR1);
          co_return co_await own.next();
        }());
      }).join();
      return number;
    });
    EXPECT_EQ(got, SIGUSR1);
    const std::string none = co_await failure_of<tutti::timed_out>(s.next(1ms));
    EXPECT_NE(none, "no such error");
  }());
}

TEST(signals, stop_a_server) {
  io::run([]() -> tutti::task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const io::endpoint place = at.local();
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(io::stop_on(io::signals({SIGINT, SIGTERM}), quit));
      group.spawn([&]() -> tutti::task<> {
        io::stream s = co_await io::connect(place);
        co_await s.write("x");
        EXPECT_EQ(co_await s.read_exactly(1), "x");
        ::kill(::getpid(), SIGTERM);
        while (!quit.stop_requested()) co_await tutti::yield_now();
        co_await tutti::yield_now();
        EXPECT_EQ(handler_of(SIGTERM), SIG_DFL) << "a second one ends the program";
        co_await s.write("y");
        EXPECT_EQ(co_await s.read_exactly(1), "y") << "those that there are end by themselves";
      });
      const auto echo = [](io::stream s) -> tutti::task<> {
        std::array<char, 16> room{};
        for (;;) {
          const std::size_t n = co_await s.read_some(room);
          if (n == 0) co_return;
          co_await s.write(std::span(room.data(), n));
        }
      };
      co_await io::serve(std::move(at), echo, {.stop = token});
      group.stop();
    });
  }());
}

TEST(signals, of_nobody_leave_the_server_alone) {
  io::run([]() -> tutti::task<> {
    std::stop_source quit;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(io::stop_on(io::signals({SIGINT, SIGTERM}), quit));
      co_await tutti::yield_now();
      group.stop();  // the server has ended by itself
    });
    EXPECT_FALSE(quit.stop_requested());
    EXPECT_EQ(handler_of(SIGTERM), SIG_DFL);
  }());
}

}  // namespace
