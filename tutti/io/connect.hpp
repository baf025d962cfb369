// connect: streams to others; resolve: where a name is.
#pragma once
#include <tutti/io/stream.hpp>
#include <tutti/io/until.hpp>

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
  time_limit limit = no_limit;  ///< for all of it: the name, and its addresses in turn
  bool no_delay = true;         ///< small packets are sent at once (TCP_NODELAY)
};

/// The addresses of a host, in the order of RFC 6724, as the system's resolver gives them (/etc/hosts, DNS); an address
/// in numbers gives itself. Awaits a helper thread: the loop is not blocked. Throws dns_error, which names the host and
/// the cause, also for what is no name, such as "127.1"; os_error (EMFILE, ENFILE) without a descriptor to ask with.
[[nodiscard]] task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port, time_limit limit = no_limit);

/// Connects to "example.org:80", "127.0.0.1:80", "[::1]:80", "unix:/path" or "unix:@name"; tries the addresses of a
/// name one after the other, each but the last for its share of the time that is left. Throws dns_error, os_error
/// (ECONNREFUSED, ...) of the last address, timed_out, std::invalid_argument for a bad address.
[[nodiscard]] task<stream> connect(std::string to, connect_options options = {});
/// The same to a place.
[[nodiscard]] task<stream> connect(endpoint to, connect_options options = {});
/// Two streams that are connected with each other: a pair of Unix sockets. Throws os_error.
[[nodiscard]] std::pair<stream, stream> stream_pair();

namespace detail {
/// To the first of some that takes it; there is one at least.
[[nodiscard]] task<stream> connect_to_one(std::vector<endpoint> places, until end, bool no_delay);
}  // namespace detail

}  // namespace tutti::io
