// connect: streams to others; resolve: where a name is.
#pragma once
#include <tutti/io/stream.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::io {

/// A name was not found, or who knows it could not be asked.
class dns_error : public error {
 public:
  explicit dns_error(const std::string& what, bool is_transient = false) : error(what), transient_(is_transient) {}
  /// Whether nobody has said that there is no such name: another attempt may find it.
  [[nodiscard]] bool is_transient() const noexcept { return transient_; }

 private:
  bool transient_;
};

/// How to connect. Trivially destructible (see stop_ref).
struct connect_options {
  std::chrono::nanoseconds limit = no_limit;  ///< for all of it: the name, and each of its addresses in turn
  bool no_delay = true;                       ///< small packets are sent at once (TCP_NODELAY)
};

/// The addresses of a host, in the order of RFC 6724, as the system's resolver gives them (/etc/hosts, DNS); an address
/// in numbers gives itself. Awaits a helper thread: the loop is not blocked. Throws dns_error, which names the host and
/// the cause.
[[nodiscard]] task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                                  std::chrono::nanoseconds limit = no_limit);

/// Connects to "example.org:80", "127.0.0.1:80", "[::1]:80", "unix:/path" or "unix:@name"; tries the addresses of a
/// name one after the other. Throws dns_error, os_error (ECONNREFUSED, ...) of the last address, timed_out,
/// std::invalid_argument for a bad address.
[[nodiscard]] task<stream> connect(std::string to, connect_options options = {});
/// The same to a place.
[[nodiscard]] task<stream> connect(endpoint to, connect_options options = {});
/// Two streams that are connected with each other: a pair of Unix sockets. Throws os_error.
[[nodiscard]] std::pair<stream, stream> stream_pair();

}  // namespace tutti::io
