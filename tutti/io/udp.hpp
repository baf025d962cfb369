// udp: datagrams: each arrives whole, perhaps not at all, in any order.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/buffers.hpp>
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/io_wait.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <string_view>

namespace tutti::io {

/// How to make a UDP socket. Trivially destructible (see stop_ref).
struct udp_options {
  bool reuse_port = false;     ///< other sockets, of this user, may have the same port: the system shares datagrams out
  bool reuse_address = false;  ///< other sockets may have the same port: each gets all datagrams of a multicast group
  bool broadcast = false;      ///< may send to broadcast addresses
};

/// What udp::receive_from gives.
struct datagram {
  std::size_t size = 0;    ///< bytes in the room; a datagram may have none
  endpoint from;           ///< who sent it
  bool truncated = false;  ///< it had more bytes than the room; they are lost
};

/// A socket for datagrams over IPv4 or IPv6. One coroutine at a time may wait to receive, and one to send; a second one
/// gets std::logic_error. It belongs to the loop that it was made on. Buffers must live until the call has ended. A
/// wait that is cancelled or times out has received, or sent, nothing.
///
/// All waits throw `cancelled` when the task is asked to stop; timed_out after `limit`; `closed` when it was closed
/// meanwhile; os_error for what the system says: EMSGSIZE for a datagram that is too long (65507 bytes over IPv4 are
/// the most), ECONNREFUSED when it is connected and nobody was there for an earlier one, ... The socket is of further
/// use then. Move-only; destroying it closes it.
class udp {
 public:
  /// None.
  udp() noexcept = default;
  /// A socket at an address of this machine; endpoint::parse says how to write it; port 0: one that is free. Throws
  /// os_error when that is not to be had, std::invalid_argument for a bad address, std::logic_error off a loop.
  [[nodiscard]] static udp bind(const endpoint& at, udp_options options = {});
  [[nodiscard]] static udp bind(std::string_view at, udp_options options = {}) {
    return bind(endpoint::parse(at), options);
  }
  /// A socket at a free port that is connected, as by connect. Throws the same.
  [[nodiscard]] static udp connected(const endpoint& peer, udp_options options = {});
  [[nodiscard]] static udp connected(std::string_view peer, udp_options options = {}) {
    return connected(endpoint::parse(peer), options);
  }
  /// From now on it sends to `peer` and receives from it only, and is told when nobody is there. Does not wait. Throws
  /// os_error, std::invalid_argument for another family of addresses.
  void connect(const endpoint& peer);

  /// Awaits until the system has taken a datagram for `to`.
  [[nodiscard]] task<> send_to(const_buffer bytes, endpoint to, time_limit limit = no_limit);
  /// Awaits a datagram.
  [[nodiscard]] task<datagram> receive_from(mutable_buffer room, time_limit limit = no_limit);
  /// The same as send_to with the peer that it is connected with; without one, os_error (EDESTADDRREQ).
  [[nodiscard]] task<> send(const_buffer bytes, time_limit limit = no_limit);
  /// Awaits a datagram and gives the number of its bytes in `room`. Throws os_error (EMSGSIZE) when it had more.
  [[nodiscard]] task<std::size_t> receive(mutable_buffer room, time_limit limit = no_limit);

  /// Receives, from now on, what is sent to a multicast group, at this socket's port; `interface`: the network
  /// interface there, "eth0", or the system's choice. Throws os_error, std::invalid_argument for what is no group.
  void join(const endpoint& group, std::string_view interface = {});
  /// No longer.
  void leave(const endpoint& group, std::string_view interface = {});
  /// Sends to multicast groups through that network interface. Throws os_error.
  void multicast_through(std::string_view interface);

  /// Closes it; what waits for it gets `closed`.
  void close() noexcept { body_.reset(); }
  [[nodiscard]] explicit operator bool() const noexcept { return body_ != nullptr; }
  /// Where it is, with the port that it has. Throws `closed` without a socket.
  [[nodiscard]] endpoint local() const;
  /// For the system's calls, such as setsockopt; still owned.
  [[nodiscard]] int descriptor() const noexcept { return body_ == nullptr ? -1 : body_->descriptor(); }

 private:
  explicit udp(detail::byte_stream_ptr body) noexcept : body_(std::move(body)) {}
  static udp make(const endpoint* at, const endpoint* peer, udp_options options);
  void change_membership(int option, const char* what, const endpoint& group, std::string_view interface);
  detail::byte_stream* body() const;

  detail::byte_stream_ptr body_;
};

}  // namespace tutti::io
