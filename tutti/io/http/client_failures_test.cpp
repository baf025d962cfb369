// The client when things go wrong: servers that break the rules, break off or never come to an end.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>
#include <tutti/sync/event.hpp>

#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::echo_routes;
using tutti_test::failure_of;
using tutti_test::http_server;
using tutti_test::with_http_server;
using tutti_test::with_scripted_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

TEST(http_client_failures, a_dead_connection_is_found_out) {
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  std::vector<std::string> asked;
  with_scripted_server(
      {answer, answer},
      [&](std::string origin) -> task<> {
        http::client c;
        EXPECT_EQ((co_await c.get(origin)).body, "ok");
        // Closed by the server, seen or not: asked again on another one.
        EXPECT_EQ((co_await c.get(origin)).body, "ok");
      },
      &asked);
  EXPECT_EQ(asked.size(), 2U);
}

// Answers one request, and closes in answer to the next one.
TEST(http_client_failures, a_request_is_sent_again_once_if_that_does_no_harm) {
  const auto all = []() -> task<> {
    io::listener listener = io::listen("127.0.0.1:0");
    const std::string origin = "http://" + listener.local().text();
    int requests = 0;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        for (int n = 0; n < 3; ++n) {
          io::stream s = co_await listener.accept();
          static_cast<void>(co_await s.read_until("\r\n\r\n"));
          ++requests;
          co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
          if (n == 2) co_return;
          static_cast<void>(co_await s.read_until("\r\n\r\n"));
          ++requests;
        }
      });
      http::client c;
      EXPECT_EQ((co_await c.get(origin)).body, "ok");
      EXPECT_EQ((co_await c.get(origin)).body, "ok");
      EXPECT_EQ(requests, 3);
      const std::string why = co_await failure_of(c, http::client_request(origin, "POST"));
      EXPECT_THAT(why, HasSubstr("POST " + origin + "/: awaiting the answer: "));
      EXPECT_EQ(requests, 4);
      EXPECT_EQ((co_await c.get(origin)).body, "ok");
    });
  };
  io::run(all());
}

TEST(http_client_failures, answers_of_all_shapes) {
  struct shape {
    const char *answer, *method, *body;
    int status;
  };
  const std::vector<shape> all = {
      {"HTTP/1.1 200 OK\r\n\r\nto the end", "GET", "to the end", 200},
      {"HTTP/1.0 200 OK\r\n\r\n", "GET", "", 200},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "GET", "x",
       200},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", "", 204},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", "", 304},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "", 200},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", "", 200},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", "GET",
       "abcde", 200},
      {"HTTP/1.1 299\r\nContent-Length: 1\r\n\r\nx", "GET", nullptr, 0},
      {"HTTP/1.1 299 \r\nContent-Length: 1\r\n\r\nx", "GET", "x", 299},
  };
  for (const shape& one : all) {
    with_scripted_server({one.answer}, [&](std::string origin) -> task<> {
      http::client c;
      if (one.body == nullptr) {
        EXPECT_NE(co_await failure_of(c, http::client_request(origin, one.method)), "");
        co_return;
      }
      const http::response got = co_await c.request(http::client_request(origin, one.method));
      EXPECT_EQ(got.body, one.body) << one.answer;
      EXPECT_EQ(got.status, one.status);
    });
  }
}

