// handle_transfer: bytes with descriptors through a Unix socket: sendmsg and recvmsg with their control messages.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

namespace tutti::detail {

/// As sendmsg, which gives -1 and errno; never EINTR, never a signal. At most most_message_handles of them.
::ssize_t send_with_handles(int socket, const void* bytes, std::size_t size, std::span<const int> handles,
                            int flags) noexcept;
/// As recvmsg; never EINTR. `handles`: replaced by what came, close-on-exec; fewer than were sent when this process may
/// have no more.
::ssize_t receive_with_handles(int socket, void* bytes, std::size_t size, std::vector<unique_fd>& handles, int flags);
/// The numbers of what is to be sent, and `last` behind them, if it is one.
std::vector<int> numbers_of(std::span<const unique_fd> handles, int last = -1);

}  // namespace tutti::detail
