// The server with real peers, and with such as write byte by byte.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/sync/event.hpp>

#include <array>
#include <string>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::http_server;
using tutti_test::output_of;
using tutti_test::raw_exchange;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

const std::string host = "Host: x\r\n";
std::string get(const std::string& path, const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\n" + host + more + "\r\n";
}
std::string last_get(const std::string& path) { return get(path, "Connection: close\r\n"); }

http::response hello(http::request&) { return "hello"; }

TEST(http_server, answers_curl) {
  http::routes r;
  r.get("/hello/{who}", [](http::request& q) {
    return http::response("hello " + q.param("who") + ", " + q.query("greeting").value_or("no greeting") + "\n");
  });
  r.post("/length", [](http::request& q) -> task<http::response> {
    const std::string body = co_await q.read_body();
    co_return http::response(std::to_string(body.size()) + " " + body.substr(0, 5) + "\n");
  });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_EQ(co_await output_of("curl", "-s", s.origin + "/hello/J%C3%BCrgen?x=1&greeting=good+day%21"),
              "hello J\xc3\xbcrgen, good day!\n");
    EXPECT_EQ(co_await output_of("curl", "-s", "-d", "12345678", s.origin + "/length"), "8 12345\n");
    EXPECT_EQ(
        co_await output_of("curl", "-s", "-H", "Transfer-Encoding: chunked", "-d", "12345678", s.origin + "/length"),
        "8 12345\n");
    EXPECT_EQ(co_await output_of("curl", "-s", "-H", "Expect: 100-continue", "-d", "12345678", s.origin + "/length"),
              "8 12345\n");
    EXPECT_EQ(co_await output_of("curl", "-s", "--http1.0", s.origin + "/hello/you"), "hello you, no greeting\n");
    const std::string head = co_await output_of("curl", "-s", "-I", s.origin + "/hello/you");
    EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 23\r\n"));
    // Two on one connection.
    EXPECT_EQ(co_await output_of("curl", "-s", "-w", "%{num_connects}\n", s.origin + "/hello/a", s.origin + "/hello/b"),
              "hello a, no greeting\n1\nhello b, no greeting\n0\n");
  });
}

TEST(http_server, answers_python) {
  http::routes r;
  r.any("/{path...}", [](http::request& q) -> task<http::response> {
    const std::string body = co_await q.read_body();
    http::response answer(201, q.method() + " " + q.param("path") + " " + body);
    answer.headers.add("X-Seen", q.headers().get("X-Given", "nothing"));
    co_return answer;
  });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    const std::string got = co_await output_of("python3", "-c", R"(
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1])
for n in range(3):
    c.request("PUT", "/a/b", "body%d" % n, {"X-Given": "v"})
    r = c.getresponse()
    print(r.status, r.getheader("x-seen"), r.read().decode())
c.request("POST", "/c", iter([b"in ", b"chunks"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
print(c.getresponse().read().decode())
)",
                                               s.at.text());
    EXPECT_EQ(got, "201 v PUT a/b body0\n201 v PUT a/b body1\n201 v PUT a/b body2\nPOST c in chunks\n");
  });
}

TEST(http_server, knows_paths_and_methods) {
  http::routes r;
  r.get("/a", hello).post("/a", hello).put("/b/{x}", hello).get("/b/all", hello);
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_THAT(co_await raw_exchange(s.at, last_get("/nothing")), StartsWith("HTTP/1.1 404 Not Found\r\n"));
    EXPECT_THAT(co_await raw_exchange(s.at, last_get("/b/all")), StartsWith("HTTP/1.1 200 OK\r\n"));
    const std::string wrong = co_await raw_exchange(s.at, last_get("/b/other"));
    EXPECT_THAT(wrong, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
    EXPECT_THAT(wrong, HasSubstr("\r\nAllow: PUT, OPTIONS\r\n"));
    const std::string options =
        co_await raw_exchange(s.at, "OPTIONS /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(options, StartsWith("HTTP/1.1 204 No Content\r\n"));
    EXPECT_THAT(options, HasSubstr("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"));
    EXPECT_THAT(co_await raw_exchange(s.at, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                StartsWith("HTTP/1.1 204 "));
    const std::string head = co_await raw_exchange(s.at, "HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 5\r\n"));
    EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
  });
}

TEST(http_server, understands_whole_urls_as_targets) {
  http::routes r;
  r.get("/p", [](http::request& q) {
    return http::response(std::string(q.host()) + " " + std::string(q.path()) + " " + q.query("x").value_or("none"));
  });
  r.get("/", [](http::request& q) { return http::response("root of " + std::string(q.host())); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_TRUE((co_await raw_exchange(s.at, last_get("http://real:81/p?x=2"))).ends_with("\r\n\r\nreal:81 /p 2"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last_get("http://real"))).ends_with("\r\n\r\nroot of real"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last_get("http://real?x=1"))).ends_with("\r\n\r\nroot of real"));
  });
}

