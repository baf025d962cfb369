#include "load.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>

#include "../harness/clock.hpp"
#include "../harness/harness.hpp"
#include "../harness/machine.hpp"
#include "../harness/server.hpp"

namespace bench::echo {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("the echo clients: " + what); }
[[noreturn]] void fail_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

// Random bytes; each message is another stretch of them.
constexpr std::size_t starts = 4096;
std::vector<char> noise(std::size_t size) {
  std::vector<char> made(size + starts);
  std::mt19937 random(1);
  for (char& b : made) b = static_cast<char>(random());
  return made;
}

// Messages above this are not read by the clients, but dropped by the kernel (MSG_TRUNC), except every 16th: clients
// that take longer than the server would be what is measured.
constexpr std::size_t always_read = 4096;

struct client {
  int fd = -1;
  std::size_t number = 0;  // of its messages so far
  std::size_t start = 0;   // of this message, in the noise
  std::size_t sent = 0, received = 0;
  double began = 0;
};

class crowd {
 public:
  crowd(const target& to, std::size_t clients, std::size_t size)
      : to_(to), size_(size), noise_(noise(size)), buffer_(65536), events_(256), clients_(clients) {
    pin(to.cpu);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail_errno("epoll_create1");
  }
  ~crowd() {
    for (client& c : clients_) {
      if (c.fd >= 0) close(c.fd);
    }
    close(epoll_);
  }
  crowd(const crowd&) = delete;
  crowd& operator=(const crowd&) = delete;

  std::vector<client>& clients() { return clients_; }
  bool checks_all = true;

  // Opens a connection for `c`. Many short ones would use up the ports of one address, so they come from many.
  void connect(client& c) {
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c.fd < 0) fail_errno("socket");
    const int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);  // a port is free if it is for this server
    constexpr std::uint32_t sources = 250;
    sockaddr_in address = loopback(1 + static_cast<std::uint32_t>(opened_++) % sources, 0);
    if (bind(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail_errno("bind");
    address = loopback(0, to_.port);
    // The handshake ends within this call, as the other side of it is the kernel: the queue has room for all.
    if (::connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail_errno("connect");
    epoll_event wanted{EPOLLIN | EPOLLOUT | EPOLLET, {&c}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &wanted) != 0) fail_errno("epoll_ctl");
  }

  // Begins the next message.
  void begin(client& c) {
    ++c.number;
    c.start = c.number * 61 % starts;
    c.sent = c.received = 0;
    c.began = now_ns();
    send_more(c);
  }

  // Waits for events and serves their clients; calls `done` for each that has its whole message back.
  template <class Done>
  void turn(Done&& done) {
    const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), patience_ms);
    if (count == 0) fail("nothing came back for 5 s");
    for (int i = 0; i < count; ++i) {
      client& c = *static_cast<client*>(events_[static_cast<std::size_t>(i)].data.ptr);
      if (c.sent < size_) send_more(c);
      if (receive_more(c)) done(c);
    }
  }

  // Waits for the messages under way, closes, and waits for the server to close: it must not do that in another's time.
  void finish() {
    auto waits = [this](const client& c) { return c.received < size_; };
    while (std::any_of(clients_.begin(), clients_.end(), waits)) turn([](client&) {});
    for (client& c : clients_) shutdown(c.fd, SHUT_WR);
    for (client& c : clients_) {
      pollfd ended{c.fd, POLLIN, 0};
      if (poll(&ended, 1, patience_ms) == 1 && recv(c.fd, buffer_.data(), 1, MSG_DONTWAIT) == 0) continue;
      fail("the server did not close a connection that its client had closed");
    }
  }

 private:
  static constexpr int patience_ms = 5000;

  static sockaddr_in loopback(std::uint32_t host, int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }

  void send_more(client& c) {
    while (c.sent < size_) {
      const ssize_t n = send(c.fd, noise_.data() + c.start + c.sent, size_ - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) fail_errno("send");
      c.sent += static_cast<std::size_t>(n);
    }
  }

  // True when that completes the message.
  bool receive_more(client& c) {
    if (c.received == size_) return false;
    const bool read = size_ <= always_read || checks_all || c.number % 16 == 0;
    while (c.received < size_) {
      // One byte more than may come: an echo that is too long is seen.
      const std::size_t room = read ? std::min(buffer_.size(), size_ - c.received + 1) : size_ - c.received;
      const ssize_t n = recv(c.fd, buffer_.data(), room, MSG_DONTWAIT | (read ? 0 : MSG_TRUNC));
      if (n < 0 && errno == EAGAIN) return false;
      if (n < 0) fail_errno("recv");
      if (n == 0) fail("the server closed a connection");
      const auto got = static_cast<std::size_t>(n);
      if (got > c.sent - c.received) fail("more came back than was sent");
      if (read && std::memcmp(buffer_.data(), noise_.data() + c.start + c.received, got) != 0)
        fail("other bytes came back than were sent");
      c.received += got;
      if (got < room && c.received < size_) return false;  // drained; what comes now is a new event (epoll(7))
    }
    return true;
  }

  target to_;
  std::size_t size_;
  const std::vector<char> noise_;
  std::vector<char> buffer_;
  std::vector<epoll_event> events_;
  std::vector<client> clients_;
  int epoll_ = -1;
  std::size_t opened_ = 0;
};

