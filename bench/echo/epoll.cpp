// epoll: the least that an echo server can do. One buffer for all: what the socket does not take at once is kept by its
// connection, which reads no more until it is gone.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "systems.hpp"

namespace bench::echo {

namespace {

int checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  return result;
}

struct connection {
  int fd;
  std::vector<char> left = {};  // read and not yet sent
  std::size_t sent = 0;         // of `left`
};

// Sends what it can of `data`; how much, or -1 when the other side is gone.
ssize_t send_some(int fd, const char* data, std::size_t size) {
  std::size_t sent = 0;
  while (sent < size) {
    const ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return -1;
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(sent);
}

// Echoes until the socket has nothing more or takes nothing more. False when the connection has ended.
bool serve(connection& c, std::vector<char>& buffer) {
  if (!c.left.empty()) {
    const ssize_t n = send_some(c.fd, c.left.data() + c.sent, c.left.size() - c.sent);
    if (n < 0) return false;
    c.sent += static_cast<std::size_t>(n);
    if (c.sent < c.left.size()) return true;
    c.left = {};
    c.sent = 0;
  }
  for (;;) {
    const ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got < 0) return true;
    const auto size = static_cast<std::size_t>(got);
    const ssize_t n = send_some(c.fd, buffer.data(), size);
    if (n < 0) return false;
    if (n < got) {
      c.left.assign(buffer.data() + n, buffer.data() + size);
      return true;
    }
    if (size < buffer.size()) return true;  // drained; what comes now is a new event (epoll(7))
  }
}

}  // namespace

void serve_epoll() {
  const int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  checked(bind(listener, reinterpret_cast<sockaddr*>(&address), length), "bind");
  checked(listen(listener, backlog), "listen");
  checked(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event wanted{EPOLLIN, {nullptr}};
  checked(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted), "epoll_ctl");
  announce(ntohs(address.sin_port));

  std::vector<char> buffer(65536);
  std::vector<epoll_event> events(256);
  const int on = 1;
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* c = static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (c != nullptr) {
        if (serve(*c, buffer)) continue;
        close(c->fd);
        delete c;
        continue;
      }
      for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_event both{EPOLLIN | EPOLLOUT | EPOLLET, {new connection{fd}}};
        checked(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &both), "epoll_ctl");
      }
    }
  }
}

}  // namespace bench::echo
