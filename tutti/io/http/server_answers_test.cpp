// What a server makes of bodies that come slowly or wrongly, and of what handlers answer.
#include <gtest/gtest.h>
#include <unistd.h>
#include <tests/support/certificates.hpp>
#include <tests/support/http.hpp>
#include <tests/support/tasks.hpp>
#include <tests/support/unhandled_counter.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/task/with_timeout.hpp>
#include <tutti/task/yield.hpp>

#include <array>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using tutti::task;
using tutti_test::get_request;
using tutti_test::http_hang;
using tutti_test::http_server;
using tutti_test::raw_exchange;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

class http_server_answers : public tutti_test::http_on_a_clock {};

std::string last_get(const std::string& path) { return get_request(path, "Connection: close\r\n"); }

// Sends the request's body back while it comes.
http::response send_back(http::request& q, int status) {
  http::response answer = http::response::stream([&from = q.body()](http::body_writer& to) -> task<> {
    std::array<char, 1000> room;
    for (;;) {
      const std::size_t n = co_await from.read_some(room);
      if (n == 0) break;
      co_await to.write(std::string_view(room.data(), n));
    }
  });
  answer.status = status;
  return answer;
}

TEST_F(http_server_answers, who_writes_an_answer_has_the_rest_of_the_request_sent_before) {
  http::routes r;
  r.post("/back", [](http::request& q) { return send_back(q, 200); });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write("POST /back HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(co_await c.read_until("\r\n\r\n", 1000, http_hang), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_THAT(co_await c.read_until("\r\n\r\n", 1000, http_hang), StartsWith("HTTP/1.1 200 OK\r\n"));
    co_await c.write("body");
    EXPECT_EQ(co_await c.read_until("0\r\n\r\n", 1000, http_hang), "4\r\nbody\r\n0\r\n\r\n");
    // It goes on.
    co_await c.write(last_get("/"));
    EXPECT_THAT(co_await c.read_all(1000, http_hang), StartsWith("HTTP/1.1 404 "));
  });
}

TEST_F(http_server_answers, who_is_refused_is_not_asked_to_send_more) {
  http::routes r;
  r.post("/refused", [](http::request&) {
    http::response answer = http::response::stream([](http::body_writer& to) -> task<> { co_await to.write("no"); });
    answer.status = 403;
    return answer;
  });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    const std::string got = co_await raw_exchange(
        s.at, "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", false);
    EXPECT_THAT(got, StartsWith("HTTP/1.1 403 "));
    EXPECT_THAT(got, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_THAT(got, Not(HasSubstr("100 Continue")));
  });
}

TEST_F(http_server_answers, a_body_that_is_announced_takes_no_memory) {
  const auto resident = [] {
    std::size_t all = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  };
  http::routes r;
  r.post("/", [](http::request& q) -> task<http::response> { co_return co_await q.read_body(); });
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    constexpr std::size_t count = 100, size = 1U << 20U;
    const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
    // Its memory is there already, and all of what is sent comes back.
    const std::string got = co_await raw_exchange(s.at, head + std::string(size, 'y'));
    EXPECT_TRUE(got.ends_with(std::string(size, 'y')));
    const std::size_t before = resident();
    std::vector<io::stream> all;
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(co_await io::connect(s.at));
      co_await all.back().write(head + "x");
    }
    // By then those have been read, too.
    static_cast<void>(co_await raw_exchange(s.at, head + std::string(size, 'y')));
    const std::size_t after = resident();
    EXPECT_LT(after - std::min(before, after), count * size / 2);
  });
}

TEST_F(http_server_answers, an_answer_does_not_wait_long_for_a_body_that_nobody_reads) {
  http::routes r;
  r.post("/", [](http::request&) { return "unread"; });
  with_http_server(r, {.progress_limit = 1h}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na");
    std::string got;
    std::chrono::seconds passed = 0s;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { got = co_await c.read_until("unread", 1000); });
      for (; got.empty() && passed < 1h; passed += 1s) co_await pass(1s);
    });
    EXPECT_LT(passed, 10min);
    EXPECT_THAT(got, StartsWith("HTTP/1.1 200 OK\r\n"));
  });
}

TEST_F(http_server_answers, a_handlers_own_limit_for_a_body_is_answered) {
  http::routes r;
  r.post("/",
         [](http::request& q) -> task<http::response> { co_return co_await tutti::with_timeout(q.read_body(), 1s); });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {.progress_limit = 1h}, [&](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na");
    std::string got;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { got = co_await c.read_until("\r\n\r\n", 1000); });
      for (int i = 0; got.empty() && i < 1000; ++i) co_await pass(1s);
    });
    EXPECT_THAT(got, StartsWith("HTTP/1.1 408 "));
  });
  EXPECT_EQ(unhandled.all(), 0);
}

