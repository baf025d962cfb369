// tcp_proxy: stands between a client and a server of a test, and does to their connections what networks do.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// A proxy on loopback, in a thread of its own. Thread-safe.
class tcp_proxy {
 public:
  static constexpr std::int64_t never = INT64_MAX;

  /// `target`: the server's port on loopback.
  explicit tcp_proxy(int target) : target_(target) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::sockaddr_in here = address(0);
    ::socklen_t size = sizeof here;
    if (::bind(listener_.get(), reinterpret_cast<const ::sockaddr*>(&here), sizeof here) != 0) std::abort();
    if (::listen(listener_.get(), 128) != 0) std::abort();
    if (::getsockname(listener_.get(), reinterpret_cast<::sockaddr*>(&here), &size) != 0) std::abort();
    port_ = ntohs(here.sin_port);
    changed_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~tcp_proxy() {
    thread_.request_stop();
    poke();
  }
  tcp_proxy(const tcp_proxy&) = delete;
  tcp_proxy& operator=(const tcp_proxy&) = delete;

  int port() const { return port_; }
  /// Connections stay open, and nothing passes; or all goes on.
  void stall(bool on = true) {
    stalled_ = on;
    poke();
  }
  /// New connections are ended at once; or no more.
  void refuse(bool on = true) {
    refused_ = on;
    poke();
  }
  /// Ends all that are open.
  void drop() {
    drop_ = true;
    poke();
  }
  /// When so many more bytes have gone to the server, all connections end, once.
  void cut_after(std::int64_t bytes) { to_server_ = bytes; }
  /// The same for bytes that come back from it.
  void cut_answers_after(std::int64_t bytes) { to_client_ = bytes; }
  /// How often connections were ended by one of the two.
  int cuts() const { return cuts_; }
  /// Bytes that have gone to the server.
  std::int64_t passed() const { return passed_; }

 private:
  struct pair {
    tutti::unique_fd client, server;
    bool ended = false;
  };

  static ::sockaddr_in address(int port) {
    ::sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(port));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return where;
  }
  void poke() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ::ssize_t n = ::write(changed_.get(), &one, sizeof one);
  }

  void run(const std::stop_token& stop) {
    std::list<pair> pairs;
    while (!stop.stop_requested()) {
      if (drop_.exchange(false)) pairs.clear();
      std::vector<::pollfd> fds{{changed_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      if (!stalled_) {
        for (const pair& one : pairs) {
          fds.push_back({one.client.get(), POLLIN, 0});
          fds.push_back({one.server.get(), POLLIN, 0});
        }
      }
      ::poll(fds.data(), fds.size(), -1);
      std::uint64_t count = 0;
      [[maybe_unused]] const ::ssize_t n = ::read(changed_.get(), &count, sizeof count);
      bool cut = false;
      if (fds.size() > 2 && !stalled_) {
        std::size_t at = 2;
        for (pair& one : pairs) {
          if (fds[at++].revents != 0 && !pass(one.client, one.server, to_server_, &passed_, cut)) one.ended = true;
          if (fds[at++].revents != 0 && !pass(one.server, one.client, to_client_, nullptr, cut)) one.ended = true;
        }
      }
      if (cut) {
        ++cuts_;
        pairs.clear();
      }
      pairs.remove_if([](const pair& one) { return one.ended; });
      if (fds[1].revents != 0) accept(pairs);
    }
  }

  void accept(std::list<pair>& pairs) const {
    pair made;
    made.client.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!made.client || refused_) return;
    made.server.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const ::sockaddr_in there = address(target_);
    if (::connect(made.server.get(), reinterpret_cast<const ::sockaddr*>(&there), sizeof there) != 0) return;
    for (const tutti::unique_fd* end : {&made.client, &made.server}) {
      const int on = 1;
      ::setsockopt(end->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    pairs.push_back(std::move(made));
  }

  // False when one side is gone.
  static bool pass(const tutti::unique_fd& from, const tutti::unique_fd& to, std::atomic<std::int64_t>& left,
                   std::atomic<std::int64_t>* passed, bool& cut) {
    char bytes[16 * 1024];
    const ::ssize_t got = ::recv(from.get(), bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    std::int64_t n = got;
    if (left != never) {
      if (n >= left) {
        n = left;
        left = never;
        cut = true;
      } else {
        left -= n;
      }
    }
    for (std::int64_t done = 0; done < n;) {
      const ::ssize_t sent = ::send(to.get(), bytes + done, static_cast<std::size_t>(n - done), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      done += sent;
    }
    if (passed != nullptr) *passed += n;
    return true;
  }

  const int target_;
  int port_ = 0;
  tutti::unique_fd listener_, changed_;
  std::atomic<bool> stalled_{false}, refused_{false}, drop_{false};
  std::atomic<std::int64_t> to_server_{never}, to_client_{never}, passed_{0};
  std::atomic<int> cuts_{0};
  std::jthread thread_;  // ends first
};

}  // namespace tutti_test
