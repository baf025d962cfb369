// HTTP and websockets over TLS, on both sides.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <tests/support/certificates.hpp>
#include <tests/support/http.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/task.hpp>
#include <tutti/task/task_group.hpp>

#include <string>

namespace {

using tutti::task;
namespace io = tutti::io;
namespace http = tutti::io::http;

class http_tls : public testing::Test {
  tutti_test::watchdog dog_;
};

task<> echo(io::websocket peer) {
  const std::optional<io::websocket_message> message = co_await peer.receive();
  if (message) co_await peer.send(message->data);
}

TEST_F(http_tls, requests_and_websockets) {
  io::run([]() -> task<> {
    const tutti_test::trust& known = tutti_test::test_trust();
    const io::tls_context identity =
        io::tls_context::server({.certificate = known.server.certificate, .key = known.server.key});
    const io::tls_context trust = io::tls_context::client({.authorities = known.authority.certificate});
    http::routes routes;
    routes.get("/hello", [](http::request&) { return "hello"; });
    routes.get("/echo", [](http::request& asked) { return io::websocket::upgrade(asked, echo); });
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    io::listener at = io::listen("127.0.0.1:0");
    const std::string place = at.local().text();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(http::serve(std::move(at), routes, identity, {.stop = token}));
      http::client client({}, trust);
      const http::response answer = co_await client.get("https://" + place + "/hello");
      EXPECT_EQ(answer.body, "hello");
      const io::websocket_options options;
      io::websocket socket = co_await io::websocket::connect("wss://" + place + "/echo", options, trust);
      co_await socket.send("over TLS");
      const std::optional<io::websocket_message> back = co_await socket.receive();
      EXPECT_EQ(back.value().data, "over TLS");
      co_await socket.close();
      std::string words;
      try {
        http::client stranger;
        co_await stranger.get("https://" + place + "/hello");
      } catch (const http::http_error& e) {
        words = e.what();
      }
      EXPECT_NE(words.find("is not signed by an authority that this machine trusts"), std::string::npos) << words;
      quit.request_stop();
    });
  }());
}

TEST_F(http_tls, a_websocket_that_was_cut_off_says_so) {
  int descriptor = -1;  // beneath the server's TLS
  const tutti_test::trust& known = tutti_test::test_trust();
  const auto identity = io::tls_context::server({.certificate = known.server.certificate, .key = known.server.key});
  const auto trust = io::tls_context::client({.authorities = known.authority.certificate});
  http::routes routes;
  routes.get("/echo", [](http::request& asked) { return io::websocket::upgrade(asked, echo); });
  const auto wrap = [&](io::stream lower) {
    descriptor = lower.descriptor();
    return io::tls_accept(std::move(lower), identity);
  };
  tutti_test::with_http_server(
      routes, {},
      [&](tutti_test::http_server& s) -> task<> {
        const std::string url = "wss://" + s.at.text() + "/echo";
        const io::websocket_options options;
        io::websocket socket = co_await io::websocket::connect(url, options, trust);
        ::shutdown(descriptor, SHUT_WR);
        std::string words;
        try {
          co_await socket.receive();
        } catch (const io::tls_error& e) {
          words = e.what();
        }
        EXPECT_NE(words, "");
      },
      wrap);
}

}  // namespace
