// The client with our server and with Python's; the connections it keeps.
#include <gtest/gtest.h>
#include <tests/support/certificates.hpp>
#include <tests/support/http.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/task/sleep.hpp>

#include <array>
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
using tutti_test::output_of;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

TEST(http_client, asks) {
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c({.user_agent = "tester/1"});
    const http::response got = co_await c.get(s.origin + "/echo?a=b#part");
    EXPECT_EQ(got.status, 200);
    EXPECT_TRUE(got.ok());
    EXPECT_EQ(got.body, "GET /echo?a=b []");
    EXPECT_EQ(got.url, s.origin + "/echo?a=b#part");
    EXPECT_EQ(got.headers.get("got-user-agent"), "tester/1");
    EXPECT_EQ(got.headers.get("got-host"), s.at.text());
    EXPECT_EQ(got.headers.get("got-authorization"), "none");
    const http::response posted = co_await c.post(s.origin + "/echo", "{}", "application/json");
    EXPECT_EQ(posted.body, "POST /echo [{}]");
    EXPECT_EQ(posted.headers.get("got-content-type"), "application/json");
    http::client_request put(s.origin + "/echo", "PUT");
    put.headers.add("X-More", "v");
    put.body = "text";
    const http::response did = co_await c.request(put);
    EXPECT_EQ(did.body, "PUT /echo [text]");
    EXPECT_EQ(did.headers.get("got-x-more"), "v");
    const http::response head = co_await c.request(http::client_request(s.origin + "/echo", "HEAD"));
    EXPECT_EQ(head.body, "");
    EXPECT_EQ(head.headers.get("Content-Length"), "13");
    const http::response secret = co_await c.get("http://us%40er:pass@" + s.at.text() + "/echo");
    EXPECT_EQ(secret.headers.get("got-authorization"), "Basic dXNAZXI6cGFzcw==");
    EXPECT_EQ(secret.url, s.origin + "/echo");
    const http::response none = co_await c.get(s.origin + "/none");
    EXPECT_EQ(none.status, 404);
    try {
      none.throw_if_error();
      ADD_FAILURE();
    } catch (const http::http_error& e) {
      EXPECT_EQ(e.what(), "GET " + s.origin + "/none: answered: 404 Not Found");
      EXPECT_EQ(e.status(), 404);
    }
    EXPECT_NO_THROW(got.throw_if_error());
    EXPECT_EQ(c.idle_connections(), 1U);
    const http::incoming missing = co_await c.open(http::client_request(s.origin + "/none", "PUT"));
    try {
      missing.throw_if_error();
      ADD_FAILURE();
    } catch (const http::http_error& e) {
      EXPECT_EQ(e.what(), "PUT " + s.origin + "/none: answered: 404 Not Found");
      EXPECT_EQ(e.phase(), "answered");
    }
  });
}

TEST(http_client, asks_python) {
  tutti_test::peer python({"python3", "-u", "-c", R"(
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        if self.path == "/sized": self.send_header("Content-Length", str(len(body)))
        if self.path == "/chunked": self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.path == "/chunked":
            for b in body: self.wfile.write(b"1\r\n%c\r\n" % b)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)
            self.close_connection = self.path == "/ends"
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print(s.server_port)
s.serve_forever()
)",
                           "HTTP/1.1"});
  const std::string origin = "http://localhost:" + python.line();
  const auto work = [&]() -> task<> {
    http::client c;
    for (const char* path : {"/sized", "/chunked", "/ends", "/sized"}) {
      const http::response got = co_await c.post(origin + path, "some text", "text/plain");
      EXPECT_EQ(got.body, "some text") << path;
    }
  };
  io::run(work());
}

