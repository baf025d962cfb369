#include <tutti/process/handle_transfer.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/above_streams.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>

namespace tutti::detail {

std::pair<unique_fd, unique_fd> connected_sockets(const char* what) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw os_error::of("cannot make a " + std::string(what), errno);
  return {above_streams(unique_fd(ends[0])), above_streams(unique_fd(ends[1]))};
}

::ssize_t send_with_handles(int socket, const void* bytes, std::size_t size, std::span<const int> handles,
                            int flags) noexcept {
  ::iovec part{const_cast<void*>(bytes), size};
  ::msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
  if (!handles.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(handles.size_bytes());
    ::cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(handles.size_bytes());
    std::memcpy(CMSG_DATA(rights), handles.data(), handles.size_bytes());
  }
  ::ssize_t n = 0;
  while ((n = ::sendmsg(socket, &header, flags | MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  return n;
}

namespace {

void take_over(::msghdr& header, std::vector<unique_fd>& handles) {
  // All have an owner before the vector grows, which may throw.
  std::array<unique_fd, most_message_handles> arrived;
  std::size_t count = 0;
  for (::cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t end = std::min(count + (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), arrived.size());
    for (const unsigned char* from = CMSG_DATA(c); count != end; ++count, from += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, from, sizeof fd);
      arrived[count].reset(fd);
    }
  }
  const auto last = arrived.begin() + static_cast<std::ptrdiff_t>(count);
  handles.assign(std::make_move_iterator(arrived.begin()), std::make_move_iterator(last));
}

}  // namespace

received receive_with_handles(int socket, void* bytes, std::size_t size, std::vector<unique_fd>& handles, int flags) {
  handles.clear();
  ::iovec part{bytes, size};
  alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
  ::msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ::ssize_t n = 0;
  while ((n = ::recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC)) < 0) {
    // ECONNRESET: the other side has ended with unread bytes in its queue. That is told before what waits in ours,
    // once.
    if (errno != EINTR && errno != ECONNRESET) return {n, false, false};
  }
  if (header.msg_controllen != 0) take_over(header, handles);
  return {n, (header.msg_flags & MSG_CTRUNC) != 0, (header.msg_flags & MSG_TRUNC) != 0};
}

std::vector<int> numbers_of(std::span<const unique_fd> handles, int last) {
  std::vector<int> numbers;
  numbers.reserve(handles.size() + 1);
  for (const unique_fd& one : handles) numbers.push_back(one.get());
  if (last >= 0) numbers.push_back(last);
  return numbers;
}

}  // namespace tutti::detail
