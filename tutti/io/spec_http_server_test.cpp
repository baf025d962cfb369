// What http/server.hpp promises about clients that are broken, slow, greedy or hostile.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <tests/support/http.hpp>
#include <tests/support/io_spec.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task_group.hpp>
#include <vector>

namespace {

using tutti::task;
using tutti::task_group;
using namespace tutti_test;
using namespace std::chrono_literals;
namespace io = tutti::io;
namespace http = tutti::io::http;

class SpecHttpServer : public io_spec {};

http::routes usual() {
  http::routes routes;
  routes.get("/", [](http::request&) { return "root"; });
  routes.get("/users/{id}", [](http::request& r) { return "user " + r.param("id"); });
  routes.post("/echo", [](http::request& r) -> task<http::response> {
    std::string body = co_await r.read_body();
    co_return http::response(200, body);
  });
  routes.post("/ignore", [](http::request&) { return "ignored"; });
  routes.get("/throws", [](http::request&) -> http::response { throw std::runtime_error("a secret"); });
  routes.get("/throws_later", [](http::request&) -> task<http::response> {
    co_await tutti::yield_now();
    throw std::runtime_error("a secret");
  });
  return routes;
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

TEST_F(SpecHttpServer, EveryTruncationOfAValidRequest) {
  const unhandled_counter unhandled;
  const std::string whole =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n4\r\nabcd\r\n0\r\nTrailer: "
      "t\r\n\r\n";
  const std::string other = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
  with_http_server(usual(), {}, [&](http_server& server) -> task<> {
    for (const std::string& text : {whole, other})
      for (std::size_t cut = 0; cut < text.size(); ++cut) {
        const std::string got = co_await raw_exchange(server.at, text.substr(0, cut));
        EXPECT_TRUE(got.empty() || status_of(got) == 400) << cut << ": " << got;
        EXPECT_LE(count_of(got, "HTTP/1.1 "), 1) << cut;
      }
    EXPECT_EQ(status_of(co_await raw_exchange(server.at, whole)), 200);
    EXPECT_EQ(status_of(co_await raw_exchange(server.at, other)), 200);
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

TEST_F(SpecHttpServer, EveryCutOfAValidRequestIsUnderstood) {
  const std::string text =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4;ext=\"v\"\r\nabcd\r\n0A\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  with_http_server(usual(), {}, [&](http_server& server) -> task<> {
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      io::stream s = co_await io::connect(server.at);
      co_await s.write(text.substr(0, cut));
      co_await some_turns();
      const std::string rest = text.substr(cut);
      co_await s.write(rest);
      const std::string got = co_await all_of(s);
      EXPECT_EQ(count_of(got, "HTTP/1.1 200"), 2) << cut << ": " << got;
      EXPECT_EQ(count_of(got, "abcd0123456789"), 1) << cut << ": " << got;
    }
  });
}

TEST_F(SpecHttpServer, SmugglingShapesAreRefused) {
  const std::vector<std::string> heads = {
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcde",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\n Content-Length: 4\r\n\r\nabcd",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
      "chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcd",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX\x01: y\r\n\r\n",
      std::string("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 34),
      "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n",
      "GET /\r\nHost: a\r\n\r\n",
      "GET / http/1.1\r\nHost: a\r\n\r\n",
      "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls \r\n\r\n",
      "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
  };
  const unhandled_counter unhandled;
  with_http_server(usual(), {}, [&](http_server& server) -> task<> {
    for (const std::string& head : heads) {
      const std::string got =
          co_await raw_exchange(server.at, head + "GET /users/9 HTTP/1.1\r\nHost: a\r\n\r\n", false);
      const int status = status_of(got);
      EXPECT_TRUE(status == 400 || status == 501 || status == 505) << head << " -> " << got;
      EXPECT_EQ(count_of(got, "user 9"), 0) << head;  // nothing behind it is a request
      EXPECT_EQ(count_of(got, "HTTP/1.1 "), 1) << head;
    }
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

TEST_F(SpecHttpServer, BadChunking) {
  const unhandled_counter unhandled;
  with_http_server(usual(), {.progress_limit = 1s}, [&](http_server& server) -> task<> {
    for (const std::string bad :
         {"x\r\nabcd\r\n0\r\n\r\n", "-4\r\nabcd\r\n0\r\n\r\n", "+4\r\nabcd\r\n0\r\n\r\n", "0x4\r\nabcd\r\n0\r\n\r\n",
          " 4\r\nabcd\r\n0\r\n\r\n", "4\r\nabcdX0\r\n\r\n", "4\r\nabcdef\r\n0\r\n\r\n", "\r\n4\r\nabcd\r\n0\r\n\r\n",
          "4\nabcd\n0\n\n", "ffffffffffffffffff\r\nabcd", "8000000000000000\r\nabcd", "4\r\nabcd\n0\r\n\r\n",
          "4\rX\nabcd\r\n0\r\n\r\n", "4;a\nb\r\nabcd\r\n0\r\n\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\n : x\r\n\r\n"}) {
      const std::string got =
          co_await raw_exchange(server.at,
                                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + bad +
                                    "GET /users/9 HTTP/1.1\r\nHost: a\r\n\r\n",
                                false);
      const int status = status_of(got);
      if (bad.starts_with("8000")) {  // too large, or never there
        EXPECT_TRUE(status == 413 || status == 408) << got;
      } else {
        EXPECT_EQ(status, 400) << bad << " -> " << got;
      }
      EXPECT_EQ(count_of(got, "user 9"), 0) << bad;
    }
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

TEST_F(SpecHttpServer, HeadLimitExactly) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", end = "\r\n\r\n";
  with_http_server(usual(), {.max_head = 500}, [&](http_server& server) -> task<> {
    for (const std::size_t size : {499U, 500U, 501U, 502U, 600U, 100'000U}) {
      const std::string got =
          co_await raw_exchange(server.at, start + std::string(size - start.size() - end.size(), 'x') + end, false);
      EXPECT_EQ(status_of(got), size <= 500 ? 200 : 431) << size;
    }
    // no end in sight, in one line or in many
    EXPECT_EQ(status_of(co_await raw_exchange(server.at, "GET /" + std::string(5000, 'x'), false)), 431);
    std::string many = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 1000; ++i) many += "A: b\r\n";
    EXPECT_EQ(status_of(co_await raw_exchange(server.at, many, false)), 431);
  });
}

TEST_F(SpecHttpServer, TrailersAndChunkExtensionsAreBoundedToo) {
  const unhandled_counter unhandled;
  with_http_server(usual(), {.max_head = 1000, .max_body = 1000, .head_limit = 3s, .progress_limit = 3s},
                   [&](http_server& server) -> task<> {
                     const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
                     for (const std::string& bad :
                          {head + "4;" + std::string(1'000'000, 'e'), head + "0\r\n" + std::string(1'000'000, 't'),
                           head + std::string(1'000'000, '0')}) {
                       const std::string got = co_await raw_exchange(server.at, bad, false);
                       const int status = status_of(got);
                       EXPECT_TRUE(status == 400 || status == 431 || status == 413 || status == 0) << got;
                     }
                     std::string lines = head + "0\r\n";
                     for (int i = 0; i < 100'000; ++i) lines += "A: b\r\n";
                     EXPECT_NE(status_of(co_await raw_exchange(server.at, lines + "\r\n", false)), 200);
                   });
}

TEST_F(SpecHttpServer, BodyLimitExactly) {
  with_http_server(usual(), {.max_body = 100}, [&](http_server& server) -> task<> {
    for (const std::size_t size : {0U, 99U, 100U, 101U, 5000U}) {
      const std::string body(size, 'b'), head = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
      std::string chunked;
      for (const char c : body) chunked += std::string("1\r\n") + c + "\r\n";
      const int expected = size <= 100 ? 200 : 413;
      EXPECT_EQ(status_of(co_await raw_exchange(
                    server.at, head + "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body, false)),
                expected)
          << size;
      EXPECT_EQ(status_of(co_await raw_exchange(
                    server.at, head + "Transfer-Encoding: chunked\r\n\r\n" + chunked + "0\r\n\r\n", false)),
                expected)
          << size << " in chunks";
    }
  });
}

TEST_F(SpecHttpServer, SlowlorisIsAnswered408) {
  with_http_server(
      usual(), {.head_limit = 50ms, .idle_limit = 50ms, .progress_limit = 50ms}, [&](http_server& server) -> task<> {
        EXPECT_EQ(status_of(co_await raw_exchange(server.at, "GET / HT", false)), 408);
        EXPECT_EQ(status_of(co_await raw_exchange(
                      server.at, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", false)),
                  408);
        EXPECT_EQ(co_await raw_exchange(server.at, "", false), "");  // idle: it is closed
        // byte for byte, each in time, the whole is not
        io::stream s = co_await io::connect(server.at);
        std::string end = "value";
        while (end == "value") {
          end = co_await how_void([&] { return s.write("x"); });
          co_await tutti::sleep_for(1ms);
        }
        EXPECT_TRUE(end == "os_error EPIPE" || end == "os_error ECONNRESET") << end;
        // between two requests
        const std::string got = co_await raw_exchange(server.at, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false);
        EXPECT_EQ(count_of(got, "HTTP/1.1 "), 1) << got;
      });
}

TEST_F(SpecHttpServer, ClientThatNeverReadsItsAnswer) {
  const unhandled_counter unhandled;
  http::routes routes = usual();
  std::size_t written = 0;
  std::string end;
  routes.get("/large", [](http::request&) { return std::string(50'000'000, 'l'); });
  routes.get("/endless", [&](http::request&) {
    return http::response::stream([&](http::body_writer& out) -> task<> {
      end = co_await how_void([&]() -> task<> {
        const std::string much(100'000, 'e');
        for (;; written += much.size()) co_await out.write(much);
      });
      throw tutti::timed_out("as it was");
    });
  });
  with_http_server(std::move(routes), {.progress_limit = 100ms}, [&](http_server& server) -> task<> {
    io::stream large = co_await io::connect(server.at), endless = co_await io::connect(server.at);
    co_await large.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    co_await endless.write("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 50; ++i)
      EXPECT_EQ(count_of(co_await raw_exchange(server.at, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "root"), 1);
    while (end.empty()) co_await tutti::sleep_for(1ms);
    EXPECT_EQ(end, "timed_out");
    EXPECT_LT(written, 50'000'000U);            // what the system holds, and no more
    for (io::stream* s : {&large, &endless}) {  // both are closed, within what they were sent
      std::string room(65536, '?');
      std::size_t n = 1;
      while (n != 0 && co_await how([&]() -> task<int> {
                         n = co_await s->read_some(room, 20s);
                         co_return 0;
                       }) == "value") {
      }
    }
  });
}

/// A client that asks for much, many times, and reads nothing: the server keeps a bounded part of it in memory.
TEST_F(SpecHttpServer, PipeliningClientThatNeverReadsCostsBoundedMemory) {
  http::routes routes;
  int calls = 0;
  routes.get("/large", [&](http::request&) {
    ++calls;
    return std::string(1'000'000, 'l');
  });
  with_http_server(std::move(routes), {.progress_limit = 100ms}, [&](http_server& server) -> task<> {
    io::stream s = co_await io::connect(server.at);
    std::string many;
    for (int i = 0; i < 400; ++i) many += "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    co_await s.write(many, 20s);
    while (calls == 0) co_await tutti::yield_now();
    while (co_await how_void([&] { return s.write("x", 20s); }) == "value")
      co_await tutti::yield_now();  // it is closed
    EXPECT_LT(calls, 50);
  });
}

TEST_F(SpecHttpServer, PipelinedRequestsAreAnsweredInOrder) {
  with_http_server(usual(), {}, [&](http_server& server) -> task<> {
    std::string requests, bodies;
    for (int i = 0; i < 300; ++i) {
      const std::string number = std::to_string(i);
      if (i % 3 == 0) {
        requests += "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(number.size() + 2) +
                    "\r\n\r\n[" + number + "]";
      } else if (i % 3 == 1) {
        requests += "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz";
      } else {
        requests += "GET /users/" + number + " HTTP/1.1\r\nHost: a\r\n\r\n";
      }
    }
    const std::string got = co_await raw_exchange(server.at, requests);
    EXPECT_EQ(count_of(got, "HTTP/1.1 200"), 300);
    std::size_t at = 0;
    for (int i = 0; i < 300; ++i) {
      const std::string number = std::to_string(i);
      at = got.find(i % 3 == 0 ? "[" + number + "]" : i % 3 == 1 ? "ignored" : "user " + number, at);
      EXPECT_NE(at, std::string::npos) << i;
      if (at == std::string::npos) break;
    }
  });
}

TEST_F(SpecHttpServer, KeepAliveLimits) {
  with_http_server(usual(), {.max_requests = 3}, [&](http_server& server) -> task<> {
    std::string many;
    for (int i = 0; i < 10; ++i) many += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string got = co_await raw_exchange(server.at, many, false);
    EXPECT_EQ(count_of(got, "HTTP/1.1 200"), 3);
    EXPECT_EQ(count_of(got, "Connection: close"), 1) << got;
    EXPECT_EQ(count_of(co_await raw_exchange(server.at, "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", false), "root"),
              1);
    EXPECT_EQ(
        count_of(co_await raw_exchange(server.at, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false),
                 "root"),
        1);
  });
}

TEST_F(SpecHttpServer, HandlersThatThrow) {
  const unhandled_counter unhandled;
  with_http_server(usual(), {}, [&](http_server& server) -> task<> {
    for (const char* path : {"/throws", "/throws_later"}) {
      const std::string got =
          co_await raw_exchange(server.at, std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_EQ(status_of(got), 500);
      EXPECT_EQ(count_of(got, "secret"), 0);
    }
  });
  EXPECT_EQ(unhandled_counter::all(), 2);
}

TEST_F(SpecHttpServer, DrainAnswersWhatIsUnderWay) {
  http::routes routes = usual();
  bool go = false;
  int begun = 0, stopped = 0;
  routes.get("/slow", [&](http::request&) -> task<http::response> {
    ++begun;
    while (!go) co_await tutti::yield_now();
    co_return "slow";
  });
  routes.get("/never", [&](http::request&) -> task<http::response> {
    ++begun;
    std::exception_ptr error;
    try {
      co_await sleep_for_ever();
    } catch (...) {
      error = std::current_exception();
      ++stopped;
    }
    std::rethrow_exception(error);
  });
  std::optional<io::stream> slow, never, idle, half;
  with_http_server(std::move(routes), {.drain = 300ms}, [&](http_server& server) -> task<> {
    slow = co_await io::connect(server.at);
    never = co_await io::connect(server.at);
    idle = co_await io::connect(server.at);
    half = co_await io::connect(server.at);
    co_await slow->write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    co_await never->write("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    co_await idle->write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(co_await idle->read_line(), "HTTP/1.1 200 OK");
    co_await half->write("GET / HT");
    while (begun != 2) co_await tutti::yield_now();
    server.quit.request_stop();
    EXPECT_EQ(count_of(co_await all_of(*idle), "HTTP"), 0);  // without a request: closed
    go = true;
    const std::string got = co_await all_of(*slow);
    EXPECT_EQ(count_of(got, "Connection: close"), 1) << got;
    EXPECT_TRUE(got.ends_with("slow")) << got;
    static_cast<void>(co_await all_of(*never));
    slow.reset(), never.reset(), idle.reset(), half.reset();
  });
  EXPECT_EQ(stopped, 1);
}

}  // namespace
