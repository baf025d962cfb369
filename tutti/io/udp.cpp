#include <tutti/io/udp.hpp>

#include <tutti/base/error.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace tutti::io {
namespace {

void set(int socket, int level, int option, int value) { ::setsockopt(socket, level, option, &value, sizeof value); }

void check_ip(const endpoint& place, const char* what) {
  if (!place.is_ip())
    throw std::invalid_argument(
        fmt::format("{}: \"{}\" is not an IPv4 or IPv6 address with a port", what, place.text()));
}

// Number of a network interface; 0: the system's choice.
unsigned number_of(std::string_view interface, const char* what) {
  if (interface.empty()) return 0;
  const std::string name(interface);
  const unsigned number = name.find('\0') == std::string::npos ? ::if_nametoindex(name.c_str()) : 0;
  if (number == 0) throw os_error::of(fmt::format("{}: no network interface \"{}\"", what, interface), ENODEV);
  return number;
}

using detail::pinned;

// Calls `f()`, which does not wait, until it does not have to: gives its result. `tried()`: for errors.
template <class F, class Tried>
task<std::size_t> when_ready(const char* what, const pinned& socket, detail::readiness direction, time_limit limit,
                             F& f, Tried& tried) {
  detail::until end(limit);
  for (;;) {
    // Who always finds something to do must not keep others from their turn.
    if (socket->where().may_go_on()) {
      const ::ssize_t n = f(socket->descriptor());
      if (n >= 0) co_return static_cast<std::size_t>(n);
      const int error = errno;
      if (error == EINTR) continue;
      if (error == EBADF) throw closed(tried() + ": the socket was closed meanwhile");
      if (error != EAGAIN && error != EWOULDBLOCK) throw os_error::of(tried(), error);
    }
    co_await detail::ready_wait(what, socket.get(), direction, end.left());
  }
}

// The calls keep the socket, whatever becomes of the udp that they were made of.

task<> send_on(pinned socket, const_buffer bytes, endpoint to, const char* what, time_limit limit) {
  const bool named = to.family() != AF_UNSPEC;
  auto send_now = [&](int fd) {
    return ::sendto(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT, named ? to.data() : nullptr,
                    named ? to.size() : 0);
  };
  auto tried = [&] {
    return fmt::format("sending {} bytes from {}{}", bytes.size(), socket->local().text(),
                       named ? " to " + to.text() : "");
  };
  co_await when_ready(what, socket, detail::readiness::to_write, limit, send_now, tried);
}

task<datagram> receive_on(pinned socket, mutable_buffer room, const char* what, time_limit limit) {
  ::sockaddr_storage address{};
  ::socklen_t size = 0;
  auto* const from = reinterpret_cast<::sockaddr*>(&address);
  auto receive_now = [&](int fd) {
    size = sizeof address;
    // MSG_TRUNC: tells the whole size.
    return ::recvfrom(fd, room.data(), room.size(), MSG_TRUNC | MSG_DONTWAIT, from, &size);
  };
  auto tried = [&] { return "receiving at " + socket->local().text(); };
  const std::size_t whole = co_await when_ready(what, socket, detail::readiness::to_read, limit, receive_now, tried);
  co_return datagram{std::min(whole, room.size()), endpoint(from, size), whole > room.size()};
}

task<std::size_t> receive_whole(pinned socket, mutable_buffer room, const char* what, time_limit limit) {
  const datagram got = co_await receive_on(std::move(socket), room, what, limit);
  if (got.truncated)
    throw os_error::of(fmt::format("receiving from {}: a datagram has more than {} bytes", got.from.text(), got.size),
                       EMSGSIZE);
  co_return got.size;
}

}  // namespace

