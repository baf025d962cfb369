// docs_io_test: what docs/io.md shows, compiled and run.
#include <gtest/gtest.h>
#include <tests/support/certificates.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/json.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/retry.hpp>
#include <tutti/task/task.hpp>

#include <boost/describe/class.hpp>

#include <array>
#include <filesystem>
#include <span>
#include <string>

namespace docs_io {

using namespace std::chrono_literals;
using tutti::task;
namespace io = tutti::io;
namespace http = tutti::io::http;

class docs_io : public testing::Test {
 protected:
  tutti_test::watchdog dog_;
};

// ---------------------------------------------------------------- first

namespace first {

namespace io = tutti::io;

tutti::task<> echo(io::stream peer) {
  std::array<char, 4096> room{};
  for (;;) {
    const std::size_t n = co_await peer.read_some(room);
    if (n == 0) co_return;  // the peer has said all
    co_await peer.write(std::span(room).first(n));
  }
}

tutti::task<> serve_echo(std::string address) {
  io::listener at = io::listen(address);  // here, not in main: what waits belongs to a loop
  co_await io::serve(std::move(at), echo);
}

int main() {
  io::run(serve_echo("127.0.0.1:7000"));  // until it is killed
  return 0;
}

}  // namespace first

TEST_F(docs_io, first) {
  io::run([]() -> task<> {
    auto [near, far] = io::stream_pair();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(first::serve_echo("127.0.0.1:0"));
      group.spawn(first::echo(std::move(far)));
      co_await near.write("hello");
      EXPECT_EQ(co_await near.read_exactly(5), "hello");
      group.stop();
    });
  }());
}

// ---------------------------------------------------------------- loop

int heavy(int n) { return n * n; }

task<int> on_the_loop(tutti::thread_pool& pool) {
  co_await tutti::sleep_for(1ms);                // whatever can be awaited is awaited here, too,
  const int n = co_await pool.submit<heavy>(7);  // and what computes or blocks is done elsewhere
  co_return n;                                   // and this goes on on the loop's thread
}

TEST_F(docs_io, loop) {
  tutti::thread_pool pool(1);
  io::loop loop;
  loop.post([] {});  // from any thread
  tutti::timer timer = loop.call_later(1h, [] {});
  EXPECT_EQ(loop.run(on_the_loop(pool)), 49);
  EXPECT_TRUE(timer.cancel());
}

TEST_F(docs_io, watchdog) {
  tutti::thread_pool pool(1);
  io::watchdog dog({.limit = 10s});  // a call that holds a loop's thread for longer is in the log, with its stack
  EXPECT_EQ(io::run(on_the_loop(pool)), 49);
}

// ---------------------------------------------------------------- streams

task<std::string> ask_time(std::string server) {
  io::stream s = co_await io::connect(server, {.limit = 5s});  // "example.org:13", "[::1]:13", "unix:/run/clock"
  co_await s.write("time, please\n");
  const std::optional<std::string> line = co_await s.read_line(/*most bytes=*/100, /*limit=*/5s);
  co_return line.value_or("it hung up");
}

task<> tell_time(io::stream peer) {
  const std::string asked = co_await peer.read_until("\n", 100);
  co_await peer.write(asked == "time, please\n" ? "half past nine\n" : "what?\n");
}

TEST_F(docs_io, streams) {
  io::run([]() -> task<> {
    io::listener at = io::listen("127.0.0.1:0");
    const std::string place = at.local().text();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { co_await tell_time(co_await at.accept()); });
      EXPECT_EQ(co_await ask_time(place), "half past nine");
    });
  }());
}

task<std::string> ask_both(std::string one, std::string other) {
  task<std::string> left = ask_time(one), right = ask_time(other);            // each with a connection of its own
  auto winner = co_await tutti::when_any(std::move(left), std::move(right));  // ends the other, and its connection
  co_return winner.index == 0 ? std::get<0>(winner.value) : std::get<1>(winner.value);
}