TEST(http_client, keeps_connections) {
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c;
    const http::response first = co_await c.get(s.origin + "/echo"), second = co_await c.get(s.origin + "/echo");
    EXPECT_EQ(first.headers.get("Peer"), second.headers.get("Peer"));
    http::client_request last(s.origin + "/echo");
    last.headers.add("Connection", "close");
    const http::response third = co_await c.request(last);
    EXPECT_EQ(first.headers.get("Peer"), third.headers.get("Peer"));
    EXPECT_EQ(c.idle_connections(), 0U);
    const http::response fourth = co_await c.get(s.origin + "/echo");
    EXPECT_NE(first.headers.get("Peer"), fourth.headers.get("Peer"));
  });
}

TEST(http_client, has_so_many_connections_to_a_host) {
  int now = 0, most = 0;
  http::routes r;
  r.get("/", [&](http::request&) -> task<http::response> {
    most = std::max(most, ++now);
    co_await tutti::sleep_for(1ms);
    --now;
    co_return http::response("x");
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    http::client c({.max_per_host = 3});
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      for (int i = 0; i < 30; ++i)
        group.spawn([&]() -> task<> {
          const http::response got = co_await c.get(s.origin);
          EXPECT_EQ(got.body, "x");
        });
      co_return;
    });
    EXPECT_LE(most, 3);
    EXPECT_GE(most, 1);
    EXPECT_LE(c.idle_connections(), 3U);
    // Who keeps them all lets others wait in vain.
    http::client_request what(s.origin);
    http::incoming a = co_await c.open(what), b = co_await c.open(what), d = co_await c.open(what);
    http::client late({.max_per_host = 1, .connect_limit = 5ms});
    http::incoming e = co_await late.open(what);
    const std::string why = co_await failure_of(late, what);
    EXPECT_THAT(why, HasSubstr("GET " + s.origin + "/: connecting: all 1 connections to " + s.origin));
  });
}

TEST(http_client, idle_connections_are_closed_after_a_while) {
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c({.idle_limit = 10ms});
    co_await tutti::task_group::run([&](tutti::task_group&) -> task<> {
      static_cast<void>(co_await c.get(s.origin + "/echo"));
      EXPECT_EQ(c.idle_connections(), 1U);
    });
    while (c.idle_connections() != 0) co_await tutti::sleep_for(1ms);
  });
}

TEST(http_client, reads_bodies_as_they_come) {
  constexpr std::size_t size = 64U << 20U;
  http::routes r;
  r.get("/much", [](http::request&) {
    return http::response::stream([](http::body_writer& to) -> task<> {
      const std::string piece(65536, 'x');
      for (std::size_t sent = 0; sent < size; sent += piece.size()) co_await to.write(piece);
    });
  });
  r.post("/count", [](http::request& q) -> task<http::response> {
    q.body().limit(size);
    std::vector<char> room(65536);
    std::size_t all = 0;
    for (;;) {
      const std::size_t n = co_await q.body().read_some(room);
      if (n == 0) break;
      all += n;
    }
    co_return http::response(std::to_string(all) + (q.body().size() ? " sized" : " in chunks"));
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    http::client c({.max_body = 1U << 20U});
    http::incoming much = co_await c.open(s.origin + "/much");
    EXPECT_EQ(much.status(), 200);
    EXPECT_EQ(much.size(), std::nullopt);
    std::vector<char> room(65536);
    std::size_t all = 0;
    for (;;) {
      const std::size_t n = co_await much.read_some(room);
      if (n == 0) break;
      all += n;
    }
    EXPECT_EQ(all, size);
    EXPECT_EQ(c.idle_connections(), 1U);
    EXPECT_EQ(co_await failure_of(c, s.origin + "/much"),
              "GET " + s.origin + "/much: reading the body: the body has more than the limit of 1048576 bytes");
    {
      http::incoming dropped = co_await c.open(s.origin + "/much");
      EXPECT_EQ(dropped.status(), 200);
    }
    EXPECT_EQ(c.idle_connections(), 0U);
    for (const bool sized : {false, true}) {
      http::client_request what(s.origin + "/count", "POST");
      what.source = [](http::body_writer& to) -> task<> {
        const std::string piece(65536, 'x');
        for (int i = 0; i < 100; ++i) co_await to.write(piece);
      };
      if (sized) what.size = 6'553'600;
      EXPECT_EQ((co_await c.request(what)).body, sized ? "6553600 sized" : "6553600 in chunks");
    }
  });
}

