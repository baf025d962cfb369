// The connections that a client keeps: which may be used again, how many there are, and whose they are.
#include <gtest/gtest.h>
#include <tests/support/certificates.hpp>
#include <tests/support/http.hpp>
#include <tests/support/no_descriptors.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/sync/event.hpp>

#include <functional>
#include <string>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using tutti::task;
using tutti_test::echo_routes;
using tutti_test::failure_of;
using tutti_test::http_server;
using tutti_test::with_http_server;
namespace io = tutti::io;
namespace http = tutti::io::http;

constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Runs a test over TCP, and over TLS.
class http_client_pool : public testing::TestWithParam<bool> {
 protected:
  // Runs `body(client, origin)` while `answer(stream)` has each connection.
  void with_server(const std::function<task<>(io::stream)>& answer,
                   const std::function<task<>(http::client, std::string)>& body) {
    const tutti_test::trust& known = tutti_test::test_trust();
    io::run([&]() -> task<> {
      io::listener at = io::listen("127.0.0.1:0");
      const std::string origin = (GetParam() ? "https://" : "http://") + at.local().text();
      const io::tls_context identity =
          io::tls_context::server({.certificate = known.server.certificate, .key = known.server.key});
      http::client client({}, io::tls_context::client({.authorities = known.authority.certificate}));
      co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
        group.spawn(io::serve(std::move(at), [&](io::stream s) -> task<> {
          ++connections;
          if (GetParam()) s = co_await io::tls_accept(std::move(s), identity, tutti_test::http_hang);
          co_await answer(std::move(s));
        }));
        std::exception_ptr failed;
        try {
          co_await body(client, origin);
        } catch (...) {
          failed = std::current_exception();
        }
        group.stop();
        if (failed != nullptr) std::rethrow_exception(failed);
      });
    }());
  }

  int connections = 0;

 private:
  tutti_test::watchdog dog_;
};

INSTANTIATE_TEST_SUITE_P(over, http_client_pool, testing::Bool(),
                         [](const auto& with) { return std::string(with.param ? "tls" : "tcp"); });

TEST_P(http_client_pool, uses_a_connection_again) {
  const auto answer = [&](io::stream s) -> task<> {
    for (;;) {
      static_cast<void>(co_await s.read_until("\r\n\r\n"));
      co_await s.write(ok);
    }
  };
  with_server(answer, [&](http::client c, std::string origin) -> task<> {
    for (int i = 0; i < 3; ++i) EXPECT_EQ((co_await c.get(origin)).body, "ok");
    EXPECT_EQ(connections, 1);
  });
}

TEST_P(http_client_pool, what_comes_behind_an_answer_is_not_the_next_one) {
  tutti::event heard(tutti::event_reset::manual), said_more(tutti::event_reset::manual);
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write(ok);
    co_await heard.wait_async();
    if (connections == 1) co_await s.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    said_more.set();
    static_cast<void>(co_await s.read_all(10000));
  };
  with_server(answer, [&](http::client c, std::string origin) -> task<> {
    EXPECT_EQ((co_await c.get(origin)).body, "ok");
    heard.set();
    co_await said_more.wait_async();
    EXPECT_EQ((co_await c.get(origin)).body, "ok");
    EXPECT_EQ(connections, 2);
  });
}

TEST_P(http_client_pool, what_the_server_has_closed_is_not_used) {
  tutti::event heard(tutti::event_reset::manual), gone(tutti::event_reset::manual);
  const auto answer = [&](io::stream s) -> task<> {
    static_cast<void>(co_await s.read_until("\r\n\r\n"));
    co_await s.write(ok);
    co_await heard.wait_async();
    s.close();
    gone.set();
  };
  with_server(answer, [&](http::client c, std::string origin) -> task<> {
    // Not to be sent twice: it fails if it goes out there.
    const http::client_request post(origin, "POST");
    EXPECT_EQ((co_await c.request(post)).body, "ok");
    heard.set();
    co_await gone.wait_async();
    EXPECT_EQ((co_await c.request(post)).body, "ok");
    EXPECT_EQ(connections, 2);
  });
}

TEST(http_client_connections, belong_to_the_loop_of_the_first_request) {
  http::client c;
  const auto ask = [&]() -> task<> {
    std::string origin;
    {
      const io::listener gone = io::listen("127.0.0.1:0");
      origin = "http://" + gone.local().text();
    }
    EXPECT_THAT(co_await failure_of(c, origin), HasSubstr("refused"));
  };
  io::run(ask());
  std::string words;
  try {
    io::run(ask());
  } catch (const std::logic_error& e) {
    words = e.what();
  }
  EXPECT_THAT(words, StartsWith("http::client: it belongs to another loop than the one this runs on"));
}

// The same server, as two hosts.
std::string by_name(std::string origin) { return origin.replace(origin.find("127.0.0.1"), 9, "localhost"); }

TEST(http_client_connections, so_many_are_kept_in_all) {
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c({.max_idle = 1});
    const http::response first = co_await c.get(s.origin + "/echo");
    const http::response second = co_await c.get(by_name(s.origin) + "/echo");
    EXPECT_EQ(c.idle_connections(), 1U);
    const http::response again = co_await c.get(by_name(s.origin) + "/echo");
    EXPECT_EQ(again.headers.get("Peer"), second.headers.get("Peer")) << "the oldest one went";
    http::client none({.max_idle = 0});
    static_cast<void>(co_await none.get(s.origin + "/echo"));
    EXPECT_EQ(none.idle_connections(), 0U);
  });
}

TEST(http_client_connections, make_room_when_descriptors_run_out) {
  if (tutti_test::sanitized) GTEST_SKIP() << "a sanitizer opens files when something is thrown";
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c;
    static_cast<void>(co_await c.get(by_name(s.origin) + "/echo"));
    EXPECT_EQ(c.idle_connections(), 1U);
    const tutti_test::no_descriptors all;
    const http::response got = co_await c.get(s.origin + "/echo");
    EXPECT_EQ(got.body, "GET /echo []");
    EXPECT_EQ(c.idle_connections(), 1U);
  });
}

TEST(http_client_connections, that_are_all_in_use_are_told_with_the_limit) {
  with_http_server(echo_routes(), {}, [](http_server& s) -> task<> {
    http::client c({.max_per_host = 1, .connect_limit = 200ms});
    http::client_request slow(s.origin + "/echo", "POST");
    std::string said;
    slow.source = [&](http::body_writer&) -> task<> { said = co_await failure_of(c, s.origin + "/echo"); };
    static_cast<void>(co_await c.request(slow));
    EXPECT_EQ(said,
              "GET " + s.origin + "/echo: connecting: all 1 connections to " + s.origin +
                  " were in use for longer than the limit of 200 ms: allow more with client_options::max_per_host");
  });
}

}  // namespace