task<> say_nothing(io::stream peer) { static_cast<void>(co_await peer.read_all(100)); }

TEST_F(docs_io, the_first_ends_the_other) {
  io::run([]() -> task<> {
    io::listener busy = io::listen("127.0.0.1:0"), idle = io::listen("127.0.0.1:0");
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> { co_await tell_time(co_await idle.accept()); });
      group.spawn([&]() -> task<> { co_await say_nothing(co_await busy.accept()); });
      EXPECT_EQ(co_await ask_both(busy.local().text(), idle.local().text()), "half past nine");
    });
  }());
}

// ---------------------------------------------------------------- serve

task<> upper(io::stream peer) {
  for (;;) {
    std::optional<std::string> line = co_await peer.read_line(1000, 60s);  // who says nothing for a minute is sent away
    if (!line) co_return;
    for (char& c : *line) c = static_cast<char>(std::toupper(c));
    co_await peer.write(*line + "\n", 10s);  // so is who does not read
  }
}

task<> serve_upper(std::string address, std::stop_source quit) {
  const std::stop_token asked = quit.get_token();
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
    group.spawn(io::stop_on(io::signals({SIGINT, SIGTERM}), quit));
    co_await io::serve(io::listen(address), upper,
                       {.max_connections = 10'000, .loops = 2, .drain = 10s, .stop = asked});
    group.stop();
  });
}

TEST_F(docs_io, serve) {
  std::stop_source quit;
  quit.request_stop();
  io::run(serve_upper("127.0.0.1:0", quit));
}

// ---------------------------------------------------------------- http

http::routes make_routes() {
  http::routes routes;
  routes.get("/", [](http::request&) { return "hello, world\n"; });
  routes.get("/users/{id}", [](http::request& asked) { return "user " + asked.param("id"); });
  routes.post("/lines", [](http::request& asked) -> task<http::response> {
    const std::string body = co_await asked.read_body(/*most=*/1 << 20);
    co_return std::to_string(std::count(body.begin(), body.end(), '\n'));
  });
  return routes;
}

TEST_F(docs_io, http) {
  io::run([]() -> task<> {
    std::stop_source quit;
    const std::stop_token asked = quit.get_token();
    io::listener at = io::listen("127.0.0.1:0");
    const std::string base = "http://" + at.local().text();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(http::serve(std::move(at), make_routes(), {.stop = asked}));
      http::client client({.max_per_host = 4, .total_limit = 10s});
      const http::response user = co_await client.get(base + "/users/7");
      EXPECT_EQ(user.body, "user 7");
      const http::response lines = co_await client.post(base + "/lines", "one\ntwo\n", "text/plain");
      EXPECT_EQ(lines.body, "2");
      const http::response missing = co_await client.get(base + "/nowhere");
      EXPECT_EQ(missing.status, 404);  // an answer, no exception; throw_if_error() makes it one
      quit.request_stop();
    });
  }());
}

// ---------------------------------------------------------------- JSON, and again

struct order {
  std::string item;
  int count = 0;
};
BOOST_DESCRIBE_STRUCT(order, (), (item, count))

task<http::response> take_order(http::request& asked) {
  const std::string body = co_await asked.read_body();
  order wanted;
  try {
    wanted = tutti::decode_json<order>(body);
  } catch (const tutti::decode_error& e) {  // names the place: "cannot read JSON at $.count: ..."
    co_return http::response(400, e.what(), "text/plain");
  }
  ++wanted.count;  // one for free
  co_return http::response(200, tutti::encode_json(wanted), "application/json");
}

task<order> send_order(http::client& client, std::string url, order wanted) {
  const auto attempt = [&]() -> task<http::response> {
    http::response answer = co_await client.post(url, tutti::encode_json(wanted), "application/json");
    answer.throw_if_error();  // from 400 on: an http_error
    co_return answer;
  };
  const tutti::retry_options while_it_may_help{.attempts = 4, .first_delay = 20ms, .retry_if = io::is_transient};
  const http::response answer = co_await tutti::retry(attempt, while_it_may_help);
  co_return tutti::decode_json<order>(answer.body);
}

