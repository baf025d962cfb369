#include <tutti/io/endpoint.hpp>

#include <fmt/format.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace tutti::io {

namespace detail {

std::uint16_t parse_port(std::string_view digits, std::string_view whole) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error == std::errc() && end == digits.data() + digits.size() && !digits.empty()) return port;
  throw std::invalid_argument(
      fmt::format("address \"{}\": the port \"{}\" is not a number from 0 to 65535", whole, digits));
}

host_and_port split_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    throw std::invalid_argument(
        fmt::format("address \"{}\" has no port: write it behind a colon, \"{}:80\"", text, text));
  std::string_view host = text.substr(0, colon);
  const std::uint16_t port = parse_port(text.substr(colon + 1), text);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!host.empty() && host.find(':') == std::string_view::npos)
      throw std::invalid_argument(fmt::format("address \"{}\": brackets are for IPv6 addresses", text));
  } else if (host.find(':') != std::string_view::npos) {
    throw std::invalid_argument(
        fmt::format("address \"{}\": write an IPv6 address in brackets, \"[{}]:{}\"", text, host, port));
  }
  if (host.empty())
    throw std::invalid_argument(
        fmt::format("address \"{}\" has no host; for all addresses write \"*:{}\"", text, port));
  return {std::string(host), port};
}

}  // namespace detail

namespace {

endpoint unix_endpoint(std::string_view path, std::string_view whole) {
  ::sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const bool is_abstract = path.starts_with('@');
  // A path ends with a zero, an abstract name begins with one.
  if (path.size() <= (is_abstract ? 1U : 0U) || path.size() >= sizeof local.sun_path)
    throw std::invalid_argument(fmt::format("address \"{}\": the path has {} bytes; a Unix socket's has 1 to {}", whole,
                                            path.size(), sizeof local.sun_path - 1));
  if (path.find('\0') != std::string_view::npos)
    throw std::invalid_argument("address \"unix:...\": the path contains a zero byte");
  std::memcpy(local.sun_path, path.data(), path.size());
  if (is_abstract) local.sun_path[0] = '\0';
  const std::size_t size = offsetof(::sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1);
  return {reinterpret_cast<const ::sockaddr*>(&local), static_cast<::socklen_t>(size)};
}

}  // namespace

endpoint::endpoint() noexcept : size_(sizeof(::sa_family_t)), address_{} { address_.any.sa_family = AF_UNSPEC; }

endpoint::endpoint(const ::sockaddr* address, ::socklen_t size) noexcept : endpoint() {
  if (size < sizeof(::sa_family_t) || size > sizeof address_) return;
  std::memcpy(&address_, address, size);
  size_ = size;
}

endpoint endpoint::of(std::string_view address, std::uint16_t port) {
  const std::string text(address);
  const auto refuse = [&] { throw std::invalid_argument(fmt::format("\"{}\" is not an address in numbers", address)); };
  if (text.find('\0') != std::string::npos) refuse();
  if (text.find(':') == std::string::npos) {
    ::sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    // Four numbers: what getaddrinfo takes besides ("127.1", "0177.0.0.1") misleads who checks addresses.
    if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) != 1) refuse();
    return {reinterpret_cast<const ::sockaddr*>(&v4), sizeof v4};
  }
  // getaddrinfo reads zones too, and asks nobody when it is told that these are numbers.
  ::addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_family = AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  ::addrinfo* found = nullptr;
  if (::getaddrinfo(text.c_str(), nullptr, &hints, &found) != 0) refuse();
  endpoint result(found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  result.address_.v6.sin6_port = htons(port);
  return result;
}

endpoint endpoint::parse(std::string_view text) {
  if (text.starts_with("unix:")) return unix_endpoint(text.substr(5), text);
  const auto [host, port] = detail::split_port(text);
  if (host == "*") return of("::", port);
  if (host == "localhost") return of("127.0.0.1", port);
  try {
    return of(host, port);
  } catch (const std::invalid_argument&) {
    throw std::invalid_argument(fmt::format(
        "address \"{}\": \"{}\" is not an address in numbers (known besides: \"*\", \"localhost\", \"unix:/path\"); "
        "names of hosts are looked up by connect and resolve",
        text, host));
  }
}

std::uint16_t endpoint::port() const noexcept {
  if (family() == AF_INET) return ntohs(address_.v4.sin_port);
  return family() == AF_INET6 ? ntohs(address_.v6.sin6_port) : std::uint16_t{0};
}

std::string endpoint::host() const {
  char text[INET6_ADDRSTRLEN] = "";
  switch (family()) {
    case AF_INET: return ::inet_ntop(AF_INET, &address_.v4.sin_addr, text, sizeof text);
    case AF_INET6: {
      std::string host = ::inet_ntop(AF_INET6, &address_.v6.sin6_addr, text, sizeof text);
      char name[IF_NAMESIZE] = "";
      if (const auto zone = address_.v6.sin6_scope_id; zone != 0)
        host += '%' + (::if_indextoname(zone, name) != nullptr ? std::string(name) : std::to_string(zone));
      return host;
    }
    case AF_UNIX: {
      const std::size_t head = offsetof(::sockaddr_un, sun_path);
      if (size_ <= head) return "";
      const char* const path = address_.local.sun_path;
      if (path[0] != '\0') return {path, ::strnlen(path, size_ - head)};
      return '@' + std::string(path + 1, size_ - head - 1);
    }
    default: return "";
  }
}

std::string endpoint::text() const {
  switch (family()) {
    case AF_INET: return fmt::format("{}:{}", host(), port());
    case AF_INET6: return fmt::format("[{}]:{}", host(), port());
    case AF_UNIX: {
      const std::string path = host();
      return path.empty() ? "an unnamed socket" : "unix:" + path;
    }
    default: return "an unnamed socket";
  }
}

bool operator==(const endpoint& a, const endpoint& b) noexcept {
  return a.size_ == b.size_ && std::memcmp(&a.address_, &b.address_, a.size_) == 0;
}

}  // namespace tutti::io
