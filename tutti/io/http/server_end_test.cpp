// How answers and connections end: whole, or such that nobody takes them for whole.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <tests/support/certificates.hpp>
#include <tests/support/http.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/task/yield.hpp>

#include <array>
#include <string>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::get_request;
using tutti_test::http_hang;
using tutti_test::http_server;
using tutti_test::raw_exchange;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

class http_server_end : public tutti_test::http_on_a_clock {};

// What comes until the end, and how that came: "end", or an error.
struct ended {
  std::string got, how;
};
task<ended> read_to_the_end(io::stream& from) {
  ended all;
  try {
    std::string room(65536, '\0');
    for (;;) {
      const std::size_t n = co_await from.read_some(room, http_hang);
      if (n == 0) break;
      all.got.append(room, 0, n);
    }
    all.how = "end";
  } catch (const tutti::error& e) {
    all.how = e.what();
  }
  co_return all;
}

TEST_F(http_server_end, nothing_follows_a_write_that_failed) {
  constexpr std::size_t size = 20'000'000;
  std::string second;
  const auto source = [&](http::body_writer& to) -> task<> {
    const std::string big(size, 'b');
    bool late = false;
    try {
      co_await to.write(big);
    } catch (const tutti::timed_out&) {
      late = true;
    }
    EXPECT_TRUE(late);
    second = "none";
    try {
      co_await to.write("more");
    } catch (const tutti::closed& e) {
      second = e.what();
    }
  };
  http::routes r;
  r.get("/sized", [&](http::request&) { return http::response::stream(source, "text/plain", size + 4); });
  r.get("/chunks", [&](http::request&) { return http::response::stream(source); });
  r.get("/next", [](http::request&) { return "second"; });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {.progress_limit = 1s}, [&](http_server& s) -> task<> {
    for (const char* path : {"/sized", "/chunks"}) {
      second.clear();
      io::stream c = co_await io::connect(s.at);
      co_await c.write(get_request(path) + get_request("/next"));
      while (second.empty()) co_await pass(1s);
      const ended all = co_await read_to_the_end(c);
      EXPECT_LT(all.got.size(), size);
      EXPECT_EQ(tutti_test::count_of(all.got, "HTTP/1.1 "), 1) << path;
      EXPECT_THAT(second, HasSubstr("an earlier write has not gone through")) << path;
    }
  });
  EXPECT_EQ(unhandled.all(), 0);
}

TEST_F(http_server_end, who_takes_an_answer_slowly_gets_it) {
  constexpr std::size_t size = 8'000'000;
  http::routes r;
  r.get("/", [](http::request&) { return std::string(size, 'x'); });
  with_http_server(r, {.progress_limit = 1s}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    // Room for more is told when a good part of this is free: of a large one, after longer than the server waits.
    const int small = 262'144;
    ::setsockopt(c.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    co_await c.write(get_request("/", "Connection: close\r\n"));
    std::string room(65536, '\0');
    std::size_t got = 0;
    for (;;) {
      const std::size_t n = co_await c.read_some(room, http_hang);
      if (n == 0) break;
      got += n;
      co_await pass(100ms);
    }
    EXPECT_GT(got, size);
  });
}

TEST_F(http_server_end, who_has_asked_before_the_stop_is_answered) {
  int ran = 0;
  http::routes r;
  r.post("/", [&](http::request&) {
    ++ran;
    return "done";
  });
  const std::string asked = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
  // Between the two the server gets so many turns.
  for (int turns = 0; turns < 12; ++turns) {
    ran = 0;
    with_http_server(r, {}, [&](http_server& s) -> task<> {
      io::stream fresh = co_await io::connect(s.at), used = co_await io::connect(s.at);
      co_await used.write(asked);
      static_cast<void>(co_await used.read_until("done", 65536, http_hang));
      co_await fresh.write(asked);
      co_await used.write(asked);
      for (int i = 0; i < turns; ++i) co_await tutti::yield_now();
      s.quit.request_stop();
      for (io::stream* const one : {&fresh, &used}) {
        const ended all = co_await read_to_the_end(*one);
        EXPECT_THAT(all.got, HasSubstr("HTTP/1.1 200 OK\r\n")) << turns;
        EXPECT_EQ(all.how, "end") << turns;
      }
      EXPECT_EQ(ran, 3) << turns;
    });
  }
}

