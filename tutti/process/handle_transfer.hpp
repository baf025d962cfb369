// handle_transfer: bytes with descriptors through a Unix socket: sendmsg and recvmsg with their control messages.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tutti::detail {

/// The most descriptors of one message.
inline constexpr std::size_t most_message_handles = 250;  // the kernel takes 253

/// Two connected ends that keep messages apart (SOCK_SEQPACKET) and close at exec. Throws os_error, which says that
/// `what` cannot be made.
std::pair<unique_fd, unique_fd> connected_sockets(const char* what);

/// As sendmsg, which gives -1 and errno; never EINTR, never a signal. At most most_message_handles of them.
::ssize_t send_with_handles(int socket, const void* bytes, std::size_t size, std::span<const int> handles,
                            int flags) noexcept;
/// What receive_with_handles gives.
struct received {
  ::ssize_t size;     ///< as recvmsg's: -1, and errno says why
  bool handles_lost;  ///< fewer came than were sent: this process may have no more
  bool cut;           ///< the message was longer than there was room
};

/// As recvmsg; never EINTR or ECONNRESET: the end is size 0, after all that was sent. `handles`: replaced by what came,
/// close-on-exec.
received receive_with_handles(int socket, void* bytes, std::size_t size, std::vector<unique_fd>& handles, int flags);
/// The numbers of what is to be sent, and `last` behind them, if it is one.
std::vector<int> numbers_of(std::span<const unique_fd> handles, int last = -1);

}  // namespace tutti::detail
