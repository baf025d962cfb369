// Which failures are worth another attempt: those of real peers, and those that no test can bring about.
#include <gtest/gtest.h>
#include <tests/support/http.hpp>
#include <tests/support/io_spec.hpp>
#include <tutti/io/transient.hpp>
#include <tutti/task/retry.hpp>

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using tutti::task;
namespace io = tutti::io;
namespace http = tutti::io::http;

template <class E>
bool is_transient(E e) {
  return io::is_transient(std::make_exception_ptr(std::move(e)));
}

// How a request fails.
task<std::exception_ptr> failure_of(std::string url) {
  http::client c;
  std::exception_ptr failed;
  try {
    const http::response got = co_await c.get(std::move(url));
    got.throw_if_error();
  } catch (...) {
    failed = std::current_exception();
  }
  co_return failed;
}

TEST(transient, what_answers_say) {
  const auto answered = [](const std::string& answer) {
    bool transient = false;
    tutti_test::with_scripted_server({answer}, [&](std::string origin) -> task<> {
      const std::exception_ptr failed = co_await failure_of(origin);
      EXPECT_NE(failed, nullptr) << answer;
      transient = io::is_transient(failed);
    });
    return transient;
  };
  for (const char* status : {"408", "429", "500", "502", "503", "504"})
    EXPECT_TRUE(answered("HTTP/1.1 " + std::string(status) + " x\r\nContent-Length: 0\r\n\r\n")) << status;
  for (const char* status : {"400", "401", "404", "410", "501", "505"})
    EXPECT_FALSE(answered("HTTP/1.1 " + std::string(status) + " x\r\nContent-Length: 0\r\n\r\n")) << status;
  EXPECT_TRUE(answered("")) << "closed without an answer";
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")) << "closed within the body";
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")) << "the same in chunks";
  EXPECT_FALSE(answered("220 mail.example ESMTP\r\n")) << "no HTTP";
  EXPECT_FALSE(answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n")) << "bad chunks";
}

TEST(transient, who_is_not_there) {
  const auto all = []() -> task<> {
    std::string nobody;
    {
      const io::listener gone = io::listen("127.0.0.1:0");
      nobody = gone.local().text();
    }
    const std::exception_ptr refused = co_await failure_of("http://" + nobody);
    EXPECT_TRUE(io::is_transient(refused));
    const std::exception_ptr no_name = co_await failure_of("http://no-such-host.invalid");
    // Behind a resolver that cannot be asked either, it is not known to be no name.
    std::string words;
    try {
      std::rethrow_exception(no_name);
    } catch (const std::exception& e) {
      words = e.what();
    }
    EXPECT_EQ(io::is_transient(no_name), words.find("emporary") != std::string::npos) << words;
    const std::exception_ptr no_scheme = co_await failure_of("ftp://" + nobody);
    EXPECT_FALSE(io::is_transient(no_scheme));
  };
  io::run(all());
}

TEST(transient, of_all_kinds) {
  EXPECT_FALSE(io::is_transient(nullptr));
  for (const int code : {ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EMFILE, ENOBUFS, EADDRNOTAVAIL})
    EXPECT_TRUE(is_transient(tutti::os_error("x", code))) << code;
  for (const int code : {EACCES, ENOENT, EADDRINUSE, EINVAL, EBADF, ENOSPC, EPERM})
    EXPECT_FALSE(is_transient(tutti::os_error("x", code))) << code;
  EXPECT_TRUE(is_transient(tutti::timed_out("x")));
  EXPECT_TRUE(is_transient(tutti::closed("x")));
  EXPECT_TRUE(is_transient(tutti::retryable("x")));
  EXPECT_TRUE(is_transient(io::dns_error("x", true)));
  EXPECT_FALSE(is_transient(io::dns_error("x")));
  EXPECT_TRUE(is_transient(io::tls_error("x", true)));
  EXPECT_FALSE(is_transient(io::tls_error("x")));
  EXPECT_FALSE(is_transient(tutti::cancelled("x")));
  EXPECT_FALSE(is_transient(io::too_long("x")));
  EXPECT_FALSE(is_transient(std::runtime_error("x")));
}

TEST(transient, retries_are_for_them) {
  int attempts = 0;
  tutti_test::with_scripted_server(
      {"", "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
      [&](std::string origin) -> task<> {
        http::client c;
        const auto ask = [&]() -> task<std::string> {
          ++attempts;
          http::response got = co_await c.request(http::client_request(origin, "POST"));
          got.throw_if_error();
          co_return std::move(got.body);
        };
        EXPECT_EQ(co_await tutti::retry(ask, {.first_delay = 1ns, .retry_if = io::is_transient}), "ok");
        const auto never = [&]() -> task<> {
          ++attempts;
          const http::response got = co_await c.get(origin + "x:y");
          static_cast<void>(got);
        };
        const std::string end = co_await tutti_test::how_void(
            [&] { return tutti::retry(never, {.first_delay = 1ns, .retry_if = io::is_transient}); });
        EXPECT_EQ(end, "invalid_argument") << "a bad URL";
      });
  EXPECT_EQ(attempts, 4);
}

}  // namespace
