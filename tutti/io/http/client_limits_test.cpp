// A client's limits of time, told as they were set, and answers that come while it still sends.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/sync/event.hpp>

#include <cerrno>
#include <functional>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using tutti::task;
using tutti_test::failure_of;
using tutti_test::kind_of;
using tutti_test::some_turns;
using tutti_test::with_raw_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

// Time moves when a test says so.
class http_client_limits : public testing::Test {
 protected:
  std::chrono::nanoseconds passed() const { return clock.now() - start_; }

  tutti::virtual_clock clock;
  tutti::event never{tutti::event_reset::manual};

 private:
  tutti_test::watchdog dog_;
  const std::chrono::steady_clock::time_point start_ = clock.now();
};

constexpr std::size_t piece = 262'144;
constexpr std::size_t large = 64 * piece;  // more than lies between two sockets

http::client_request upload(const std::string& origin, bool from_source) {
  http::client_request what(origin, "POST");
  if (!from_source) {
    what.body.assign(large, 'x');
    return what;
  }
  what.size = large;
  what.source = [](http::body_writer& to) -> task<> {
    const std::string some(piece, 'x');
    for (std::size_t n = 0; n != large; n += piece) co_await to.write(some);
  };
  return what;
}

TEST_F(http_client_limits, the_total_is_for_a_body_that_comes_in_drips) {
  // Within a chunk's head, where nothing of the body comes.
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;");
    for (int i = 0; i < 300; ++i) {
      co_await s.write("x");
      co_await some_turns();
      clock.advance(100ms);
    }
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    const std::string why = co_await failure_of(http::client({.total_limit = 1s}), origin);
    EXPECT_THAT(why, HasSubstr("reading the body: "));
    EXPECT_THAT(why, HasSubstr(" took longer than the limit of 1 s"));
    EXPECT_LT(passed(), 3s);
  });
}

TEST_F(http_client_limits, the_total_is_for_a_body_that_goes_in_drips) {
  for (const bool from_source : {false, true}) {
    const auto before = passed();
    const auto answer = [&](io::stream s) -> task<> {
      for (int i = 0; i < 60; ++i) {
        static_cast<void>(co_await s.read_exactly(piece));
        co_await some_turns();
        clock.advance(100ms);
      }
    };
    with_raw_server(answer, [&](std::string origin) -> task<> {
      const std::string why = co_await failure_of(http::client({.total_limit = 1s}), upload(origin, from_source));
      EXPECT_THAT(why, HasSubstr("sending: "));
      EXPECT_THAT(why, HasSubstr(" took longer than the limit of 1 s"));
      EXPECT_LT(passed() - before, 3s);
    });
  }
}

TEST_F(http_client_limits, the_total_is_for_a_source_that_says_nothing) {
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    http::client_request what(origin, "POST");
    what.source = [&](http::body_writer& to) -> task<> {
      co_await to.write("x");
      co_await some_turns();
      clock.advance(2s);
      co_await never.wait_async();
    };
    EXPECT_THAT(co_await failure_of(http::client({.total_limit = 1s}), what), HasSubstr("the limit of 1 s"));
  });
}

TEST_F(http_client_limits, are_told_as_they_were_set) {
  const auto answer = [&](io::stream s) -> task<> {
    char room[4096];
    static_cast<void>(co_await s.read_some(room));
    clock.advance(300ms);
    co_await some_turns();
    clock.advance(2h);
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    EXPECT_THAT(
        co_await failure_of(http::client({.total_limit = 500ms}), origin),
        HasSubstr("awaiting the answer: reading from " + origin.substr(7) + " took longer than the limit of 500"));
    const std::string shaking = "https" + origin.substr(4);
    EXPECT_THAT(
        co_await failure_of(http::client({.connect_limit = 1s}, io::tls_context::client({.verify = false})), shaking),
        HasSubstr(" took longer than the limit of 1 s"));
  });
}

TEST_F(http_client_limits, connecting_again_has_its_own) {
  int requests = 0;
  const auto answer = [&](io::stream s) -> task<> {
    for (;;) {
      static_cast<void>(co_await s.read_until("\r\n\r\n"));
      if (++requests == 2) break;
      co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    clock.advance(10s);  // and closes
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    http::client c({.connect_limit = 1s});
    const std::string by_name = "http://localhost" + origin.substr(origin.rfind(':'));
    for (int i = 0; i < 2; ++i) EXPECT_EQ((co_await c.get(by_name)).body, "ok");
    EXPECT_EQ(requests, 3);
  });
}

TEST_F(http_client_limits, beyond_all_time_are_none) {
  int connections = 0;
  const auto answer = [&](io::stream s) -> task<> {
    ++connections;
    for (;;) {
      static_cast<void>(co_await s.read_until("\r\n\r\n"));
      co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    constexpr auto beyond = std::chrono::hours::max();
    http::client c({.idle_limit = std::chrono::nanoseconds::max() - 1ns,
                    .connect_limit = beyond,
                    .head_limit = beyond,
                    .progress_limit = beyond,
                    .total_limit = beyond});
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ((co_await c.get(origin)).body, "ok");
      clock.advance(1h);
      co_await some_turns();
    }
    EXPECT_EQ(connections, 1);
  });
}

TEST_F(http_client_limits, who_says_no_is_heard_while_the_body_is_sent) {
  // Reads no more, and does not close.
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!");
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    for (const bool from_source : {false, true}) {
      http::client c;
      const http::response got = co_await c.request(upload(origin, from_source));
      EXPECT_EQ(got.status, 413);
      EXPECT_EQ(got.body, "no!");
      EXPECT_EQ(c.idle_connections(), 0U);
    }
  });
}

TEST_F(http_client_limits, who_answers_while_it_reads_gets_all) {
  std::size_t came = 0;
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    co_await some_turns();
    came += (co_await s.read_exactly(large)).size();
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    for (const bool from_source : {false, true}) {
      came = 0;
      http::client c;
      const http::response got = co_await c.request(upload(origin, from_source));
      EXPECT_EQ(got.body, "yes");
      while (came == 0) co_await some_turns();
      EXPECT_EQ(c.idle_connections(), 1U);
    }
  });
}

TEST_F(http_client_limits, a_source_that_fails_behind_an_early_answer_fails_the_request) {
  tutti::event answered(tutti::event_reset::manual);
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    answered.set();
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    http::client_request what(origin, "POST");
    what.source = [&](http::body_writer& to) -> task<> {
      co_await to.write("x");
      co_await answered.wait_async();
      co_await some_turns();
      throw std::runtime_error("no more to send");
    };
    std::string words;
    try {
      static_cast<void>(co_await http::client().request(what));
    } catch (const std::runtime_error& e) {
      words = e.what();
    }
    EXPECT_EQ(words, "no more to send");
  });
}

TEST_F(http_client_limits, a_stop_is_not_taken_for_a_broken_connection) {
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await never.wait_async();
  };
  with_raw_server(answer, [&](std::string origin) -> task<> {
    http::client_request what(origin, "POST");
    what.source = [](http::body_writer&) -> task<> {
      throw tutti::os_error("as one that broke", EPIPE);
      co_return;
    };
    std::string end;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        http::client c;
        std::exception_ptr error;
        try {
          static_cast<void>(co_await c.request(what));
        } catch (...) {
          error = std::current_exception();
        }
        end = kind_of(error);
      });
      co_await some_turns();
      group.stop();
    });
    EXPECT_EQ(end, "cancelled");
  });
}

}  // namespace
