// websocket: a server of websockets for a test, and peers that speak to it frame by frame.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tests/support/http.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/http/http.hpp>
#include <tutti/io/io.hpp>
#include <tutti/io/websocket.hpp>
#include <tutti/task/task.hpp>
#include <tutti/task/task_group.hpp>
#include <utility>

namespace tutti_test {

class websocket_test : public testing::Test {
  watchdog dog_;
};

using websocket_talk = std::function<tutti::task<>(tutti::io::websocket)>;

/// Runs `with(url)`, a task, on `here` while a server answers there at that URL with `talk`.
template <class With>
void with_websocket_server(tutti::io::loop& here, websocket_talk talk, tutti::io::websocket_options options,
                           With with) {
  const auto all = [&]() -> tutti::task<> {
    tutti::io::listener at = tutti::io::listen("127.0.0.1:0");
    const std::string url = "ws://" + at.local().text() + "/chat";
    std::stop_source quit;
    const std::stop_token token = quit.get_token();
    tutti::io::http::routes routes;
    routes.get("/chat",
               [&](tutti::io::http::request& asked) { return tutti::io::websocket::upgrade(asked, talk, options); });
    co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
      group.spawn(tutti::io::http::serve(std::move(at), routes, {.drain = std::chrono::seconds(1), .stop = token}));
      std::exception_ptr failed;
      try {
        co_await with(url);
      } catch (...) {
        failed = std::current_exception();
      }
      quit.request_stop();
      if (failed != nullptr) std::rethrow_exception(failed);
    });
  };
  here.run(all());
}
template <class With>
void with_websocket_server(websocket_talk talk, tutti::io::websocket_options options, With with) {
  tutti::io::loop here;
  with_websocket_server(here, std::move(talk), options, std::move(with));
}

/// Sends back what it is sent.
inline tutti::task<> echo_messages(tutti::io::websocket peer) {
  for (;;) {
    const std::optional<tutti::io::websocket_message> message = co_await peer.receive();
    if (!message) co_return;
    if (message->binary) {
      co_await peer.send_binary(message->data);
    } else {
      co_await peer.send(message->data);
    }
  }
}

/// Awaits `work`: what an E that it throws says, "" when it throws none.
template <class E, class T>
tutti::task<std::string> failure(tutti::task<T> work) {
  try {
    co_await std::move(work);
  } catch (const E& e) {
    co_return e.what();
  }
  co_return "";
}

/// "127.0.0.1:1234" of a server's URL.
inline std::string place_of(const std::string& url) {
  const std::size_t begin = url.find("//") + 2;
  return url.substr(begin, url.find('/', begin) - begin);
}

inline constexpr std::string_view upgrade_request =
    "GET /chat HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A connection on which the server speaks websocket now.
inline tutti::task<tutti::io::stream> raw_websocket(std::string url) {
  tutti::io::stream s = co_await tutti::io::connect(place_of(url), {.limit = http_hang});
  co_await s.write(upgrade_request, http_hang);
  const std::string head = co_await s.read_until("\r\n\r\n", 65536, http_hang);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
  co_return s;
}

/// Reads and drops all until the end, however that comes; the number of bytes.
inline tutti::task<std::size_t> bytes_to_the_end(tutti::io::stream& from) {
  std::string room(65536, '\0');
  std::size_t all = 0;
  try {
    for (;;) {
      const std::size_t n = co_await from.read_some(room, http_hang);
      if (n == 0) break;
      all += n;
    }
  } catch (const tutti::os_error&) {  // torn apart
  }
  co_return all;
}

inline constexpr unsigned char text_frame = 1, binary_frame = 2, ping_frame = 9;
/// A whole frame as clients send them, masked with zeros; `payload`: fewer than 65536 bytes.
inline std::string frame(unsigned char kind, const std::string& payload) {
  std::string made{static_cast<char>(0x80 | kind)};
  if (payload.size() < 126) {
    made += static_cast<char>(0x80 | payload.size());
  } else {
    made += static_cast<char>(0x80 | 126);
    made += static_cast<char>(payload.size() >> 8);
    made += static_cast<char>(payload.size() & 0xff);
  }
  return made + std::string(4, '\0') + payload;
}

/// A client, on a thread of its own, that sends `frames` again and again as fast as it can, and drops what comes back.
class flooding_peer {
 public:
  /// `connection`: a raw_websocket's descriptor, duplicated.
  flooding_peer(tutti::unique_fd connection, std::string frames)
      : connection_(std::move(connection)),
        thread_([this, bytes = std::move(frames)](const std::stop_token& stop) { run(bytes, stop); }) {}
  /// Bytes that came back.
  std::size_t heard() const noexcept { return heard_.load(); }
  /// Whether the server has closed the connection.
  bool has_ended() const noexcept { return ended_.load(); }

 private:
  void run(const std::string& bytes, const std::stop_token& stop) {
    std::string room(1 << 20, '\0');
    std::size_t at = 0;
    while (!stop.stop_requested()) {
      ::pollfd ask{connection_.get(), POLLIN | POLLOUT, 0};
      ::poll(&ask, 1, 10);
      const ::ssize_t in = ::recv(connection_.get(), room.data(), room.size(), MSG_DONTWAIT);
      if (in == 0 || (in < 0 && errno != EAGAIN && errno != EINTR)) break;
      if (in > 0) heard_ += static_cast<std::size_t>(in);
      const ::ssize_t out =
          ::send(connection_.get(), bytes.data() + at, bytes.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (out < 0 && errno != EAGAIN && errno != EINTR) break;
      if (out > 0) at = (at + static_cast<std::size_t>(out)) % bytes.size();
    }
    ended_ = !stop.stop_requested();
  }

  const tutti::unique_fd connection_;
  std::atomic<std::size_t> heard_{0};
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

}  // namespace tutti_test
