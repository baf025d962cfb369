// message: requests as a server gets them, and responses as it gives and a client gets them.
#pragma once
#include <tutti/io/endpoint.hpp>
#include <tutti/io/http/body.hpp>
#include <tutti/io/http/fields.hpp>
#include <tutti/io/http/parser.hpp>
#include <tutti/io/stream.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::io::http {

namespace detail {
class route_table;
class session;
}  // namespace detail

/// What a client asks for. Given to a handler, whose own it is until it has ended.
class request {
 public:
  request() = default;
  request(const request&) = delete;
  request& operator=(const request&) = delete;

  /// "GET", "POST", ...: case counts.
  [[nodiscard]] const std::string& method() const noexcept { return head_.method; }
  /// What was asked for, as it was sent: path and query.
  [[nodiscard]] const std::string& target() const noexcept { return head_.target; }
  /// The path, as it was sent: percent-encoded.
  [[nodiscard]] std::string_view path() const noexcept { return path_; }
  /// The header Host, or what an absolute target has in its place; "" in HTTP/1.0 without one.
  [[nodiscard]] std::string_view host() const noexcept { return host_; }
  /// 10 or 11: HTTP/1.0 or HTTP/1.1.
  [[nodiscard]] int version() const noexcept { return head_.version; }
  [[nodiscard]] const fields& headers() const noexcept { return head_.headers; }

  /// What stands in the path for {name} in the route's pattern, decoded. Throws std::out_of_range when the pattern has
  /// no such part.
  [[nodiscard]] const std::string& param(std::string_view name) const;
  /// The first value of that name in the query, decoded; nothing if there is none.
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const;
  /// All of the query, decoded, in order.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& queries() const;

  /// The body, to be read in pieces: at most serve_options::max_body bytes, or as body().limit says.
  [[nodiscard]] body_reader& body() noexcept { return body_; }
  /// Awaits the body and gives it; a body of more than `most` bytes, or in the second form of more than
  /// serve_options::max_body, is refused with 413 unless the handler catches too_long.
  [[nodiscard]] task<std::string> read_body(std::size_t most) { return body_.read_all(most); }
  [[nodiscard]] task<std::string> read_body() { return body_.read_all(most_body_); }

  /// The peer's place.
  [[nodiscard]] const endpoint& remote() const noexcept { return remote_; }

 private:
  friend class detail::route_table;
  friend class detail::session;
  void begin(std::size_t most_body);
  void split_target();

  detail::message_head head_;
  body_reader body_;
  endpoint remote_;
  std::size_t most_body_ = 0;
  std::string_view path_, query_, host_;  // of head_
  std::string absolute_;                  // path and query, when the target was a whole URL
  std::vector<std::pair<std::string_view, std::string>> params_;
  mutable std::optional<std::vector<std::pair<std::string, std::string>>> queries_;
};

/// What a server answers. A value; its constructors stand for the usual ones.
class response {
 public:
  /// 200 without a body.
  response() = default;
  explicit response(int code) : status(code) {}
  /// `type`: the Content-Type.
  response(int code, std::string text, std::string_view type = "text/plain; charset=utf-8")
      : status(code), body(std::move(text)) {
    headers.add("Content-Type", type);
  }
  /// 200.
  response(std::string text)  // NOLINT(google-explicit-constructor): a handler may return a text
      : response(200, std::move(text)) {}
  response(const char* text)  // NOLINT(google-explicit-constructor): a handler may return a text
      : response(200, text) {}
  /// One whose body `source` writes while it is sent: in chunks, or, for peers of HTTP/1.0, until the connection ends.
  /// `size`: how many bytes there will be, if that is known. When `source` throws, or writes more or less than that,
  /// the connection ends within the body. It runs when the handler has ended, whose variables are gone; the request is
  /// still there.
  [[nodiscard]] static response stream(body_source source, std::string_view type = "application/octet-stream",
                                       std::optional<std::uint64_t> size = {}) {
    response made;
    made.source = std::move(source);
    made.size = size;
    made.headers.add("Content-Type", type);
    return made;
  }
  /// One that sends the client on to another URL. Throws std::invalid_argument for a URL with line ends.
  [[nodiscard]] static response redirect(std::string_view to, int code = 302) {
    response made(code);
    made.headers.add("Location", to);
    return made;
  }

  int status = 200;
  /// Without those that say where the message ends, which are ignored here: Content-Length, Transfer-Encoding. With
  /// "Connection: close" the connection ends after it.
  fields headers;
  std::string body;
  body_source source;                 ///< writes the body in place of `body`, unless empty
  std::optional<std::uint64_t> size;  ///< of what `source` writes
  /// Has the connection from then on, in place of an answer: another protocol goes on there (see websocket). For its
  /// end the connection waits, and is closed then.
  std::function<task<>(io::stream, const request&)> takeover;
  std::string method, url;  ///< a client's: what was asked for in the end, and where, after redirects

  /// Whether it is one of 200 to 299.
  [[nodiscard]] bool ok() const noexcept { return status >= 200 && status < 300; }
  /// A client's: throws http_error for 400 and above: "GET http://example.org/: answered: 404 Not Found".
  void throw_if_error() const;
};

/// Thrown out of a handler: the request is answered with that status, and nothing goes to on_unhandled. The connection
/// goes on as after any other answer.
class status_error : public error {
 public:
  /// `status`: 400 to 599. `text`: the answer's body; by default the status in words. Throws std::invalid_argument for
  /// another status.
  explicit status_error(int status, std::string text = {});
  [[nodiscard]] int status() const noexcept { return status_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  int status_;
  std::string text_;
};

/// "Not Found" for 404; "" for those that nobody has named.
[[nodiscard]] std::string_view reason(int status) noexcept;

}  // namespace tutti::io::http