udp udp::make(const endpoint* at, const endpoint* peer, udp_options options) {
  const endpoint& named = at != nullptr ? *at : *peer;
  const char* const what = at != nullptr ? "udp::bind" : "udp::connected";
  const auto check = [&](bool fine) {
    if (!fine) throw os_error::of(fmt::format("{}: no socket for {}", what, named.text()), errno);
  };
  check_ip(named, what);
  unique_fd socket(::socket(named.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  check(static_cast<bool>(socket));
  if (options.reuse_address) set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.broadcast) set(socket.get(), SOL_SOCKET, SO_BROADCAST, 1);
  if (named.family() == AF_INET6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (at != nullptr) check(::bind(socket.get(), at->data(), at->size()) == 0);
  if (peer != nullptr) check(::connect(socket.get(), peer->data(), peer->size()) == 0);
  ::sockaddr_storage address{};
  ::socklen_t size = sizeof address;
  auto* const own = reinterpret_cast<::sockaddr*>(&address);
  check(::getsockname(socket.get(), own, &size) == 0);
  return udp(detail::make_descriptor_stream(std::move(socket), endpoint(own, size), what));
}

udp udp::bind(const endpoint& at, udp_options options) { return make(&at, nullptr, options); }
udp udp::connected(const endpoint& peer, udp_options options) { return make(nullptr, &peer, options); }

void udp::connect(const endpoint& peer) {
  check_ip(peer, "udp::connect");
  const int socket = body()->descriptor();
  if (::connect(socket, peer.data(), peer.size()) == 0) return;
  if (errno == EAFNOSUPPORT || errno == EINVAL)
    throw std::invalid_argument(
        fmt::format("udp::connect: {} cannot be reached from a socket at {}", peer.text(), local().text()));
  throw os_error::of("udp::connect: to " + peer.text(), errno);
}

detail::byte_stream* udp::body() const {
  if (body_ == nullptr) throw closed("the UDP socket was closed, or is none: it was never bound, or moved from");
  return body_.get();
}

endpoint udp::local() const { return body()->local(); }

task<> udp::send_to(const_buffer bytes, endpoint to, time_limit limit) {
  check_ip(to, "udp::send_to");
  return send_on(pinned("send_to", *body()), bytes, to, "send_to", limit);
}

task<datagram> udp::receive_from(mutable_buffer room, time_limit limit) {
  return receive_on(pinned("receive_from", *body()), room, "receive_from", limit);
}

task<> udp::send(const_buffer bytes, time_limit limit) {
  return send_on(pinned("send", *body()), bytes, {}, "send", limit);
}

task<std::size_t> udp::receive(mutable_buffer room, time_limit limit) {
  return receive_whole(pinned("receive", *body()), room, "receive", limit);
}

void udp::change_membership(int option, const char* what, const endpoint& group, std::string_view interface) {
  check_ip(group, what);
  ::group_req request{};
  request.gr_interface = number_of(interface, what);
  std::memcpy(&request.gr_group, group.data(), group.size());
  const int level = group.family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (::setsockopt(body()->descriptor(), level, option, &request, sizeof request) == 0) return;
  if (errno == EINVAL)
    throw std::invalid_argument(
        fmt::format("{}: {} is no multicast group, or not one of this socket's", what, group.host()));
  throw os_error::of(fmt::format("{}: {}", what, group.host()), errno);
}

void udp::join(const endpoint& group, std::string_view interface) {
  change_membership(MCAST_JOIN_GROUP, "udp::join", group, interface);
}

void udp::leave(const endpoint& group, std::string_view interface) {
  change_membership(MCAST_LEAVE_GROUP, "udp::leave", group, interface);
}

void udp::multicast_through(std::string_view interface) {
  const int number = static_cast<int>(number_of(interface, "udp::multicast_through"));
  const bool is_v4 = local().family() == AF_INET;
  ::ip_mreqn v4{};
  v4.imr_ifindex = number;
  const int done = is_v4 ? ::setsockopt(descriptor(), IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof v4)
                         : ::setsockopt(descriptor(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &number, sizeof number);
  if (done != 0) throw os_error::of(fmt::format("udp::multicast_through: \"{}\"", interface), errno);
}

}  // namespace tutti::io
