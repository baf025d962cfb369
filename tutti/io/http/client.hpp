// client: asks servers: connections that are kept, redirects, time limits.
#pragma once
#include <tutti/io/http/http_error.hpp>
#include <tutti/io/http/message.hpp>
#include <tutti/io/stream.hpp>
#include <tutti/io/tls.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::io::http {

/// How to ask. Trivially destructible.
struct client_options {
  int max_per_host = 8;  ///< connections to one host and port at once; more requests wait for one, in turn
  time_limit idle_limit = std::chrono::seconds(30);      ///< how long a connection is kept for the next one
  std::size_t max_idle = 256;                            ///< kept for all hosts together; the oldest go
  time_limit connect_limit = std::chrono::seconds(30);   ///< for a connection: its turn, the name, TLS
  time_limit head_limit = std::chrono::seconds(60);      ///< from the request's end to the answer's head
  time_limit progress_limit = std::chrono::seconds(30);  ///< in which some of a body must come or go
  time_limit total_limit = no_limit;                     ///< for all of it: redirects, and the body to its end
  std::size_t max_head = 65536;                          ///< bytes of an answer's head
  std::size_t max_body = std::size_t{64} << 20U;         ///< bytes of a body in memory
  int max_redirects = 10;                                ///< 0: redirects are answers like others
  bool allow_downgrade = false;                          ///< lets https redirect to http
  std::string_view user_agent = "tutti";                 ///< copied
};

/// What to ask for.
class client_request {
 public:
  client_request(std::string to, std::string how = "GET")  // NOLINT(google-explicit-constructor): a URL asks for it
      : method(std::move(how)), url(std::move(to)) {}

  std::string method;
  /// Absolute; a user and password in it are sent (Basic authentication).
  std::string url;
  /// More of them. Without those that say where the message ends, which are ignored.
  fields headers;
  std::string body;
  /// Writes the body in place of `body`, unless empty; called again when the request is sent again; stopped when an
  /// answer of 300 and above comes before it is through.
  body_source source;
  /// Of what `source` writes; nothing: in chunks.
  std::optional<std::uint64_t> size;
};

namespace detail {
struct open_answer;
struct dispose_of_answer {
  void operator()(open_answer* a) const noexcept;
};
struct client_state;
}  // namespace detail

/// An answer whose body is still to come. Its connection is taken by it until all of the body was read; letting it go
/// before closes that. Move-only.
class incoming {
 public:
  [[nodiscard]] int status() const noexcept;
  [[nodiscard]] const fields& headers() const noexcept;
  /// Where it came from, after redirects.
  [[nodiscard]] const std::string& url() const noexcept;
  /// How large the body is to be; nothing if the server does not say it.
  [[nodiscard]] std::optional<std::uint64_t> size() const noexcept;
  /// Awaits bytes of the body, at least one, puts them into `room` and gives their number; 0 at the end, or without
  /// room. Throws http_error, timed_out.
  [[nodiscard]] task<std::size_t> read_some(mutable_buffer room);
  /// Awaits the rest. Throws too_long when the whole has more than `most` bytes, else as read_some.
  [[nodiscard]] task<std::string> read_all(std::size_t most);
  /// Throws http_error for a status of 400 and above, as response::throw_if_error.
  void throw_if_error() const;
  /// The connection, after status 101: for who speaks something else than HTTP on it from then on. Once. Throws
  /// std::logic_error after other answers.
  [[nodiscard]] stream takeover();

  /// For this module.
  explicit incoming(detail::open_answer* a) noexcept : answer_(a) {}
  detail::open_answer& answer() noexcept { return *answer_; }

 private:
  std::unique_ptr<detail::open_answer, detail::dispose_of_answer> answer_;
};

/// Asks servers for things. Keeps connections for the next request to the same host; used by any number of coroutines,
/// all on the loop that it was first used on: elsewhere its requests throw std::logic_error, so a server of several
/// loops has one for each. What is under way goes on without it. A copy shares the connections. Without free
/// descriptors it lets go of connections that it keeps.
///
/// Redirects are followed: 303, and 301 and 302 after POST, with a GET without body, others with the same request; to
/// another host without Authorization and Cookie. A request that changes nothing if it is sent twice (GET, HEAD, PUT,
/// DELETE, OPTIONS, TRACE) is sent once more when the kept connection for it turns out to be dead before any answer
/// came.
///
/// All throw http_error when there is no answer, which names the URL and the phase; timed_out and too_long, whose text
/// does; std::invalid_argument for a bad URL or method; `cancelled`. An answer that says that something failed is an
/// answer: see response::throw_if_error.
class client {
 public:
  /// `trust`: for https; by default tls_context(), the system's authorities. Throws std::invalid_argument for options
  /// that make no sense.
  explicit client(const client_options& options = {}, std::optional<tls_context> trust = std::nullopt);

  [[nodiscard]] task<response> get(std::string url);
  /// `type`: the Content-Type.
  [[nodiscard]] task<response> post(std::string url, std::string body, std::string type);
  [[nodiscard]] task<response> request(client_request what);
  /// Gives the answer as soon as its head is there.
  [[nodiscard]] task<incoming> open(client_request what);
  /// How many connections are kept and not in use.
  [[nodiscard]] std::size_t idle_connections() const noexcept;

 private:
  std::shared_ptr<detail::client_state> state_;
};

}  // namespace tutti::io::http
