// message_socket: bytes and descriptors between two processes of one machine.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/handle_transfer.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// The most bytes of one message. More go into a memfd, whose descriptor is sent.
inline constexpr std::size_t most_message_bytes = 32 * 1024;

/// What arrived at once.
struct message {
  std::string bytes;
  std::vector<unique_fd> handles;
};

/// One end of a connection that keeps messages apart (SOCK_SEQPACKET). Both ends close at exec. send and receive are
/// each for one thread at a time.
class message_socket {
 public:
  message_socket() = default;
  explicit message_socket(unique_fd fd) noexcept : fd_(std::move(fd)) {}
  /// Two connected ends. Throws os_error.
  static std::pair<message_socket, message_socket> pair();

  /// Sends a message, whole; blocks while the other side's buffer is full. false: the other side is gone. Throws
  /// std::length_error beyond the two limits, os_error.
  bool send(std::string_view bytes, std::span<const int> handles = {});
  /// The next message; blocks. Nothing: the other side is gone, and all it had sent was read. Throws os_error, when
  /// there were no descriptors left for the message's own, too; decode_error for one that is too long.
  std::optional<message> receive();

  /// The descriptor, for poll; -1 when there is none.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  void close() noexcept { fd_.reset(); }

 private:
  unique_fd fd_;
};

}  // namespace tutti::detail