TEST(http_server, files_beyond_the_folder_are_not_asked_for) {
  http::routes r;
  r.get("/files/{path...}", [](http::request& q) { return http::response("[" + q.param("path") + "]"); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    EXPECT_TRUE((co_await raw_exchange(s.at, last_get("/files/a/b%20c"))).ends_with("[a/b c]"));
    EXPECT_TRUE((co_await raw_exchange(s.at, last_get("/files/"))).ends_with("[]"));
    for (const char* path : {"/files/../x", "/files/a/%2e%2e/x", "/files/%2e%2e%2fx", "/files/..", "/files/a%5c..%5cb"})
      EXPECT_THAT(co_await raw_exchange(s.at, last_get(path)), StartsWith("HTTP/1.1 404 ")) << path;
  });
}

TEST(http_server, answers_what_comes_at_once_in_order) {
  http::routes r;
  r.get("/{n}", [](http::request& q) { return http::response("<" + q.param("n") + ">"); });
  r.get("/task/{n}",
        [](http::request& q) -> task<http::response> { co_return http::response("<" + q.param("n") + ">"); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    std::string asked;
    for (int i = 0; i < 1000; ++i) asked += get((i % 3 == 0 ? "/task/" : "/") + std::to_string(i));
    asked += last_get("/end");
    const std::string got = co_await raw_exchange(s.at, asked);
    std::size_t at = 0;
    for (int i = 0; i < 1000; ++i) {
      at = got.find("<" + std::to_string(i) + ">", at);
      EXPECT_NE(at, std::string::npos) << i;
      if (at == std::string::npos) co_return;
    }
    EXPECT_TRUE(got.ends_with("<end>"));
    EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 200 OK\r\n"), 1001);
  });
}

TEST(http_server, an_answer_does_not_wait_for_the_next_handler) {
  tutti::event heard(tutti::event_reset::manual);
  http::routes r;
  r.get("/plain", hello);
  r.get("/waits", [&](http::request&) -> task<http::response> {
    co_await heard.wait_async();
    co_return http::response("at last");
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write(get("/plain") + get("/waits"));
    static_cast<void>(co_await c.read_until("hello", 65536, tutti_test::http_hang));
    heard.set();
    static_cast<void>(co_await c.read_until("at last", 65536, tutti_test::http_hang));
  });
}

TEST(http_server, sends_bodies_while_they_are_made) {
  http::routes r;
  const auto three = [](http::body_writer& to) -> task<> {
    co_await to.write("one ");
    co_await to.write("two ");
    co_await to.write("three");
  };
  r.get("/chunks", [=](http::request&) { return http::response::stream(three); });
  r.get("/sized", [=](http::request&) { return http::response::stream(three, "text/plain", 13); });
  r.get("/less", [=](http::request&) { return http::response::stream(three, "text/plain", 20); });
  r.get("/more", [=](http::request&) { return http::response::stream(three, "text/plain", 9); });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    EXPECT_EQ(co_await output_of("curl", "-s", s.origin + "/chunks"), "one two three");
    EXPECT_EQ(co_await output_of("curl", "-s", "--http1.0", s.origin + "/chunks"), "one two three");
    EXPECT_EQ(co_await output_of("curl", "-s", s.origin + "/sized", s.origin + "/chunks"),
              "one two threeone two three");
    const std::string chunks = co_await raw_exchange(s.at, last_get("/chunks"));
    EXPECT_TRUE(chunks.ends_with("\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n")) << chunks;
    EXPECT_TRUE((co_await raw_exchange(s.at, get("/less"))).ends_with("one two three"));
    EXPECT_TRUE((co_await raw_exchange(s.at, get("/more"))).ends_with("one two "));
    const std::string head =
        co_await raw_exchange(s.at, "HEAD /chunks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
  });
  EXPECT_EQ(unhandled.all(), 2);
}

TEST(http_server, large_bodies_go_through_without_being_held) {
  // More than the limit of bodies in memory, there and back.
  constexpr std::size_t size = 64U << 20U;
  http::routes r;
  r.post("/back", [](http::request& q) -> task<http::response> {
    q.body().limit(size);
    co_return http::response::stream([&from = q.body()](http::body_writer& to) -> task<> {
      std::vector<char> piece(65536);
      for (;;) {
        const std::size_t n = co_await from.read_some(piece);
        if (n == 0) break;
        co_await to.write(std::span(piece.data(), n));
      }
    });
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    EXPECT_EQ(co_await output_of("sh", "-c",
                                 "head -c 67108864 /dev/zero | curl -s -H Expect: -T - -X POST " + s.origin +
                                     "/back | wc -c | tr -d ' '"),
              "67108864\n");
  });
}

TEST(http_server, who_writes_an_answer_reads_what_came_with_the_head) {
  http::routes r;
  r.post("/back", [](http::request& q) -> task<http::response> {
    co_return http::response::stream([&from = q.body()](http::body_writer& to) -> task<> {
      const std::string all = co_await from.read_all(100);
      co_await to.write(all);
    });
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    const std::string got =
        co_await raw_exchange(s.at, "POST /back HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst");
    EXPECT_TRUE(got.ends_with("\r\n\r\nfirst")) << got;
  });
}