TEST(http_client_failures, broken_answers_fail_with_the_url_and_the_phase) {
  struct broken {
    std::string answer, phase;
  };
  const std::vector<broken> all = {
      {"", "awaiting the answer"},
      {"HTTP/1.1 200", "awaiting the answer"},
      {"HTTP/1.1 200 OK\r\nContent-Len", "awaiting the answer"},
      {"nonsense\r\n\r\n", "awaiting the answer"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "reading the body"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "awaiting the answer"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabc", "awaiting the answer"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "reading the body"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc", "reading the body"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "reading the body"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "awaiting the answer"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n", "awaiting the answer"},
      {"HTTP/2 200 OK\r\n\r\n", "awaiting the answer"},
  };
  for (const broken& one : all) {
    with_scripted_server({one.answer}, [&](std::string origin) -> task<> {
      const std::string why = co_await failure_of(http::client(), origin + "/p?secret#f");
      EXPECT_THAT(why, StartsWith("GET " + origin + "/p?secret#f: " + one.phase + ": ")) << one.answer;
    });
  }
}

TEST(http_client_failures, has_limits_of_time) {
  tutti::event never(tutti::event_reset::manual);
  http::routes r;
  r.get("/late", [&](http::request&) -> task<http::response> {
    co_await never.wait_async();
    co_return http::response("x");
  });
  r.get("/stops", [&](http::request&) {
    return http::response::stream([&](http::body_writer& to) -> task<> {
      co_await to.write("begun");
      co_await never.wait_async();
    });
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    EXPECT_THAT(co_await failure_of(http::client({.head_limit = 5ms}), s.origin + "/late"),
                HasSubstr("/late: awaiting the answer: reading from"));
    EXPECT_THAT(co_await failure_of(http::client({.total_limit = 5ms}), s.origin + "/late"),
                HasSubstr("/late: awaiting the answer: reading from"));
    EXPECT_THAT(co_await failure_of(http::client({.progress_limit = 5ms}), s.origin + "/stops"),
                HasSubstr("/stops: reading the body: reading from"));
    EXPECT_THAT(co_await failure_of(http::client({.total_limit = 5ms}), s.origin + "/stops"),
                HasSubstr("/stops: reading the body: reading from"));
    never.set();
  });
}

TEST(http_client_failures, nobody_there) {
  const auto all = []() -> task<> {
    std::string at;
    {
      io::listener gone = io::listen("127.0.0.1:0");
      at = gone.local().text();
    }
    try {
      static_cast<void>(co_await http::client().get("http://" + at + "/x"));
      ADD_FAILURE();
    } catch (const http::http_error& e) {
      EXPECT_EQ(e.what(), "GET http://" + at + "/x: connecting: connecting to " + at + ": Connection refused");
      EXPECT_EQ(e.phase(), "connecting");
      EXPECT_EQ(e.status(), 0);
      EXPECT_THROW(std::rethrow_exception(e.cause()), tutti::os_error);
    }
    http::client c;
    for (const char* bad : {"", "x", "ftp://x/", "http://"}) {
      bool refused = false;
      try {
        static_cast<void>(co_await c.get(bad));
      } catch (const std::invalid_argument&) {
        refused = true;
      }
      EXPECT_TRUE(refused) << bad;
    }
    bool refused = false;
    try {
      static_cast<void>(co_await c.request(http::client_request("http://x/", "GET / HTTP/1.1\r\nX: ")));
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    EXPECT_THROW(http::client({.user_agent = "a\r\nb"}), std::invalid_argument);
    EXPECT_THROW(http::client({.max_per_host = 0}), std::invalid_argument);
  };
  io::run(all());
}

TEST(http_client_failures, hears_why_its_body_is_not_wanted) {
  http::routes r;
  r.post("/", [](http::request& q) -> task<http::response> { co_return http::response(co_await q.read_body(10)); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    http::client c;
    const http::response got = co_await c.post(s.origin, std::string(1'000'000, 'x'), "text/plain");
    EXPECT_EQ(got.status, 413);
  });
}

TEST(http_client_failures, a_stop_ends_what_is_under_way) {
  http::routes r;
  tutti::event asked(tutti::event_reset::manual), never(tutti::event_reset::manual);
  r.get("/", [&](http::request&) -> task<http::response> {
    asked.set();
    co_await never.wait_async();
    co_return http::response("x");
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    http::client c({.max_per_host = 1});
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      for (int i = 0; i < 3; ++i)
        group.spawn([&]() -> task<> {
          static_cast<void>(co_await c.get(s.origin));
          ADD_FAILURE();
        });
      co_await asked.wait_async();
      group.stop();
    });
    never.set();
    EXPECT_EQ((co_await c.get(s.origin)).body, "x");
  });
}

}  // namespace
