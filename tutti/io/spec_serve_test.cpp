// What serve.hpp promises: every connection a handler, every end in order, also with no descriptors left and in a
// storm.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <tests/support/child.hpp>
#include <tests/support/few_descriptors.hpp>
#include <tests/support/io_spec.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <thread>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;

class SpecServe : public io_spec {};

task<> echo(io::stream peer) {
  std::array<char, 4096> room;
  for (;;) {
    const std::size_t n = co_await peer.read_some(room);
    if (n == 0) co_return;
    co_await peer.write(std::span(room).first(n));
  }
}

/// Serves with `handler` while `body(place, quit)` runs; then asks to stop. Gives how serve ended.
template <class Handler, class Body>
task<std::string> served(Handler handler, io::serve_options options, Body body) {
  std::stop_source quit;
  const std::stop_token asked = quit.get_token();
  options.stop = asked;
  io::listener at = io::listen("127.0.0.1:0");
  const io::endpoint place = at.local();
  std::string end;
  co_await task_group::run([&](task_group& group) -> task<> {
    group.spawn(note(end, [&] { return io::serve(std::move(at), std::move(handler), options); }));
    std::exception_ptr failed;
    try {
      co_await body(place, quit);
    } catch (...) {
      failed = std::current_exception();
    }
    quit.request_stop();
    if (failed != nullptr) std::rethrow_exception(failed);
  });
  co_return end;
}

task<> until(const std::function<bool()>& so) {
  while (!so()) co_await tutti::yield_now();
}

TEST_F(SpecServe, WhoFinishesFinishesAndTheRestIsStoppedAfterDrain) {
  int finished = 0, stopped = 0, begun = 0;
  const auto handler = [&](io::stream s) -> task<> {
    ++begun;
    const std::string end = co_await how([&] { return s.read_line(); });
    ++(end == "cancelled" ? stopped : finished);
    if (end == "value") co_await s.write("bye\n");
  };
  const std::string end = on_a_loop([&]() -> task<std::string> {
    std::vector<io::stream> clients;
    std::string early, result;
    result = co_await served(handler, {.drain = 200ms}, [&](io::endpoint at, std::stop_source quit) -> task<> {
      for (int i = 0; i < 10; ++i) clients.push_back(co_await io::connect(at));
      co_await until([&] { return begun == 10; });
      quit.request_stop();
      while (co_await how([&] { return io::connect(at); }) == "value") co_await tutti::yield_now();
      for (std::size_t i = 0; i < 4; ++i) {  // these are in time
        co_await clients[i].write("that is all\n");
        EXPECT_EQ(co_await clients[i].read_line(), "bye");
        EXPECT_EQ(co_await clients[i].read_line(), std::nullopt);
      }
      EXPECT_EQ(stopped, 0);
    });
    for (std::size_t i = 4; i < 10; ++i) EXPECT_EQ(co_await all_of(clients[i]), "");
    co_return result;
  });
  EXPECT_EQ(end, "value");
  EXPECT_GE(finished, 4);  // and who came between the request to stop and its effect
  EXPECT_EQ(stopped, 6);
}

TEST_F(SpecServe, ReturnsAtOnceWhenNobodyIsThereOrAllHaveFinished) {
  on_a_loop([]() -> task<> {
    const std::string end = co_await served(echo, {.drain = 24h}, [](io::endpoint at, std::stop_source) -> task<> {
      io::stream s = co_await io::connect(at);
      co_await s.write("x");
      EXPECT_EQ(co_await s.read_exactly(1), "x");
      co_await s.shutdown_write();
      EXPECT_EQ(co_await s.read_all(1), "");
    });
    EXPECT_EQ(end, "value");
  });
}

TEST_F(SpecServe, ZeroDrainStopsAtOnceAndNegativeIsNoTrap) {
  for (const auto drain : {0ns, std::chrono::nanoseconds(-1s)}) {
    on_a_loop([&]() -> task<> {
      int stopped = 0, begun = 0;
      const auto handler = [&](io::stream s) -> task<> {
        ++begun;
        const std::string end = co_await how([&] { return s.read_line(); });
        if (end == "cancelled") ++stopped;
      };
      std::vector<io::stream> clients;
      const std::string end =
          co_await served(handler, {.drain = drain}, [&](io::endpoint at, std::stop_source) -> task<> {
            for (int i = 0; i < 5; ++i) clients.push_back(co_await io::connect(at));
            co_await until([&] { return begun == 5; });
          });
      EXPECT_TRUE(end == "value" || end == "invalid_argument") << end;
      EXPECT_TRUE(end != "value" || stopped == 5) << stopped;
    });
    if (drain != 0ns) break;
  }
}

