// What loop.hpp and signals.hpp promise: calls in order, from any thread, time, stops, signals.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <optional>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/io_spec.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;

class SpecLoop : public io_spec {};
class SpecSignals : public io_spec {};

TEST_F(SpecLoop, ResultsAndExceptionsComeThrough) {
  EXPECT_EQ(io::run(give(7)), 7);
  EXPECT_THROW(io::run(fail("so it is")), std::runtime_error);
  EXPECT_EQ(io::run(give(std::string("text"))), "text");
}

TEST_F(SpecLoop, LoopsOnManyThreadsAndNoneInsideAnother) {
  std::vector<std::jthread> threads;
  std::atomic<int> sum{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k)
        on_a_loop([&]() -> task<> {
          auto pair = io::stream_pair();
          co_await pair.first.write("x");
          EXPECT_EQ(co_await pair.second.read_exactly(1), "x");
          EXPECT_THROW(io::run(give(1)), std::logic_error);  // it would block this one
          sum += co_await give(1);
        });
    });
  threads.clear();
  EXPECT_EQ(sum, 160);
}

TEST_F(SpecLoop, CallsComeInOrderFromAnyThread) {
  io::loop loop;
  std::vector<int> got;
  std::atomic<int> posted{0};
  {
    std::jthread other([&] {
      for (int i = 0; i < 1000; ++i) loop.post([&got, i] { got.push_back(i); });
      posted = 1;
      loop.post([&] { loop.shutdown(); });
    });
    loop.run();
  }
  EXPECT_EQ(got.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
}

TEST_F(SpecLoop, OtherThreadWakesASleepingLoop) {
  io::loop loop;
  const auto work = [&]() -> task<int> {
    auto pair = io::stream_pair();
    tutti::thread_pool pool(1);
    int sum = 0;
    for (int i = 0; i < 200; ++i) {
      auto next = pool.submit([i] { return i; });
      sum += co_await std::move(next);
    }
    co_return sum;
  };
  EXPECT_EQ(loop.run(work()), 19900);
}

TEST_F(SpecLoop, StopAwaitsAllEndsAndRunReturns) {
  for (const bool from_outside : {false, true}) {
    io::loop loop;
    std::vector<std::string> ends(4);
    std::vector<tutti::future<void>> done;
    const auto read = [&]() -> task<> {
      co_await note(ends[0], [&]() -> task<> {
        auto pair = io::stream_pair();
        static_cast<void>(co_await pair.first.read_line());
      });
    };
    const auto sleep = [&]() -> task<> { co_await note(ends[1], [&] { return sleep_for_ever(); }); };
    const auto accept = [&]() -> task<> {
      co_await note(ends[2], [&]() -> task<> {
        io::listener at = io::listen("127.0.0.1:0");
        static_cast<void>(co_await at.accept());
      });
    };
    const auto serve = [&]() -> task<> {
      co_await note(ends[3],
                    [&] { return io::serve(io::listen("127.0.0.1:0"), [](io::stream) { return nothing(); }); });
    };
    done.push_back(loop.submit(read()));
    done.push_back(loop.submit(sleep()));
    done.push_back(loop.submit(accept()));
    done.push_back(loop.submit(serve()));
    std::jthread other;
    loop.post([&] {
      if (from_outside) {
        other = std::jthread([&] { loop.stop(); });
      } else {
        loop.post([&] { loop.stop(); });
      }
    });
    loop.run();
    for (const std::string& end : ends) EXPECT_TRUE(end == "cancelled" || (from_outside && end.empty())) << end;
  }
}

TEST_F(SpecLoop, TimersAreCalledByTuttisClockAndNotAfterTheEnd) {
  tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  std::vector<int> got;
  {
    io::loop loop;
    const auto begin = io::loop::time();
    tutti::timer late = loop.call_later(3h, [&] { got.push_back(3); });
    tutti::timer early = loop.call_later(1h, [&] { got.push_back(1); });
    tutti::timer at = loop.call_at(begin + 2h, [&] { got.push_back(2); });
    tutti::timer past = loop.call_at(begin - 1h, [&] { got.push_back(0); });
    tutti::timer never = loop.call_later(100h, [&] { got.push_back(100); });
    const auto wait = [&]() -> task<> { co_await tutti::sleep_for(4h); };
    loop.run(wait());
    EXPECT_EQ(got, (std::vector<int>{0, 1, 2, 3}));
    EXPECT_GE(io::loop::time() - begin, 4h);
  }
  clock.advance(1000h);
  EXPECT_EQ(got.size(), 4U);
}

TEST_F(SpecLoop, VirtualTimeDoesNotOvertakeBytesOnTheirWay) {
  tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  on_a_loop([]() -> task<> {
    auto pair = co_await tcp_pair();
    const auto begin = tutti::now();
    for (int i = 0; i < 200; ++i) {
      co_await pair.first.write("ping", 1h);
      EXPECT_EQ(co_await pair.second.read_exactly(4, 1h), "ping");
    }
    EXPECT_EQ(tutti::now() - begin, 0ns);
  });
}

TEST_F(SpecLoop, OneLimitIsForAllOfAWait) {
  tutti::virtual_clock clock;
  on_a_loop([&]() -> task<> {
    auto pair = io::stream_pair();
    int sent = 0;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {  // a byte from time to time: each in time, the line is not
        for (; sent < 1000; ++sent) {
          co_await pair.second.write("x");
          co_await some_turns();
          clock.advance(1s);
          co_await some_turns();
        }
        co_await pair.second.write("\n");
      });
      EXPECT_EQ(co_await how([&] { return pair.first.read_line(10000, 10s); }), "timed_out");
      group.stop();
    });
    EXPECT_LE(sent, 20);
  });
}

