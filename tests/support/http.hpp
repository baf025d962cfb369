// http: a server for a test, and peers that speak to it byte by byte or are programs.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <stop_token>
#include <string>
#include <tests/support/peer.hpp>
#include <tests/support/watchdog.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/io/helpers.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/io.hpp>
#include <tutti/task/submit.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// The most that any wait here may take before it counts as a hang.
inline constexpr std::chrono::seconds http_hang{30};

/// A server that runs, as the body of a test sees it.
struct http_server {
  tutti::io::endpoint at;
  std::string origin;     ///< "http://127.0.0.1:1234"
  std::stop_source quit;  ///< requested in the end, if not before
};

/// Serves `what` while `body(server)`, a task, runs, on a loop of its own.
inline void with_http_server(tutti::io::http::routes what, tutti::io::http::serve_options options,
                             const std::function<tutti::task<>(http_server&)>& body,
                             tutti::io::http::connection_wrapper wrap = {}) {
  const auto all = [&]() -> tutti::task<> {
    tutti::io::listener listener = tutti::io::listen("127.0.0.1:0");
    http_server server{listener.local(), "http://" + listener.local().text(), {}};
    const std::stop_token token = server.quit.get_token();
    options.stop = token;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(tutti::io::http::serve(std::move(listener), std::move(what), options, std::move(wrap)));
      std::exception_ptr failed;
      try {
        co_await body(server);
      } catch (...) {
        failed = std::current_exception();
      }
      server.quit.request_stop();
      if (failed != nullptr) std::rethrow_exception(failed);
    });
  };
  tutti::io::run(all());
}

/// Sends `bytes` and gives all that comes until the server closes. `ends`: the server is told that nothing more comes.
inline tutti::task<std::string> raw_exchange(tutti::io::endpoint at, std::string bytes, bool ends = true) {
  tutti::io::stream s = co_await tutti::io::connect(at, {.limit = http_hang});
  std::string got;
  try {
    co_await s.write(bytes, http_hang);
    if (ends) co_await s.shutdown_write(http_hang);
  } catch (const tutti::os_error&) {  // it has heard enough, and may have said why
  }
  try {
    char room[4096];
    for (;;) {
      const std::size_t n = co_await s.read_some(room, http_hang);
      if (n == 0) break;
      got.append(room, n);
    }
  } catch (const tutti::os_error&) {  // closed on us
  } catch (const tutti::closed&) {
  }
  co_return got;
}

/// Runs a program to its end, on another thread; its output.
inline tutti::task<std::string> output_of_command(std::vector<std::string> command) {
  auto work = [command = std::move(command)] {
    peer p(command);
    std::string all = p.all();
    EXPECT_EQ(p.code(), 0) << command[0] << " wrote " << all;
    return all;
  };
  auto done = tutti::io::detail::helpers().submit(std::move(work));
  co_return co_await std::move(done);
}

template <class... Words>
tutti::task<std::string> output_of(const Words&... words) {
  return output_of_command(std::vector<std::string>{std::string(words)...});
}

/// What a request fails with, as text; "" when it does not.
inline tutti::task<std::string> failure_of(tutti::io::http::client c, tutti::io::http::client_request what) {
  try {
    static_cast<void>(co_await c.request(std::move(what)));
  } catch (const tutti::error& e) {
    co_return e.what();
  }
  co_return "";
}

/// A server that answers the n-th connection with the n-th text, to each request on it, then closes it; "" closes it
/// without an answer. `body` gets the URL.
inline void with_scripted_server(std::vector<std::string> answers,
                                 const std::function<tutti::task<>(std::string)>& body,
                                 std::vector<std::string>* asked = nullptr) {
  const auto all = [&]() -> tutti::task<> {
    tutti::io::listener listener = tutti::io::listen("127.0.0.1:0");
    const std::string origin = "http://" + listener.local().text();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn([&]() -> tutti::task<> {
        for (const std::string& answer : answers) {
          tutti::io::stream s = co_await listener.accept();
          const std::string head = co_await s.read_until("\r\n\r\n", 65536, http_hang);
          if (asked != nullptr) asked->push_back(head);
          co_await s.write(answer);
        }
      });
      co_await body(origin);
    });
  };
  tutti::io::run(all());
}

/// Runs `body(origin)` while `answer(stream)`, a task, has each connection; whatever they wait for then is stopped.
inline void with_raw_server(std::function<tutti::task<>(tutti::io::stream)> answer,
                            const std::function<tutti::task<>(std::string)>& body) {
  const auto all = [&]() -> tutti::task<> {
    tutti::io::listener at = tutti::io::listen("127.0.0.1:0");
    const std::string origin = "http://" + at.local().text();
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(tutti::io::serve(std::move(at), std::move(answer)));
      std::exception_ptr failed;
      try {
        co_await body(origin);
      } catch (...) {
        failed = std::current_exception();
      }
      group.stop();
      if (failed != nullptr) std::rethrow_exception(failed);
    });
  };
  tutti::io::run(all());
}

/// A test on a clock that is moved by hand: who waits for a peer waits in real time otherwise.
class http_on_a_clock : public testing::Test {
  watchdog dog_;

 protected:
  tutti::virtual_clock clock;

  /// So much time passes when all have done what they could.
  tutti::task<> pass(std::chrono::nanoseconds time) {
    for (int i = 0; i < 50; ++i) co_await tutti::yield_now();
    clock.advance(time);
    for (int i = 0; i < 50; ++i) co_await tutti::yield_now();
  }
};

/// A request for `path`; `more`: lines of the head.
inline std::string get_request(const std::string& path, const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}

/// Answers with what it was asked.
inline tutti::io::http::routes echo_routes() {
  tutti::io::http::routes r;
  r.any("/echo", [](tutti::io::http::request& q) -> tutti::task<tutti::io::http::response> {
    const std::string body = co_await q.read_body();
    tutti::io::http::response answer(q.method() + " " + q.target() + " [" + body + "]");
    for (const char* name : {"Content-Type", "User-Agent", "Authorization", "Cookie", "Host", "X-More"})
      answer.headers.add(std::string("Got-") + name, q.headers().get(name, "none"));
    answer.headers.add("Peer", q.remote().text());
    co_return answer;
  });
  return r;
}

/// How often `what` is in `text`.
inline int count_of(const std::string& text, const std::string& what) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

}  // namespace tutti_test