TEST_F(SpecServe, StoppingItsTaskStopsAllHandlersAtOnce) {
  for (const int loops : {1, 3}) {
    std::atomic<int> begun{0}, stopped{0};
    const auto handler = [&](io::stream s) -> task<> {
      ++begun;
      const std::string end = co_await how([&] { return s.read_line(); });
      if (end == "cancelled") ++stopped;
    };
    on_a_loop([&]() -> task<> {
      io::listener at = io::listen("127.0.0.1:0");
      const io::endpoint place = at.local();
      std::vector<io::stream> clients;
      std::string end;
      co_await task_group::run([&](task_group& group) -> task<> {
        group.spawn(note(end, [&] { return io::serve(std::move(at), handler, {.loops = loops, .drain = 24h}); }));
        for (int i = 0; i < 20; ++i) clients.push_back(co_await io::connect(place));
        co_await until([&] { return begun == 20; });
        group.stop();
      });
      EXPECT_EQ(end, "cancelled");
      EXPECT_EQ(stopped, 20);
    });
  }
}

TEST_F(SpecServe, StopBeforeTheBeginning) {
  on_a_loop([]() -> task<> {
    std::stop_source quit;
    quit.request_stop();
    const std::stop_token asked = quit.get_token();
    for (const int loops : {1, 2})
      co_await io::serve(io::listen("127.0.0.1:0"), echo, {.loops = loops, .drain = 24h, .stop = asked});
  });
}

TEST_F(SpecServe, OptionsThatMakeNoSense) {
  on_a_loop([]() -> task<> {
    for (const io::serve_options& bad :
         {io::serve_options{.max_connections = 0}, io::serve_options{.max_connections = -1},
          io::serve_options{.loops = 0}, io::serve_options{.loops = -5}})
      EXPECT_EQ(co_await how_void([&] { return io::serve(io::listen("127.0.0.1:0"), echo, bad); }), "invalid_argument");
    EXPECT_NE(co_await how_void([&] { return io::serve(io::listener(), echo); }), "value");
  });
}

TEST_F(SpecServe, MoreThanMaxConnectionsWaitToBeAccepted) {
  for (const int loops : {1, 2}) {
    SCOPED_TRACE(loops);
    std::atomic<int> now{0}, most{0}, all{0};
    const auto handler = [&](io::stream s) -> task<> {
      const int here = ++now;
      for (int seen = most; seen < here && !most.compare_exchange_weak(seen, here);) {
      }
      ++all;
      co_await s.write("in");
      static_cast<void>(co_await s.read_all(100));
      --now;
    };
    on_a_loop([&]() -> task<> {
      const std::string end = co_await served(handler, {.max_connections = 3, .loops = loops},
                                              [&](io::endpoint at, std::stop_source) -> task<> {
                                                std::vector<io::stream> clients;
                                                for (int i = 0; i < 12; ++i)
                                                  clients.push_back(co_await io::connect(at));
                                                co_await task_group::run([&](task_group& group) -> task<> {
                                                  for (io::stream& s : clients)
                                                    group.spawn([&]() -> task<> {
                                                      EXPECT_EQ(co_await s.read_exactly(2, 20s), "in");
                                                      s.close();
                                                    });
                                                  co_return;
                                                });
                                              });
      EXPECT_EQ(end, "value");
    });
    EXPECT_EQ(all, 12);
    EXPECT_LE(most, 3);
  }
}

TEST_F(SpecServe, AllLoopsGetConnections) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  const auto handler = [&](io::stream s) -> task<> {
    {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    }
    co_await echo(std::move(s));
  };
  on_a_loop([&]() -> task<> {
    const std::string end = co_await served(handler, {.loops = 3}, [&](io::endpoint at, std::stop_source) -> task<> {
      std::vector<io::stream> clients;
      for (int i = 0; i < 200; ++i) {  // with a fair system, missing one is as likely as (2/3)^200
        clients.push_back(co_await io::connect(at));
        co_await clients.back().write("x");
        EXPECT_EQ(co_await clients.back().read_exactly(1, 20s), "x");
      }
    });
    EXPECT_EQ(end, "value");
  });
  EXPECT_EQ(threads.size(), 3U);
}

TEST_F(SpecServe, SeveralLoopsOnAUnixSocket) {
  std::atomic<int> all{0};
  const auto handler = [&](io::stream s) -> task<> {
    ++all;
    co_await echo(std::move(s));
  };
  on_a_loop([&]() -> task<> {
    std::stop_source quit;
    const std::stop_token asked = quit.get_token();
    io::listener at = io::listen("unix:@tutti_spec_serve_" + std::to_string(::getpid()));
    const io::endpoint place = at.local();
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn(io::serve(std::move(at), handler, {.loops = 2, .stop = asked}));
      for (int i = 0; i < 20; ++i) {
        io::stream s = co_await io::connect(place);
        co_await s.write("x");
        EXPECT_EQ(co_await s.read_exactly(1, 20s), "x");
      }
      quit.request_stop();
    });
  });
  EXPECT_EQ(all, 20);
}

