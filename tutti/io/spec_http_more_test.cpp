// What http/{server,client,message,routes}.hpp promise of bodies that are made or read while they come.
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

class SpecHttpBody : public io_spec {};
class SpecHttpRoutes : public io_spec {};

TEST_F(SpecHttpBody, SourcesThatThrowOrMiscountEndTheConnectionWithinTheBody) {
  const unhandled_counter unhandled;
  http::routes routes;
  const auto writes = [](std::string text, bool throws) {
    return [text, throws](http::body_writer& out) -> task<> {
      co_await out.write(text);
      if (throws) throw std::runtime_error("a mistake");
    };
  };
  routes.get("/throws", [&](http::request&) { return http::response::stream(writes("12345", true)); });
  routes.get("/throws_sized", [&](http::request&) { return http::response::stream(writes("12345", true), "a/b", 10); });
  routes.get("/less", [&](http::request&) { return http::response::stream(writes("12345", false), "a/b", 10); });
  routes.get("/more", [&](http::request&) { return http::response::stream(writes("12345", false), "a/b", 3); });
  routes.get("/fine", [&](http::request&) { return http::response::stream(writes("12345", false), "a/b", 5); });
  routes.get("/chunks", [&](http::request&) { return http::response::stream(writes("12345", false)); });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    http::client client;
    for (const char* path : {"/throws", "/throws_sized", "/less", "/more"}) {
      const std::string url = server.origin + path;
      const std::string end = co_await how([&] { return client.get(url); });
      EXPECT_TRUE(end == "http_error reading the body" || end == "http_error awaiting the answer")
          << path << ": " << end;
      const std::string got = co_await raw_exchange(
          server.at, std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\nGET /fine HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_LE(count_of(got, "HTTP/1.1 "), 1) << path << ": " << got;
      EXPECT_EQ(count_of(got, "0\r\n\r\n"), path == std::string("/throws") ? 0 : count_of(got, "10\r\n\r\n")) << got;
    }
    for (const char* path : {"/fine", "/chunks"}) {
      const http::response r = co_await client.get(server.origin + path);
      EXPECT_EQ(r.body, "12345");
      const http::response head = co_await client.request(http::client_request(server.origin + path, "HEAD"));
      EXPECT_EQ(head.body, "");
      EXPECT_EQ(head.status, 200);
      const std::string old = co_await raw_exchange(server.at, std::string("GET ") + path + " HTTP/1.0\r\n\r\n");
      EXPECT_TRUE(old.ends_with("\r\n\r\n12345")) << old;
      EXPECT_EQ(count_of(old, "chunked"), 0);
    }
  });
}

TEST_F(SpecHttpBody, StreamedBothWaysHoldsUpWhoSends) {
  http::routes routes;
  std::size_t taken = 0;
  bool go = false;
  routes.post("/slow", [&](http::request& r) -> task<http::response> {
    r.body().limit(1ULL << 40U);
    while (!go) co_await tutti::yield_now();
    std::string room(100'000, '\0');
    for (std::size_t n = 1; n != 0; taken += n) n = co_await r.body().read_some(room);
    co_return std::to_string(taken);
  });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    std::size_t sent = 0;
    http::client client;
    http::client_request what(server.origin + "/slow", "POST");
    what.source = [&](http::body_writer& out) -> task<> {
      const std::string part(100'000, 'b');
      for (int i = 0; i < 500; ++i, sent += part.size()) {
        co_await out.write(part);
        co_await tutti::yield_now();
      }
    };
    co_await task_group::run([&](task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const http::response r = co_await client.request(std::move(what));
        EXPECT_EQ(r.body, "50000000");
      });
      for (int i = 0; i < 3000; ++i) co_await tutti::yield_now();
      EXPECT_LT(sent, 50'000'000U);
      EXPECT_EQ(taken, 0U);
      go = true;
    });
  });
}

TEST_F(SpecHttpBody, ExpectContinue) {
  http::routes routes;
  routes.post("/read", [](http::request& r) -> task<http::response> {
    std::string body = co_await r.read_body(100);
    co_return http::response(200, body);
  });
  routes.post("/refuse", [](http::request&) { return http::response(403, "no"); });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    io::stream s = co_await io::connect(server.at);
    co_await s.write("POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(co_await s.read_until("\r\n\r\n", 1000, 20s), "HTTP/1.1 100 Continue\r\n\r\n");
    co_await s.write("hello");
    EXPECT_EQ(co_await s.read_line(1000, 20s), "HTTP/1.1 200 OK");
    for (const char* bad : {"/refuse HTTP/1.1\r\nContent-Length: 5", "/read HTTP/1.1\r\nContent-Length: 101"}) {
      io::stream refused = co_await io::connect(server.at);
      co_await refused.write(std::string("POST ") + bad + "\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
      const std::string got = co_await all_of(refused);  // it cannot go on: what follows may be a body or not
      EXPECT_EQ(count_of(got, "HTTP/1.1 4"), 1) << got;
      EXPECT_EQ(count_of(got, "100 Continue"), 0) << got;
    }
  });
}