TEST(http_client, follows_redirects) {
  http::routes r = echo_routes();
  r.any("/to", [](http::request& q) {
    return http::response::redirect(q.query("url").value(), std::stoi(q.query("code").value()));
  });
  r.get("/loop", [](http::request&) { return http::response::redirect("loop"); });
  r.get("/n/{n}",
        [](http::request& q) { return http::response::redirect(std::to_string(std::stoi(q.param("n")) + 1), 301); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    http::client c;
    struct rule {
      const char *code, *method, *becomes;
    };
    for (const rule& one : {rule{"301", "POST", "GET /echo []"}, rule{"302", "POST", "GET /echo []"},
                            rule{"303", "POST", "GET /echo []"}, rule{"303", "PUT", "GET /echo []"},
                            rule{"307", "POST", "POST /echo [text]"}, rule{"308", "POST", "POST /echo [text]"},
                            rule{"301", "PUT", "PUT /echo [text]"}, rule{"302", "GET", "GET /echo []"}}) {
      http::client_request what(s.origin + "/to?url=/x/../echo&code=" + one.code, one.method);
      what.headers.add("Authorization", "a");
      what.headers.add("Cookie", "c");
      what.headers.add("Content-Type", "t");
      if (one.method != std::string("GET")) what.body = "text";
      const http::response got = co_await c.request(what);
      EXPECT_EQ(got.body, one.becomes) << one.code << one.method;
      EXPECT_EQ(got.url, s.origin + "/echo");
      EXPECT_EQ(got.headers.get("Got-Authorization"), "a");
      // Another host, by its name.
      std::string elsewhere = s.origin;
      elsewhere.replace(elsewhere.find("127.0.0.1"), 9, "localhost");
      what.url = s.origin + "/to?url=" + http::percent_encode(elsewhere + "/echo") + "&code=" + one.code;
      const http::response far = co_await c.request(what);
      EXPECT_EQ(far.body, one.becomes);
      EXPECT_EQ(far.headers.get("Got-Authorization"), "none");
      EXPECT_EQ(far.headers.get("Got-Cookie"), "none");
    }
    // The URL's user goes where headers go.
    const std::string place = s.at.text(), port = place.substr(place.find(':'));
    for (const std::string& to : {s.origin + "/echo", std::string("/echo"), "//" + place + "/echo"}) {
      const http::response same =
          co_await c.get("http://u:p@" + place + "/to?code=302&url=" + http::percent_encode(to));
      EXPECT_EQ(same.headers.get("Got-Authorization"), "Basic dTpw") << to;
    }
    const http::response other =
        co_await c.get("http://u:p@" + place + "/to?code=302&url=http://localhost" + port + "/echo");
    EXPECT_EQ(other.headers.get("Got-Authorization"), "none");
    EXPECT_EQ(co_await failure_of(c, s.origin + "/loop"),
              "GET " + s.origin + "/loop: redirecting: to " + s.origin + "/loop, where it was before");
    EXPECT_EQ(co_await failure_of(c, s.origin + "/n/1"), "GET " + s.origin + "/n/11: redirecting: more than 10 times");
    EXPECT_THAT(co_await failure_of(c, s.origin + "/to?code=302&url=ftp://x/"),
                HasSubstr("redirecting: to the scheme ftp"));
    EXPECT_THAT(co_await failure_of(c, s.origin + "/to?code=302&url=http://"), HasSubstr("redirecting: URL"));
    const http::response stays = co_await http::client({.max_redirects = 0}).get(s.origin + "/loop");
    EXPECT_EQ(stays.status, 302);
    EXPECT_EQ(c.idle_connections(), 2U);
  });
}

