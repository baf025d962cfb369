// listener: a socket that others connect to.
#pragma once
#include <tutti/io/stream.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace tutti::io {

namespace detail {
class listening;
}

/// How to listen. Trivially destructible (see stop_ref).
struct listen_options {
  int backlog = 4096;       ///< connections that may wait to be accepted; the system has a limit of its own
  bool reuse_port = false;  ///< other sockets, of this user, may listen at the same port: the system shares connections
  int mode = 0600;          ///< the permissions of a Unix socket's file, whatever the umask
};

/// A socket that takes connections, in one coroutine at a time. It belongs to the loop that it was made on. Move-only;
/// destroying it closes it, on any thread, and removes a Unix socket's file.
class listener {
 public:
  /// None.
  listener() noexcept = default;
  listener(listener&& other) noexcept = default;
  listener& operator=(listener&& other) noexcept;
  ~listener() { close(); }
  /// Takes over a socket that listens already. Throws os_error for what is none, std::logic_error off a loop.
  [[nodiscard]] static listener adopt(unique_fd socket);

  /// Awaits a connection. While the process has no descriptors or memory for one (EMFILE, ENFILE, ENOMEM, ...) it waits
  /// for some to be free, and says so in the log. Small packets are sent at once (TCP_NODELAY). Throws `closed` when
  /// the listener was closed, os_error when the socket is of no use any more, else as a stream's waits. The listener
  /// may be moved or destroyed meanwhile.
  [[nodiscard]] task<stream> accept(time_limit limit = no_limit);
  /// Takes no more connections; who waits for one gets `closed`.
  void close() noexcept;

  [[nodiscard]] explicit operator bool() const noexcept { return body_ != nullptr; }
  /// Where it listens, with the port that it has: what others connect to. Throws `closed` without a socket.
  [[nodiscard]] endpoint local() const;
  /// For the system's calls; still owned. -1 without a socket.
  [[nodiscard]] int descriptor() const noexcept;
  /// For this module.
  [[nodiscard]] const std::shared_ptr<detail::listening>& body() const noexcept { return body_; }
  /// For this module.
  explicit listener(std::shared_ptr<detail::listening> body) noexcept : body_(std::move(body)) {}

 private:
  std::shared_ptr<detail::listening> body_;
};

/// Listens at an address: endpoint::parse says how to write it; port 0: one that is free, see listener::local. Throws
/// os_error when that is not to be had (EADDRINUSE, EACCES, ...), std::invalid_argument for a bad address,
/// std::logic_error off a loop. A file that a Unix socket of a program that is gone has left there is replaced.
[[nodiscard]] listener listen(const endpoint& at, listen_options options = {});
[[nodiscard]] inline listener listen(std::string_view at, listen_options options = {}) {
  return listen(endpoint::parse(at), options);
}

}  // namespace tutti::io
