// The server with peers that mean no good, or stop in the middle.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>
#include <tests/support/unhandled_counter.hpp>

#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::http_server;
using tutti_test::raw_exchange;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

http::routes echo_routes() {
  http::routes r;
  r.any("/{all...}", [](http::request& q) -> task<http::response> {
    const std::string body = co_await q.read_body();
    co_return http::response(q.method() + " " + q.target() + " " + body);
  });
  return r;
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
}

// Each is refused with this status, and nothing behind it is taken for a request.
TEST(http_server_hostile, refuses_what_two_readers_may_read_differently) {
  struct bad {
    int status;
    std::string text;
  };
  const std::string line = "POST /p HTTP/1.1\r\nHost: x\r\n";
  const std::vector<bad> all = {
      {400, line + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, line + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
      {400, line + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
      {400, line + "Content-Length: 3, 4\r\n\r\nabcd"},
      {400, line + "Content-Length: +3\r\n\r\nabc"},
      {400, line + "Content-Length: -3\r\n\r\nabc"},
      {400, line + "Content-Length: 0x3\r\n\r\nabc"},
      {400, line + "Content-Length: 3 3\r\n\r\nabc"},
      {400, line + "Content-Length:\r\n\r\nabc"},
      {400, line + "Content-Length: 99999999999999999999\r\n\r\nabc"},
      {400, line + "Content-Length: 18446744073709551615\r\n\r\nabc"},
      {501, line + "Transfer-Encoding: gzip\r\n\r\nabc"},
      {501, line + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
      {501, line + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
      {501, line + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
      {501, line + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
      {501, line + "Transfer-Encoding:\r\n\r\n0\r\n\r\n"},
      {400, line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, line + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
      {400, line + " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, line + "X: a\r\n b\r\n\r\n"},
      {400, line + "X: a\r\n\tb\r\n\r\n"},
      {400, line + "X:\r\n b\r\n\r\n"},
      {400, line + "X: a\r\n \r\n\r\n"},
      {400, line + "X:\r\n \r\n\r\n"},
      {400, line + "X : a\r\n\r\n"},
      {400, line + "X\t: a\r\n\r\n"},
      {400, line + ": a\r\n\r\n"},
      {400, line + "X\r\n\r\n"},
      {400, line + "X: a\rb\r\n\r\n"},
      {400, line + "X: a\nY: b\r\n\r\n"},
      {400, line + std::string("X: a\0b\r\n\r\n", 11)},
      {400, line + "X(: a\r\n\r\n"},
      {400, "POST /p HTTP/1.1\nHost: x\n\n"},
      {400, "POST /p HTTP/1.1\r\n\r\n"},
      {400, "POST /p HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"},
      {400, "POST /p HTTP/1.1\r\nHost: x y\r\n\r\n"},
      {400, "POST /p HTTP/1.1\r\nHost: x/y\r\n\r\n"},
      {400, "POST  /p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "POST /p  HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "POST /p HTTP/1.1 \r\nHost: x\r\n\r\n"},
      {400, "POST /p HTTP/2.0\r\nHost: x\r\n\r\n"},
      {400, "POST /p HTTP/1.2\r\nHost: x\r\n\r\n"},
      {400, "POST /p\r\n\r\n"},
      {400, "POST /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "P\xc3\xb6ST / HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET http:///p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET foo?x=://evil.host/p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET 1http://x/p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET http://x\"<script>/p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET http://x#y/p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET http://x\\y/p HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "GET /p#y HTTP/1.1\r\nHost: x\r\n\r\n"},
      {400, "\x16\x03\x01\x02"},
      {400, std::string(100, '\0')},
      {417, line + "Expect: miracles\r\nContent-Length: 3\r\n\r\nabc"},
  };
  with_http_server(echo_routes(), {}, [&](http_server& s) -> task<> {
    for (const bad& one : all) {
      const std::string got = co_await raw_exchange(s.at, one.text + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
      EXPECT_EQ(status_of(got), one.status) << one.text << "\n--- was answered with\n" << got;
      EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 "), 1) << one.text << "\n--- was answered with\n" << got;
      EXPECT_THAT(got, HasSubstr("Connection: close\r\n")) << one.text;
    }
  });
}

TEST(http_server_hostile, refuses_bad_chunks) {
  const std::string head = "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::vector<std::string> all = {
      "x\r\nabc\r\n0\r\n\r\n",
      "-1\r\nabc\r\n0\r\n\r\n",
      "0x3\r\nabc\r\n0\r\n\r\n",
      " 3\r\nabc\r\n0\r\n\r\n",
      "3\nabc\r\n0\r\n\r\n",
      "\r\nabc\r\n0\r\n\r\n",
      "2\r\nabc\r\n0\r\n\r\n",
      "4\r\nabc\r\n0\r\n\r\n",
      "11111111111111111\r\nabc\r\n0\r\n\r\n",
      "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n",
      "3;=\r\nabc\r\n0\r\n\r\n",
      "3\r\nabc\r\n0\r\nContent-Length: 4\r\n\r\n",
      "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
  };
  std::string much = "3;x=";
  much.append(20'000, 'x').append("\r\nabc\r\n0\r\n\r\n");
  all.push_back(much);
  much.assign(20'000, '0').append("3\r\nabc\r\n0\r\n\r\n");
  all.push_back(much);
  much.assign("3\r\nabc\r\n0\r\nX: ").append(30'000, 'x').append("\r\n\r\n");
  all.push_back(much);
  with_http_server(echo_routes(), {}, [&](http_server& s) -> task<> {
    EXPECT_TRUE((co_await raw_exchange(s.at, head + "3;a=b\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n")).ends_with(" abc"));
    for (const std::string& bad : all) {
      const std::string got = co_await raw_exchange(s.at, head + bad + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
      EXPECT_EQ(status_of(got), 400) << bad.substr(0, 100) << "\n--- was answered with\n" << got;
      EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 "), 1) << bad.substr(0, 100);
    }
    std::string many;
    for (int i = 0; i < 10'000; ++i) many += "1;x=yyyyyyyyyy\r\na\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, head + many + "0\r\n\r\n")), 400);
  });
}

TEST(http_server_hostile, refuses_what_is_too_much) {
  const http::serve_options options{.max_head = 1000, .max_body = 100};
  with_http_server(echo_routes(), options, [&](http_server& s) -> task<> {
    const std::string line = "GET /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, line + "X: " + std::string(900, 'x') + "\r\n\r\n")), 200);
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, line + "X: " + std::string(1000, 'x') + "\r\n\r\n")), 431);
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, line + "X: " + std::string(900'000, 'x'))), 431);
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, "GET /" + std::string(100'000, 'x'))), 431);
    std::string many = line;
    for (int i = 0; i < 10'000; ++i) many += "X: y\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, many + "\r\n")), 431);
    const std::string post = "POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, post + "Content-Length: 100\r\n\r\n" + std::string(100, 'x'))),
              200);
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, post + "Content-Length: 101\r\n\r\n")), 413);
    EXPECT_EQ(
        status_of(co_await raw_exchange(s.at, post + "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n", false)),
        413);
    EXPECT_EQ(status_of(co_await raw_exchange(
                  s.at, post + "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n0\r\n\r\n")),
              413);
    // The answer arrives although the client sends on.
    EXPECT_EQ(
        status_of(co_await raw_exchange(s.at, post + "Content-Length: 900000\r\n\r\n" + std::string(900'000, 'x'))),
        413);
  });
}

TEST(http_server_hostile, half_a_request_is_never_taken_for_one) {
  const std::vector<std::string> all = {
      "POST /p?a=b HTTP/1.1\r\nHost: x\r\nX-More: y\r\nContent-Length: 6\r\n\r\nabcdef",
      "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nT: u\r\n\r\n",
      "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
  };
  with_http_server(echo_routes(), {}, [&](http_server& s) -> task<> {
    for (const std::string& whole : all) {
      EXPECT_EQ(status_of(co_await raw_exchange(s.at, whole)), 200);
      for (std::size_t n = 0; n < whole.size(); ++n) {
        const std::string got = co_await raw_exchange(s.at, whole.substr(0, n));
        if (n == 0) {
          EXPECT_EQ(got, "");
        } else {
          EXPECT_EQ(status_of(got), 400) << whole.substr(0, n);
        }
      }
    }
  });
}

TEST(http_server_hostile, bytes_one_by_one_are_a_request) {
  with_http_server(echo_routes(), {}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    const std::string whole =
        "\r\nPOST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
        "GET /q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (const char& byte : whole) co_await c.write(std::string_view(&byte, 1));
    const std::string got = co_await c.read_all(10'000, tutti_test::http_hang);
    EXPECT_THAT(got, HasSubstr("POST /p abcdef"));
    EXPECT_TRUE(got.ends_with("GET /q ")) << got;
  });
}

TEST(http_server_hostile, slow_ones_are_given_up) {
  const http::serve_options options{.head_limit = 20ms, .progress_limit = 20ms};
  with_http_server(echo_routes(), options, [&](http_server& s) -> task<> {
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, "GET / HTT", false)), 408);
    const std::string post = "POST /p HTTP/1.1\r\nHost: x\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, post + "Content-Length: 10\r\n\r\nabc", false)), 408);
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, post + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", false)), 408);
    // A byte now and then does not help.
    io::stream c = co_await io::connect(s.at);
    std::string got;
    for (bool over = false; !over;) {
      std::array<char, 1000> room{};
      std::size_t n = 0;
      bool nothing_yet = false;
      try {
        co_await c.write("X");
        n = co_await c.read_some(room, 1ms);
      } catch (const tutti::timed_out&) {
        nothing_yet = true;
      } catch (const tutti::os_error&) {  // closed on us
      }
      got.append(room.data(), n);
      over = n == 0 && !nothing_yet;
    }
    EXPECT_EQ(status_of(got), 408);
  });
}

TEST(http_server_hostile, idle_ones_are_closed_without_a_word) {
  with_http_server(echo_routes(), {.idle_limit = 20ms}, [&](http_server& s) -> task<> {
    EXPECT_EQ(co_await raw_exchange(s.at, "", false), "");
    const std::string got = co_await raw_exchange(s.at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false);
    EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 "), 1);
    EXPECT_EQ(status_of(got), 200);
  });
}

TEST(http_server_hostile, who_goes_away_ends_his_connection_only) {
  http::routes r = echo_routes();
  r.get("/much", [](http::request&) {
    return http::response::stream([](http::body_writer& to) -> task<> {
      const std::string piece(65536, 'x');
      for (;;) co_await to.write(piece);
    });
  });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    for (const char* begun : {"", "GET", "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
                              "GET /much HTTP/1.1\r\nHost: x\r\n\r\n"}) {
      io::stream c = co_await io::connect(s.at);
      co_await c.write(begun);
      c.close();
    }
    EXPECT_EQ(status_of(co_await raw_exchange(s.at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
  });
  EXPECT_EQ(unhandled.all(), 0);
}

TEST(http_server_hostile, a_body_that_nobody_reads_is_no_request) {
  http::routes r;
  r.post("/", [](http::request&) { return http::response("unread"); });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    const std::string inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string small =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(inner.size()) + "\r\n\r\n";
    EXPECT_EQ(tutti_test::count_of(co_await raw_exchange(s.at, small + inner + small + inner), "HTTP/1.1 "), 2);
    std::string large = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    for (int i = 0; i < 20'000; ++i) large += inner;
    const std::string got = co_await raw_exchange(s.at, large);
    EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 "), 1);
    EXPECT_THAT(got, HasSubstr("Connection: close\r\n"));
    const std::string waits = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    EXPECT_EQ(tutti_test::count_of(co_await raw_exchange(s.at, waits, false), "HTTP/1.1 "), 1);
  });
}

}  // namespace