TEST(http_client, https) {
  const tutti_test::trust& trust = tutti_test::test_trust();
  const tutti_test::text_file authority(trust.authority.certificate);
  http::routes r = echo_routes();
  r.get("/to", [](http::request& q) { return http::response::redirect(q.query("url").value()); });
  with_http_server(r, {}, [&](http_server& open) -> task<> {
    io::listener listener = io::listen("127.0.0.1:0");
    const std::string origin = "https://localhost:" + std::to_string(listener.local().port());
    const std::stop_token token = open.quit.get_token();
    const io::tls_context server =
        io::tls_context::server({.certificate = trust.server.certificate, .key = trust.server.key, .alpn = "http/1.1"});
    const io::tls_context believing = io::tls_context::client({.authorities = trust.authority.certificate});
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(http::serve(std::move(listener), r, server, {.stop = token}));
      http::client c({}, believing);
      for (int i = 0; i < 3; ++i) {
        const http::response got = co_await c.post(origin + "/echo", "text", "text/plain");
        EXPECT_EQ(got.body, "POST /echo [text]");
      }
      EXPECT_EQ(c.idle_connections(), 1U);
      const std::string curl = co_await output_of("curl", "-s", "--cacert", authority.path(), "-d", "text",
                                                  origin + "/echo", origin + "/echo");
      EXPECT_EQ(curl, "POST /echo [text]POST /echo [text]");
      // From http to https, but not back.
      EXPECT_EQ((co_await c.get(open.origin + "/to?url=" + origin + "/echo")).url, origin + "/echo");
      const std::string down = origin + "/to?url=" + open.origin + "/echo";
      EXPECT_THAT(co_await failure_of(c, down), HasSubstr("redirecting: to " + open.origin + "/echo, where all"));
      http::client lax({.allow_downgrade = true}, believing);
      EXPECT_EQ((co_await lax.get(down)).url, open.origin + "/echo");
      // Not TLS at all.
      const std::string nonsense =
          co_await tutti_test::raw_exchange(io::endpoint::parse(origin.substr(8)), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      EXPECT_THAT(nonsense, testing::Not(HasSubstr("HTTP")));
      open.quit.request_stop();
    });
  });
}

TEST(http_client, something_else_than_http_follows_101) {
  http::routes r = echo_routes();
  r.get("/lines", [](http::request& q) {
    EXPECT_TRUE(q.headers().has_token("Connection", "upgrade"));
    http::response answer;
    answer.takeover = [](io::stream s, const http::request& asked) -> task<> {
      const std::string head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " +
                               std::string(asked.headers().get("Upgrade", "")) + "\r\n\r\n";
      co_await s.write(head);
      for (;;) {
        const auto line = co_await s.read_line();
        if (!line) co_return;
        const std::string back = "<" + *line + ">";
        co_await s.write(back);
      }
    };
    return answer;
  });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    http::client c;
    http::client_request what(s.origin + "/lines");
    what.headers.add("Connection", "Upgrade");
    what.headers.add("Upgrade", "lines");
    http::incoming answer = co_await c.open(what);
    EXPECT_EQ(answer.status(), 101);
    EXPECT_EQ(answer.headers().get("Upgrade"), "lines");
    io::stream lines = answer.takeover();
    EXPECT_THROW(static_cast<void>(answer.takeover()), std::logic_error);
    co_await lines.write("one\n");
    EXPECT_EQ(co_await lines.read_exactly(5), "<one>");
    lines.close();
    // What comes together with the request is there, too.
    io::stream early = co_await io::connect(s.at);
    co_await early.write("GET /lines HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\na\nb\n");
    co_await early.shutdown_write();
    const std::string got = co_await early.read_all(1000, tutti_test::http_hang);
    EXPECT_TRUE(got.ends_with("\r\n\r\n<a><b>")) << got;
    EXPECT_EQ(tutti_test::count_of(got, "Connection: "), 1);
    http::incoming other = co_await c.open(s.origin + "/echo");
    EXPECT_THROW(static_cast<void>(other.takeover()), std::logic_error);
  });
}

}  // namespace