TEST_F(http_server_answers, who_leaves_a_body_and_fails_is_answered_as_one_who_fails) {
  http::routes r;
  r.post("/", [](http::request& q) -> task<http::response> {
    const std::string end = co_await tutti_test::end_of([&] { return tutti::with_timeout(q.read_body(), 0ns); });
    throw std::runtime_error("after it was " + end);
  });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [](http_server& s) -> task<> {
    io::stream c = co_await io::connect(s.at);
    co_await c.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na");
    const std::string got = co_await c.read_until("\r\n\r\n", 1000);
    EXPECT_THAT(got, StartsWith("HTTP/1.1 500 "));
  });
  EXPECT_EQ(unhandled.all(), 1);
}

TEST_F(http_server_answers, a_bad_chunk_is_the_peers_whoever_reads_it) {
  http::routes r;
  r.post("/back", [](http::request& q) { return send_back(q, 200); });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [](http_server& s) -> task<> {
    static_cast<void>(
        co_await raw_exchange(s.at, "POST /back HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n\r\n"));
  });
  EXPECT_EQ(unhandled.all(), 0);
}

TEST_F(http_server_answers, a_handler_may_throw_a_status) {
  http::routes r;
  r.get("/gone", [](http::request&) -> http::response { throw http::status_error(410); });
  r.post("/bad", [](http::request& q) -> task<http::response> {
    static_cast<void>(co_await q.read_body());
    throw http::status_error(422, "no number");
  });
  tutti_test::unhandled_counter unhandled;
  with_http_server(r, {}, [](http_server& s) -> task<> {
    const std::string got = co_await raw_exchange(
        s.at, get_request("/gone") + "POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" + last_get("/gone"));
    EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 410 Gone\r\n"), 2) << got;
    EXPECT_EQ(tutti_test::count_of(got, "\r\n\r\n410 Gone\n"), 2) << got;
    EXPECT_THAT(got, HasSubstr("HTTP/1.1 422 "));
    EXPECT_THAT(got, HasSubstr("\r\n\r\nno number"));
    EXPECT_EQ(tutti_test::count_of(got, "Connection: close"), 1) << got;
    const std::string unread =
        co_await raw_exchange(s.at, "GET /gone HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", false);
    EXPECT_THAT(unread, HasSubstr("Connection: close"));
  });
  EXPECT_EQ(unhandled.all(), 0);
  EXPECT_THROW(static_cast<void>(http::status_error(200)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(http::status_error(600)), std::invalid_argument);
  EXPECT_STREQ(http::status_error(404).what(), "404 Not Found");
}

TEST_F(http_server_answers, an_answer_is_a_final_one) {
  http::routes r;
  r.get("/{status}", [](http::request& q) { return http::response(std::stoi(q.param("status"))); });
  r.get("/ok", [](http::request&) { return "fine"; });
  tutti_test::unhandled_counter unhandled;
  const std::vector<std::string> bad = {"100", "101", "199", "0", "-1", "1000"};
  with_http_server(r, {}, [&](http_server& s) -> task<> {
    for (const std::string& one : bad) {
      const std::string got = co_await raw_exchange(s.at, get_request("/" + one) + last_get("/ok"));
      EXPECT_THAT(got, StartsWith("HTTP/1.1 500 ")) << one;
      EXPECT_EQ(tutti_test::count_of(got, "HTTP/1.1 200 OK"), 1) << one;
    }
    EXPECT_THAT(co_await raw_exchange(s.at, last_get("/999")), StartsWith("HTTP/1.1 999 "));
  });
  EXPECT_EQ(unhandled.all(), static_cast<int>(bad.size()));
}

TEST_F(http_server_answers, a_date_of_the_handlers_own_is_the_only_one) {
  http::routes r;
  r.get("/", [](http::request&) {
    http::response answer("x");
    answer.headers.set("date", "Thu, 01 Jan 1970 00:00:00 GMT");
    return answer;
  });
  with_http_server(r, {}, [](http_server& s) -> task<> {
    const std::string got = co_await raw_exchange(s.at, last_get("/"));
    EXPECT_EQ(tutti_test::count_of(got, "\r\nDate: "), 0) << got;
    EXPECT_EQ(tutti_test::count_of(got, "\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), 1) << got;
  });
}

TEST_F(http_server_answers, who_serves_shows_a_servers_certificate) {
  const auto client = io::tls_context::client({.authorities = tutti_test::test_trust().authority.certificate});
  io::run([](const io::tls_context& wrong) -> task<> {
    EXPECT_THROW(static_cast<void>(http::serve(io::listen("127.0.0.1:0"), {}, wrong)), std::invalid_argument);
    co_return;
  }(client));
}

}  // namespace
