// websocket: messages in both directions over a connection that began as HTTP (RFC 6455).
#pragma once
#include <tutti/io/buffers.hpp>
#include <tutti/io/http/message.hpp>
#include <tutti/io/stream.hpp>
#include <tutti/io/tls.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti::io {

/// The peer broke the protocol, or refused to speak it; what() says how.
struct websocket_error : error {
  using error::error;
};

/// One message, whole.
struct websocket_message {
  std::string data;
  bool binary = false;  ///< else it is text: valid UTF-8
};

/// How to speak. Trivially destructible. Values that make no sense are refused with std::invalid_argument.
struct websocket_options {
  std::size_t max_message = 1U << 20;  ///< bytes, at least 1; a peer that sends more is refused (1009), and receive
                                       ///< throws too_long
  time_limit handshake_limit = std::chrono::seconds(30);
  time_limit silence = no_limit;   ///< a peer that says nothing is pinged after half of that, and after it
                                   ///< all the connection ends: so half-open ones are noticed. More
                                   ///< than 0, and by the system's clock, also where tutti's is another
  std::string_view protocol = {};  ///< asked for, or agreed to (Sec-WebSocket-Protocol): one name, a
                                   ///< token of HTTP, of at most 255 bytes
};

namespace detail {
class websocket_body;
}

/// A connection that carries messages. One coroutine may receive while another one sends. It belongs to a loop, as its
/// stream: on other threads and loops its waits throw std::logic_error. A receive that is cancelled or times out loses
/// nothing; any other wait that does ends the connection. Pings are answered while somebody receives. Move-only;
/// destroying it, or assigning another one to it, closes the connection without a word: what waits for it gets
/// `closed`.
class websocket {
 public:
  websocket() noexcept = default;
  websocket(websocket&& other) noexcept = default;
  websocket& operator=(websocket other) noexcept {
    std::swap(body_, other.body_);
    return *this;
  }
  ~websocket();

  /// Connects to "ws://example.org/chat", or to "wss://...", where `trust` is TLS's, by default
  /// tls_context(). Throws as connect and connect_tls;
  /// websocket_error when the server does not want to; std::invalid_argument for another URL.
  [[nodiscard]] static task<websocket> connect(std::string url, websocket_options options = {},
                                               std::optional<tls_context> trust = {});
  /// The server's side of a stream on which such a request has arrived, which is answered here, behind what is in the
  /// stream's write buffer. Throws websocket_error when it is no such request, `closed` when `connection` is none, and
  /// what a stream's waits throw.
  [[nodiscard]] static task<websocket> accept(stream connection, const http::request& asked,
                                              websocket_options options = {});
  /// What an HTTP handler returns for the connection to go on as a websocket: `talk(websocket)`, a task, has it then.
  /// When that has ended and the websocket is gone without a close, the peer is told: 1000, or 1001 when the talk was
  /// asked to stop, or 1011 when it has thrown something else. A request that does not ask for that is answered with
  /// 426, one with a body with 400.
  template <class Talk>
    requires std::is_invocable_r_v<task<>, std::decay_t<Talk>&, websocket>
  [[nodiscard]] static http::response upgrade(const http::request& asked, Talk&& talk, websocket_options options = {}) {
    return upgrade_with(asked, std::function<task<>(websocket)>(std::forward<Talk>(talk)), options);
  }

  /// Awaits a message. Nothing when the peer has closed the connection in words; then close_code() says why. Throws
  /// `closed` when it is gone without, websocket_error when the peer broke the protocol (invalid UTF-8 above all; it is
  /// told), too_long, and what a stream's waits throw.
  [[nodiscard]] task<std::optional<websocket_message>> receive(time_limit limit = no_limit);
  /// Awaits until the system has taken the message, whose bytes must live until then. Text must be UTF-8, or the peer
  /// ends the connection.
  [[nodiscard]] task<> send(std::string_view text, time_limit limit = no_limit);
  [[nodiscard]] task<> send_binary(const_buffer bytes, time_limit limit = no_limit);
  /// Asks whether the peer is there; its answer comes to nobody, but keeps `silence` from ending the connection. As
  /// with send and close, one coroutine at a time; a second one gets std::logic_error.
  [[nodiscard]] task<> ping(time_limit limit = no_limit);
  /// Says that this is the end, awaits the peer's word for it, and closes the connection; what the peer sent before is
  /// dropped. `code`: 1000 for a normal end, others that may be sent in RFC 6455, 7.4. `reason`: at most 123 bytes.
  /// Other codes and longer reasons are refused with std::invalid_argument.
  [[nodiscard]] task<> close(std::uint16_t code = 1000, std::string reason = {},
                             time_limit limit = std::chrono::seconds(10));

  /// What the peer has given as its reason to close: 1005 for none, 0 while it has not.
  [[nodiscard]] std::uint16_t close_code() const;
  [[nodiscard]] std::string close_reason() const;
  [[nodiscard]] endpoint remote() const;
  [[nodiscard]] explicit operator bool() const noexcept { return body_ != nullptr; }

 private:
  explicit websocket(std::shared_ptr<detail::websocket_body> body) noexcept;
  static http::response upgrade_with(const http::request& asked, std::function<task<>(websocket)> talk,
                                     websocket_options options);
  static task<> talk_on(stream connection, const http::request& asked,
                        std::shared_ptr<std::function<task<>(websocket)>> talk, websocket_options options,
                        std::shared_ptr<const std::string> protocol);
  static task<websocket> connect_with(std::string url, websocket_options options, std::string protocol,
                                      std::optional<tls_context> trust);
  const std::shared_ptr<detail::websocket_body>& body() const;

  std::shared_ptr<detail::websocket_body> body_;
};

}  // namespace tutti::io