TEST_F(docs_io, json_and_retry) {
  io::run([]() -> task<> {
    std::stop_source quit;
    const std::stop_token asked = quit.get_token();
    io::listener at = io::listen("127.0.0.1:0");
    const std::string url = "http://" + at.local().text() + "/orders";
    int attempts = 0;
    http::routes routes;
    routes.post("/orders", [&](http::request& r) -> task<http::response> {
      if (++attempts == 1) co_return http::response(503, "", "text/plain");
      task<http::response> answer = take_order(r);
      co_return co_await std::move(answer);
    });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(http::serve(std::move(at), routes, {.stop = asked}));
      http::client client;
      const order bread{"bread", 2};
      const order got = co_await send_order(client, url, bread);
      EXPECT_EQ(got.count, 3);
      EXPECT_EQ(attempts, 2);
      const http::response bad = co_await client.post(url, R"({"item": "bread", "count": "two"})", "application/json");
      EXPECT_EQ(bad.status, 400);
      EXPECT_NE(bad.body.find("$.count"), std::string::npos) << bad.body;
      quit.request_stop();
    });
  }());
}

// ---------------------------------------------------------------- websocket

task<> shout(io::websocket peer) {
  while (true) {
    const std::optional<io::websocket_message> message = co_await peer.receive();
    if (!message) co_return;  // the peer has closed it
    co_await peer.send(message->data + "!");
  }
}

TEST_F(docs_io, websocket) {
  io::run([]() -> task<> {
    std::stop_source quit;
    const std::stop_token asked = quit.get_token();
    io::listener at = io::listen("127.0.0.1:0");
    const std::string place = at.local().text();
    http::routes routes;
    routes.get("/shout", [](http::request& request) { return io::websocket::upgrade(request, shout); });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn(http::serve(std::move(at), routes, {.stop = asked}));
      io::websocket socket = co_await io::websocket::connect("ws://" + place + "/shout");
      co_await socket.send("hello");
      const std::optional<io::websocket_message> answer = co_await socket.receive(5s);
      EXPECT_EQ(answer->data, "hello!");
      co_await socket.close();
      quit.request_stop();
    });
  }());
}

// ---------------------------------------------------------------- files

task<std::size_t> count_lines(std::filesystem::path path) {
  io::file file = co_await io::file::open(path);
  std::size_t lines = 0;
  for (;;) {
    const std::optional<std::string> line = co_await file.read_line();
    if (!line) co_return lines;
    ++lines;
  }
}

TEST_F(docs_io, files) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "docs_io_lines.txt";
  io::run([](std::filesystem::path at) -> task<> {
    co_await io::write_file(at, "one\ntwo\n");  // whole or not at all
    EXPECT_EQ(co_await count_lines(at), 2U);
  }(path));
  std::filesystem::remove(path);
}

// ---------------------------------------------------------------- messages

TEST_F(docs_io, frames) {
  io::run([]() -> task<> {
    auto [a, b] = io::stream_pair();
    io::frames out(std::move(a)), in(std::move(b));
    co_await out.write_frame("a message");  // four bytes of length, then the message
    EXPECT_EQ(co_await in.read_frame(), "a message");
  }());
}

TEST_F(docs_io, datagrams) {
  io::run([]() -> task<> {
    io::udp server = io::udp::bind("127.0.0.1:0"), client = io::udp::bind("127.0.0.1:0");
    co_await client.send_to("ping", server.local());
    std::array<char, 1500> room{};
    const io::datagram got = co_await server.receive_from(room, 5s);
    co_await server.send_to("pong", got.from);
    EXPECT_EQ(got.size, 4U);
  }());
}

}  // namespace docs_io