TEST_F(SpecHttpBody, LetGoBeforeItsEndClosesTheConnection) {
  http::routes routes;
  int now = 0;
  routes.get("/long", [&](http::request&) {
    return http::response::stream([&](http::body_writer& out) -> task<> {
      ++now;
      static_cast<void>(co_await how_void([&]() -> task<> {
        const std::string part(10'000, 'x');
        for (;;) co_await out.write(part);
      }));
      --now;
    });
  });
  with_http_server(std::move(routes), {.drain = 1s}, [&](http_server& server) -> task<> {
    http::client client({.max_per_host = 2});
    for (int i = 0; i < 10; ++i) {  // more than there are turns
      http::incoming in = co_await client.open(server.origin + "/long");
      EXPECT_EQ(in.status(), 200);
      std::array<char, 10> room{};
      EXPECT_EQ(co_await in.read_some(room), 10U);
      EXPECT_EQ(co_await how([&] { return in.read_all(50'000); }), "too_long");
    }
    EXPECT_EQ(client.idle_connections(), 0U);
    while (now != 0) co_await tutti::yield_now();
  });
}

TEST_F(SpecHttpRoutes, MethodsPathsAndTraps) {
  http::routes routes;
  routes.get("/a", [](http::request&) { return "a"; });
  routes.get("/{name}", [](http::request& r) { return "name " + r.param("name"); });
  routes.get("/files/{path...}", [](http::request& r) { return "file " + r.param("path"); });
  routes.post("/a", [](http::request&) { return "posted"; });
  for (const char* bad : {"", "a", "/{", "/}", "/{}", "/{a}{b}", "/{x...}/more", "/a", "/{other}"})
    EXPECT_THROW(routes.get(bad, [](http::request&) { return ""; }), std::invalid_argument) << bad;
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    const auto ask = [&](std::string line) {
      return raw_exchange(server.at, line + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    };
    struct row {
      const char *line, *status, *body;
    };
    for (const row& r : std::vector<row>{{"GET /a", "200", "a"},
                                         {"GET /a?x=1", "200", "a"},
                                         {"GET /b%20c", "200", "name b c"},
                                         {"GET http://other/a", "200", "a"},
                                         {"POST /a", "200", "posted"},
                                         {"GET /", "404", ""},
                                         {"GET /a/", "404", ""},
                                         {"DELETE /a", "405", ""},
                                         {"GET /files/x/y", "200", "file x/y"},
                                         {"GET /files/../a", "404", ""},
                                         {"GET /files/%2e%2e/a", "404", ""},
                                         {"GET /files/x%2f..%2f..%2fetc", "404", ""},
                                         {"GET /files/a/..", "404", ""},
                                         {"GET /files/..%2fetc", "404", ""},
                                         {"GET /files/%2E./x", "404", ""},
                                         {"HEAD /a", "200", ""},
                                         {"OPTIONS /a", "20", ""},
                                         {"get /a", "405", ""}}) {
      const std::string got = co_await ask(r.line);
      EXPECT_EQ(got.substr(9, std::string(r.status).size()), r.status) << r.line << ": " << got;
      if (r.status[0] == '2') {
        EXPECT_TRUE(got.ends_with(std::string("\r\n\r\n") + r.body)) << r.line << ": " << got;
      }
    }
    const std::string allow = co_await ask("DELETE /a");
    EXPECT_NE(allow.find("Allow: "), std::string::npos) << allow;
  });
  EXPECT_THROW(static_cast<void>(http::response::redirect("/x\r\nSet-Cookie: evil=1")), std::invalid_argument);
}

TEST_F(SpecHttpRoutes, BreakingOffWhileAHandlerWorksIsNoUnhandledError) {
  const unhandled_counter unhandled;
  http::routes routes;
  int begun = 0, ended = 0;
  routes.post("/body", [&](http::request& r) -> task<http::response> {
    ++begun;
    const std::string end = co_await how([&] { return r.read_body(); });
    ++ended;
    EXPECT_NE(end, "value");
    co_return "too late";
  });
  routes.post("/lets_it_through", [&](http::request& r) -> task<http::response> {
    ++begun;
    struct at_end {
      int& n;
      ~at_end() { ++n; }
    } const here{ended};
    std::string body = co_await r.read_body();
    co_return http::response(200, body);
  });
  with_http_server(std::move(routes), {}, [&](http_server& server) -> task<> {
    for (const char* path : {"/body", "/lets_it_through"})
      for (const bool resets : {false, true}) {
        const int before = ended;
        io::stream s = co_await io::connect(server.at);
        co_await s.write(std::string("POST ") + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
        while (begun == before) co_await tutti::yield_now();
        if (resets) will_reset(s.descriptor());
        s.close();
        while (ended == before) co_await tutti::yield_now();
      }
  });
  EXPECT_EQ(unhandled_counter::all(), 0) << unhandled_counter::last_task;
}

}  // namespace