TEST_F(SpecServe, WhatHandlersThrowEndsTheirConnectionOnly) {
  const unhandled_counter unhandled;
  const auto handler = [](io::stream s) -> task<> {
    const std::string what = co_await s.read_exactly(1);
    if (what == "t") throw tutti::timed_out("slow");
    if (what == "o") throw tutti::os_error("broken", ECONNRESET);
    if (what == "c") throw tutti::closed("gone");
    if (what == "l") throw io::too_long("long");
    if (what == "k") throw tutti::cancelled("by itself");
    if (what == "r") throw std::runtime_error("a mistake");
    if (what == "i") throw 7;
    co_await s.write(what);
  };
  // before its first wait, too, and without being a coroutine
  int calls = 0;
  const auto plain = [&](io::stream s) -> task<> {
    if (++calls % 2 == 0) throw std::runtime_error("before it begins");
    return handler(std::move(s));
  };
  on_a_loop([&]() -> task<> {
    const auto body = [&](io::endpoint at, std::stop_source) -> task<> {
      for (const char what : std::string("toclkri")) {
        io::stream s = co_await io::connect(at);
        co_await s.write(std::string(1, what));
        EXPECT_EQ(co_await all_of(s), "") << what;
      }
      io::stream s = co_await io::connect(at);
      co_await s.write("x");
      EXPECT_EQ(co_await all_of(s), "x");
    };
    const io::serve_options usual;
    EXPECT_EQ(co_await served(handler, usual, body), "value");
    EXPECT_EQ(unhandled_counter::all(), 2);
    const auto pairs = [&](io::endpoint at, std::stop_source) -> task<> {
      for (int i = 0; i < 10; ++i) {
        io::stream s = co_await io::connect(at);
        co_await s.write("x");
        const std::string got = co_await all_of(s);
        EXPECT_EQ(got.substr(0, 1), i % 2 == 0 ? "x" : got.empty() ? "" : "[") << i;
      }
    };
    EXPECT_EQ(co_await served(plain, usual, pairs), "value");
    EXPECT_EQ(unhandled_counter::all(), 7);
  });
}

TEST_F(SpecServe, WhenDescriptorsRunOutAcceptingPausesAndServingGoesOn) {
  if (sanitized) GTEST_SKIP() << "the sanitizers' own checks of types need descriptors";
  child c([] {
    if (!allow_descriptors(64)) return 3;
    return io::run([]() -> task<int> {
      int result = 0;
      const io::serve_options usual;
      const std::string end = co_await served(echo, usual, [&](io::endpoint at, std::stop_source) -> task<> {
        io::stream first = co_await io::connect(at);
        // What checks types at run time needs descriptors for what it sees for the first time.
        for (int i = 0; i < 200; ++i) {
          co_await first.write("ping");
          if (co_await first.read_exactly(4) != "ping") result = 9;
        }
        std::vector<tutti::unique_fd> clients;
        for (;;) {  // all that there are: those of the clients and those that the server takes
          tutti::unique_fd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
          if (!one) break;
          if (::connect(one.get(), at.data(), at.size()) != 0) {
            result = 4;
            co_return;
          }
          clients.push_back(std::move(one));
          co_await tutti::yield_now();
        }
        for (int i = 0; i < 200; ++i) {  // who is connected is served
          co_await first.write("ping");
          if (co_await first.read_exactly(4) != "ping") result = 5;
        }
        io::stream last = io::stream::adopt(std::move(clients.back()));
        clients.clear();  // now there are descriptors, and it goes on
        co_await last.write("pong");
        if (co_await last.read_exactly(4) != "pong") result = 6;
        for (int i = 0; i < 20; ++i) {
          io::stream s = co_await io::connect(at);
          co_await s.write("x");
          if (co_await s.read_exactly(1) != "x") result = 7;
        }
      });
      co_return end == "value" ? result : 8;
    }());
  });
  EXPECT_EQ(c.join(), 0);
}

TEST_F(SpecServe, StormOfRandomDisconnects) {
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const unhandled_counter unhandled;
  on_a_loop([&]() -> task<> {
    const std::string end = co_await served(
        echo, {.max_connections = 200, .loops = 2, .drain = 100ms}, [&](io::endpoint at, std::stop_source) -> task<> {
          co_await task_group::run([&](task_group& group) -> task<> {
            for (int worker = 0; worker < 20; ++worker)
              group.spawn([&]() -> task<> {
                const std::string much(100'000, 'm');
                for (int i = 0; i < (sanitized ? 50 : 200); ++i) {
                  io::stream s = co_await io::connect(at);
                  const auto what = random() % 8;
                  if (what >= 4) {
                    co_await s.write("hello");
                    EXPECT_EQ(co_await s.read_exactly(5, 50s), "hello");
                  }
                  if (what % 4 == 1) will_reset(s.descriptor());
                  if (what % 4 == 2)
                    static_cast<void>(
                        co_await how_void([&] { return tutti::with_timeout(io::write_line(s, much), 0ns); }));
                  if (what % 4 == 3) {
                    static_cast<void>(co_await how_void([&] { return s.write(much, 1ms); }));
                    will_reset(s.descriptor());
                  }
                }
              });
            co_return;
          });
          io::stream s = co_await io::connect(at);  // and it is still there
          co_await s.write("x");
          EXPECT_EQ(co_await s.read_exactly(1, 50s), "x");
        });
    EXPECT_EQ(end, "value");
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

}  // namespace