TEST_F(SpecSignals, AreGivenOnceEachTheSmallestFirst) {
  on_a_loop([]() -> task<> {
    io::signals some({SIGUSR2, SIGUSR1, SIGHUP});
    for (const int number : {SIGUSR2, SIGUSR1, SIGUSR1, SIGHUP, SIGUSR2}) EXPECT_EQ(::kill(::getpid(), number), 0);
    EXPECT_EQ(co_await some.next(20s), SIGHUP);
    EXPECT_EQ(co_await some.next(20s), SIGUSR1);
    EXPECT_EQ(co_await some.next(20s), SIGUSR2);
    EXPECT_EQ(co_await how([&] { return some.next(1ms); }), "timed_out");
    EXPECT_EQ(::kill(::getpid(), SIGUSR1), 0);
    EXPECT_EQ(co_await some.next(20s), SIGUSR1);
  });
}

TEST_F(SpecSignals, AllObjectsGetThemAndTheLastGivesBack) {
  child c([] {
    return io::run([]() -> task<int> {
      std::optional<io::signals> one(std::in_place, std::initializer_list<int>{SIGTERM});
      io::signals two({SIGTERM, SIGINT});
      ::kill(::getpid(), SIGTERM);
      if (co_await one->next(20s) != SIGTERM) co_return 1;
      if (co_await two.next(20s) != SIGTERM) co_return 2;
      one.reset();
      ::kill(::getpid(), SIGTERM);
      if (co_await two.next(20s) != SIGTERM) co_return 3;
      two = io::signals();
      ::kill(::getpid(), SIGTERM);
      co_return 4;
    }());
  });
  EXPECT_EQ(c.join(), 1000 + SIGTERM);
}

TEST_F(SpecSignals, WaitsCanBeEnded) {
  expect_it_can_be_ended("next", []() -> task<> {
    io::signals some({SIGUSR1});
    static_cast<void>(co_await some.next());
  });
  expect_it_can_be_ended("stop_on", []() -> task<> {
    io::signals some({SIGUSR1});
    co_await io::stop_on(std::move(some), std::stop_source());
  });
  on_a_loop([]() -> task<> {
    std::optional<io::signals> some(std::in_place, std::initializer_list<int>{SIGUSR1});
    std::string end;
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(note(end, [&]() -> task<> { static_cast<void>(co_await some->next()); }));
      co_await some_turns();
      EXPECT_EQ(co_await how([&] { return some->next(); }), "logic_error");
      some.reset();
    });
    EXPECT_EQ(end, "closed");
    io::signals none;
    EXPECT_EQ(co_await how([&] { return none.next(); }), "closed");
    for (const int bad : {SIGKILL, SIGSTOP, SIGSEGV, SIGFPE, 0, -1, 65, 1000})
      EXPECT_THROW(io::signals({bad}), std::invalid_argument) << bad;
  });
}

TEST_F(SpecSignals, StopOnEndsAServer) {
  on_a_loop([]() -> task<> {
    std::stop_source quit;
    const std::stop_token asked = quit.get_token();
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(io::stop_on(io::signals({SIGUSR1}), quit));
      group.spawn([]() -> task<> {
        co_await some_turns();
        ::kill(::getpid(), SIGUSR1);
      });
      const auto handler = [](io::stream) { return nothing(); };
      co_await io::serve(io::listen("127.0.0.1:0"), handler, {.drain = 24h, .stop = asked});
      group.stop();
    });
    EXPECT_TRUE(quit.stop_requested());
  });
}

}  // namespace
