// client_state: what a client's requests share, and one request under way.
#pragma once
#include <tutti/io/http/client.hpp>
#include <tutti/io/http/pool.hpp>
#include <tutti/io/http/url.hpp>
#include <tutti/io/until.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <string>

namespace tutti::io::http::detail {

struct client_state {
  client_options options;
  std::string user_agent;
  std::optional<tls_context> trust;
  std::shared_ptr<pool> connections;
};

/// An answer whose head is there.
struct open_answer {
  lease place;
  message_head head;
  body_reader body;
  std::string method, url;
  io::detail::until total{no_limit};
  bool reusable = true;

  task<std::size_t> read(mutable_buffer room);
  /// The body is over: the next request may have the connection.
  void finished();
};

/// Sends a request, and again where it is redirected.
task<incoming> open(std::shared_ptr<client_state> state, client_request what);

/// Throws `failed` in the words of a client: http_error, timed_out, too_long, or as it is.
[[noreturn]] void throw_named(const std::exception_ptr& failed, const std::string& method, const std::string& url,
                              const char* phase, int status);

}  // namespace tutti::io::http::detail