TEST_F(http_server_end, the_last_answer_arrives_whatever_was_sent_behind) {
  constexpr std::size_t size = 4'000'000;
  http::routes r;
  r.any("/", [](http::request& q) -> task<http::response> {
    static_cast<void>(co_await q.read_body());
    co_return std::string(size, 'x');
  });
  std::string more;
  for (int i = 0; i < 4000; ++i) more += get_request("/");
  for (const std::string& first :
       {get_request("/"), get_request("/", "Connection: close\r\n"),
        std::string("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab\r\n")}) {
    with_http_server(r, {.max_requests = first == get_request("/") ? 1 : 0}, [&](http_server& s) -> task<> {
      io::stream c = co_await io::connect(s.at);
      const int small = 65536;
      ::setsockopt(c.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
      co_await c.write(first + more);
      co_await pass(500ms);  // the server does what it can meanwhile
      const ended all = co_await read_to_the_end(c);
      EXPECT_GT(all.got.size(), size) << first;
      EXPECT_EQ(all.how, "end") << first;
    });
  }
}

TEST_F(http_server_end, what_came_with_the_request_is_the_next_protocols_in_order) {
  std::string data, got;
  for (int i = 0; i < 2000; ++i) data += std::to_string(10'000 + i);
  http::routes r;
  r.get("/up", [&](http::request&) {
    http::response answer(101);
    answer.takeover = [&](io::stream s, const http::request&) -> task<> { got = co_await s.read_all(1'000'000); };
    return answer;
  });
  const auto wrap = [](io::stream s) -> task<io::stream> {
    static_cast<void>(co_await s.read_line());
    co_return s;
  };
  with_http_server(
      r, {},
      [&](http_server& s) -> task<> {
        static_cast<void>(co_await raw_exchange(s.at, std::string(8200, 'x') + "\r\n" + get_request("/up") + data));
      },
      wrap);
  EXPECT_EQ(got, data);
}

TEST_F(http_server_end, an_unread_body_is_not_the_next_protocols) {
  std::string got;
  http::routes r;
  r.post("/up", [&](http::request&) {
    http::response answer(101);
    answer.takeover = [&](io::stream s, const http::request&) -> task<> { got = co_await s.read_all(1'000'000); };
    return answer;
  });
  r.get("/chat", [](http::request& q) {
    return io::websocket::upgrade(q, [](io::websocket) -> task<> {
      ADD_FAILURE();
      co_return;
    });
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    const std::string head = "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: ";
    EXPECT_EQ(co_await raw_exchange(s.at, head + "4\r\n\r\nbodyrest"), "");
    EXPECT_EQ(got, "rest");
    const std::string large = co_await raw_exchange(s.at, head + "100000\r\n\r\n" + std::string(100'000, 'x'));
    EXPECT_THAT(large, StartsWith("HTTP/1.1 400 "));
    const std::string with_body = co_await raw_exchange(
        s.at,
        "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
        "13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_THAT(with_body, StartsWith("HTTP/1.1 400 "));
  });
}

TEST_F(http_server_end, half_an_answer_does_not_look_whole) {
  http::routes r;
  r.get("/half", [](http::request&) {
    return http::response::stream([](http::body_writer& to) -> task<> {
      co_await to.write("first half");
      throw std::runtime_error("no second");
    });
  });
  tutti_test::unhandled_counter unhandled;
  // Without a length and chunks, as HTTP/1.0 has it, only the way in which the connection ends tells.
  const std::string asked = "GET /half HTTP/1.0\r\n\r\n";
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write(asked);
    const ended all = co_await read_to_the_end(c);
    EXPECT_THAT(all.how, HasSubstr("Connection reset by peer"));
  });
  const tutti_test::trust& known = tutti_test::test_trust();
  const auto identity = io::tls_context::server({.certificate = known.server.certificate, .key = known.server.key});
  const auto trust = io::tls_context::client({.authorities = known.authority.certificate});
  const auto wrap = [&](io::stream s) { return io::tls_accept(std::move(s), identity); };
  with_http_server(
      r, {},
      [&](http_server& s) -> task<> {
        io::stream lower = co_await io::connect(s.at);
        io::stream c = co_await io::tls_connect(std::move(lower), "localhost", trust);
        co_await c.write(asked);
        const ended all = co_await read_to_the_end(c);
        EXPECT_NE(all.how, "end") << all.got;
      },
      wrap);
  EXPECT_EQ(unhandled.all(), 2);
}

}  // namespace
