// parser: the messages of one peer, from memory: heads, and the bytes of their bodies.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/io/buffers.hpp>
#include <tutti/io/http/fields.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

namespace tutti::io::http {

/// What a peer sent is not HTTP/1.1, or could be read in two ways; what() says what is wrong with it.
class bad_message : public error {
 public:
  bad_message(const std::string& what, int status) : error(what), status_(status) {}
  /// What a server answers to it: 400, 417, 431 or 501.
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

namespace detail {

/// How the end of a body is known.
enum class framing : std::uint8_t { none, length, chunked, to_end };

/// What stands before a body.
struct message_head {
  std::string method, target;  ///< of a request
  int status = 0;              ///< of a response
  int version = 11;            ///< 10 or 11
  fields headers;
  framing body = framing::none;
  std::uint64_t length = 0;  ///< of a body with framing::length
  bool keep_alive = false;
  bool expects_continue = false;
};

/// Reads one message after the other. Strict where a difference between two readers could be used to smuggle in a
/// message: see head(). Uses no other memory than what it is given and what a head needs.
class parser {
 public:
  enum class of : std::uint8_t { requests, responses };
  /// `most`: bytes that a head, a chunk's beginning or a trailer may have.
  parser(of what, std::size_t most);
  ~parser();
  parser(const parser&) = delete;
  parser& operator=(const parser&) = delete;

  /// A new message is to be read. `answers_head`: a response without a body, whatever its head says of one.
  void begin(bool answers_head = false);

  struct step {
    std::size_t used = 0;   ///< bytes that are done with: the next call has those behind them
    std::size_t put = 0;    ///< bytes of the body
    bool complete = false;  ///< the head, or the body, is
  };
  /// Reads the head from `bytes`; what it has of it is in `into`. Throws bad_message for all that RFC 9112 forbids, and
  /// for: folded lines; Transfer-Encoding with Content-Length, in HTTP/1.0, or other than "chunked"; lengths that
  /// differ; requests of HTTP/1.1 without one Host.
  step head(std::string_view bytes, message_head& into);
  /// Reads the body from `bytes` into `room`, which is not empty. Throws bad_message.
  step body(std::string_view bytes, mutable_buffer room);
  /// How many bytes of a body with a length, or that ends with the connection, are still to come: they may be read past
  /// the parser, which is told by `skip`. 0 for other bodies.
  [[nodiscard]] std::uint64_t plain_left() const noexcept { return plain_left_; }
  void skip(std::uint64_t bytes) noexcept;
  /// Whether the message is over.
  [[nodiscard]] bool is_complete() const noexcept { return complete_; }
  /// No more bytes will come. Throws `closed` when the message is not over.
  void end();

  /// The plain_left of a body that ends with the connection.
  static constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();

 private:
  struct machine;
  template <bool Requests>
  struct machine_of;
  std::unique_ptr<machine> machine_;
  const std::size_t most_;
  std::size_t head_size_ = 0;
  std::uint64_t plain_left_ = 0;
  framing body_ = framing::none;
  bool complete_ = true;
};

}  // namespace detail
}  // namespace tutti::io::http
