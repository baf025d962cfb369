// endpoint: where a socket is: an Internet address with a port, or a path.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace tutti::io {

/// An IPv4 or IPv6 address with a port, or the place of a Unix socket. A value.
class endpoint {
 public:
  /// None: what an unnamed socket has.
  endpoint() noexcept;
  /// As the system knows it; `size`: of the part of `address` that counts.
  endpoint(const ::sockaddr* address, ::socklen_t size) noexcept;

  /// From "127.0.0.1:80", "[::1]:80", "*:80" (all addresses, IPv6 and IPv4), "localhost:80" (127.0.0.1), "unix:/path",
  /// "unix:@name" (Linux's abstract names). Asks no name server. Throws std::invalid_argument, which names what is
  /// wrong.
  [[nodiscard]] static endpoint parse(std::string_view text);
  /// From an address in numbers without brackets, "127.0.0.1" or "fe80::1%eth0", and a port. Throws
  /// std::invalid_argument when `address` is none.
  [[nodiscard]] static endpoint of(std::string_view address, std::uint16_t port);

  /// True for IPv4 and IPv6.
  [[nodiscard]] bool is_ip() const noexcept { return family() == AF_INET || family() == AF_INET6; }
  [[nodiscard]] bool is_unix() const noexcept { return family() == AF_UNIX; }
  /// AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.
  [[nodiscard]] int family() const noexcept { return address_.any.sa_family; }
  /// 0 when it has none.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// The address in numbers, or the path; "" when it has none.
  [[nodiscard]] std::string host() const;
  /// As parse takes it; "an unnamed socket" for none.
  [[nodiscard]] std::string text() const;

  /// For the system's calls.
  [[nodiscard]] const ::sockaddr* data() const noexcept { return &address_.any; }
  [[nodiscard]] ::socklen_t size() const noexcept { return size_; }

  friend bool operator==(const endpoint& a, const endpoint& b) noexcept;

 private:
  ::socklen_t size_;
  union {
    ::sockaddr any;
    ::sockaddr_in v4;
    ::sockaddr_in6 v6;
    ::sockaddr_un local;
  } address_;
};

namespace detail {
/// "host:port" or "[address]:port" in its two parts. Throws std::invalid_argument.
struct host_and_port {
  std::string host;
  std::uint16_t port;
};
[[nodiscard]] host_and_port split_port(std::string_view text);
/// A number from 0 to 65535. Throws std::invalid_argument; `whole`: what it is a part of.
[[nodiscard]] std::uint16_t parse_port(std::string_view digits, std::string_view whole);
}  // namespace detail

}  // namespace tutti::io