struct span {
  double seconds, server_cpu;
};

// Calls `turn(false)` until `warm`, then `turn(true)` for `seconds`.
template <class Warm, class Turn>
span watch(const target& to, double seconds, Warm&& warm, Turn&& turn) {
  const double start = now_ns();
  while (now_ns() - start < seconds * 0.25e9 || !warm()) turn(false);
  const double cpu = cpu_seconds(to.pid), from = now_ns();
  double now = from;
  for (; now - from < seconds * 1e9; now = now_ns()) turn(true);
  return {(now - from) * 1e-9, cpu_seconds(to.pid) - cpu};
}

}  // namespace

std::vector<double> exchange(const target& to, std::size_t connections, std::size_t size, double seconds) {
  crowd all(to, connections, size);
  for (client& c : all.clients()) all.connect(c);
  for (client& c : all.clients()) all.begin(c);
  std::vector<double> times;
  times.reserve(static_cast<std::size_t>(seconds * 1e6));
  std::size_t had_none = connections;
  auto warm = [&] { return had_none == 0; };
  const span taken = watch(to, seconds, warm, [&](bool counts) {
    all.checks_all = !counts;
    all.turn([&](client& c) {
      if (counts) times.push_back((now_ns() - c.began) * 1e-3);
      if (c.number == 1) --had_none;
      all.begin(c);
    });
  });
  all.finish();
  if (times.empty()) fail("no message came back in time");
  const auto count = static_cast<double>(times.size());
  return {count / taken.seconds, quantile(times, 0.5), quantile(times, 0.99), taken.server_cpu * 1e6 / count};
}

std::vector<double> reconnect(const target& to, std::size_t clients, double seconds) {
  constexpr std::size_t size = 64;
  crowd all(to, clients, size);
  for (client& c : all.clients()) {
    all.connect(c);
    all.begin(c);
  }
  std::size_t total = 0, counted = 0;
  auto warm = [&] { return total > clients; };
  const span taken = watch(to, seconds, warm, [&](bool counts) {
    all.turn([&](client& c) {
      ++total;
      counted += counts ? 1 : 0;
      close(c.fd);
      all.connect(c);
      all.begin(c);
    });
  });
  all.finish();
  if (counted == 0) fail("no message came back in time");
  const auto count = static_cast<double>(counted);
  return {count / taken.seconds, taken.server_cpu * 1e6 / count};
}

std::vector<double> idle_memory(const target& to, std::size_t connections) {
  constexpr std::size_t first = 100;  // they set up what is shared
  crowd all(to, first + connections, 64);
  long before = 0;
  for (std::size_t i = 0; i < all.clients().size(); ++i) {
    if (i == first) before = memory_of(to.pid).share_kib;
    client& c = all.clients()[i];
    all.connect(c);
    all.begin(c);
    for (bool back = false; !back;) all.turn([&](client&) { back = true; });
  }
  return {static_cast<double>(memory_of(to.pid).share_kib - before) * 1024 / static_cast<double>(connections)};
}

}  // namespace bench::echo
