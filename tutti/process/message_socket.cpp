#include <tutti/process/message_socket.hpp>

#include <tutti/base/error.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace tutti::detail {

std::pair<message_socket, message_socket> message_socket::pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw os_error::of("cannot make a socket", errno);
  return {message_socket(unique_fd(ends[0])), message_socket(unique_fd(ends[1]))};
}

bool message_socket::send(std::string_view bytes, std::span<const int> handles) {
  if (bytes.size() > most_message_bytes || bytes.empty() || handles.size() > most_message_handles) {
    throw std::length_error("message_socket: a message of " + std::to_string(bytes.size()) + " bytes and " +
                            std::to_string(handles.size()) + " descriptors; the limits are 1 to " +
                            std::to_string(most_message_bytes) + " and " + std::to_string(most_message_handles));
  }
  ::iovec part{const_cast<char*>(bytes.data()), bytes.size()};
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
  for (;;) {
    if (::sendmsg(fd_.get(), &header, MSG_NOSIGNAL) >= 0) return true;
    if (errno == EPIPE || errno == ECONNRESET) return false;
    if (errno != EINTR) throw os_error::of("cannot send to another process", errno);
  }
}

std::optional<message> message_socket::receive() {
  message result;
  result.bytes.resize(most_message_bytes);
  ::iovec part{result.bytes.data(), result.bytes.size()};
  alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
  ::msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ::ssize_t size = 0;
  while ((size = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == ECONNRESET) return std::nullopt;
    if (errno != EINTR) throw os_error::of("cannot receive from another process", errno);
  }
  for (::cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      result.handles.emplace_back(fd);
    }
  }
  if (size == 0) return std::nullopt;  // no message is empty
  if ((header.msg_flags & MSG_CTRUNC) != 0)
    throw os_error::of("cannot take over the descriptors another process sent", EMFILE);
  result.bytes.resize(static_cast<std::size_t>(size));
  return result;
}

}  // namespace tutti::detail