TEST(http_server, nobody_sends_faster_than_the_other_reads) {
  constexpr std::size_t size = 256U << 20U;
  tutti::event over(tutti::event_reset::manual), go_on(tutti::event_reset::manual);
  std::size_t sent = 0;
  http::routes r;
  r.get("/much", [&](http::request&) {
    return http::response::stream([&](http::body_writer& to) -> task<> {
      struct at_end {
        tutti::event& e;
        ~at_end() { e.set(); }
      } const told{over};
      const std::string piece(65536, 'x');
      for (; sent < size; sent += piece.size()) co_await to.write(piece);
    });
  });
  r.post("/waits", [&](http::request&) -> task<http::response> {
    co_await go_on.wait_async();
    co_return http::response("ok");
  });
  with_http_server(r, {.progress_limit = 50ms}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write(get("/much"));
    co_await over.wait_async();  // it has given up
    EXPECT_LT(sent, size);
    io::stream d = co_await io::connect(s.at);
    co_await d.write("POST /waits HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
    bool late = false;
    try {
      co_await d.write(std::string(size, 'x'), 50ms);
    } catch (const tutti::timed_out&) {
      late = true;
    }
    EXPECT_TRUE(late);
    go_on.set();
  });
}

TEST(http_server, what_a_handler_throws_is_not_told) {
  http::routes r;
  r.get("/plain", [](http::request&) -> http::response { throw std::runtime_error("secret"); });
  r.get("/task", [](http::request&) -> task<http::response> {
    throw std::runtime_error("secret");
    co_return http::response();
  });
  r.get("/bad", [](http::request& q) {
    http::response answer;
    answer.headers.add("X-Name", q.query("name").value());
    return answer;
  });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    for (const char* path : {"/plain", "/task", "/bad?name=x%0d%0aSet-Cookie:%20a"}) {
      const std::string got = co_await raw_exchange(s.at, get(path));
      EXPECT_THAT(got, StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
      EXPECT_THAT(got, testing::Not(HasSubstr("secret")));
      EXPECT_THAT(got, testing::Not(HasSubstr("Cookie")));
    }
  });
  EXPECT_EQ(unhandled.all(), 3);
}

TEST(http_server, a_connection_has_so_many_requests) {
  http::routes r;
  r.get("/", hello);
  with_http_server(r, {.max_requests = 2}, [](http_server& s) -> task<> {
    const std::string got = co_await raw_exchange(s.at, get("/") + get("/") + get("/"), false);
    EXPECT_EQ(tutti_test::count_of(got, "200 OK"), 2);
    EXPECT_EQ(tutti_test::count_of(got, "Connection: close"), 1);
  });
}

TEST(http_server, drains) {
  tutti::event asked(tutti::event_reset::manual), go_on(tutti::event_reset::manual);
  http::routes r;
  r.get("/", hello);
  r.get("/waits", [&](http::request&) -> task<http::response> {
    asked.set();
    co_await go_on.wait_async();
    co_return http::response("done");
  });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    io::stream fresh = co_await io::connect(s.at), used = co_await io::connect(s.at), busy = co_await io::connect(s.at);
    co_await used.write(get("/"));
    static_cast<void>(co_await used.read_until("hello"));
    co_await busy.write(get("/waits"));
    co_await asked.wait_async();
    s.quit.request_stop();
    EXPECT_EQ(co_await used.read_all(100, tutti_test::http_hang), "");
    EXPECT_EQ(co_await fresh.read_all(100, tutti_test::http_hang), "");
    go_on.set();
    const std::string last = co_await busy.read_all(1000, tutti_test::http_hang);
    EXPECT_THAT(last, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_TRUE(last.ends_with("done"));
  });
}

TEST(http_server, on_several_loops) {
  http::routes r;
  r.get("/", hello);
  with_http_server(r, {.loops = 3}, [](http_server& s) -> task<> {
    for (int i = 0; i < 20; ++i) EXPECT_TRUE((co_await raw_exchange(s.at, last_get("/"))).ends_with("hello"));
  });
}

TEST(http_server, wraps_connections) {
  http::routes r;
  r.get("/", hello);
  const auto wrap = [](io::stream s) -> task<io::stream> {
    static_cast<void>(co_await s.read_line());
    co_return s;
  };
  with_http_server(
      r, {},
      [](http_server& s) -> task<> {
        const std::string got = co_await raw_exchange(s.at, "a line before\r\n" + last_get("/"));
        EXPECT_TRUE(got.ends_with("hello"));
      },
      wrap);
}

TEST(http_server, patterns_that_cannot_be) {
  http::routes r;
  r.get("/a", hello);
  for (const char* bad : {"", "a", "/a", "/{", "/{}", "/{...}", "/x{y}", "/{a}/{a}", "/{all...}/x", "/{a.b}"})
    EXPECT_THROW(r.get(bad, hello), std::invalid_argument) << bad;
}

}  // namespace
