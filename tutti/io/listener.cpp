#include <tutti/io/listener.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/yield.hpp>

#include <fmt/format.h>

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace tutti::io {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void throw_listen_error(const endpoint& at, int code) {
  std::string hint;
  if (code == EADDRINUSE) hint = " (another socket listens there; port 0 takes one that is free)";
  if (code == EACCES && at.is_ip()) hint = " (ports below 1024 need privileges)";
  if (code == EADDRNOTAVAIL) hint = " (this machine has no such address)";
  throw os_error(os_error::of("cannot listen at " + at.text(), code).what() + hint, code);
}

void turn_on(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof on);
}

// The file of a Unix socket stays behind when its program ends. Somebody who still listens there would answer.
bool is_left_over(const endpoint& at) {
  struct ::stat status{};
  if (at.host().starts_with('@') || ::lstat(at.host().c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const unique_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && ::connect(probe.get(), at.data(), at.size()) != 0 && errno == ECONNREFUSED;
}

endpoint place_of(int socket) {
  ::sockaddr_storage address{};
  ::socklen_t size = sizeof address;
  auto* const at = reinterpret_cast<::sockaddr*>(&address);
  return ::getsockname(socket, at, &size) == 0 ? endpoint(at, size) : endpoint();
}

bool is_out_of_resources(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

listener listen(const endpoint& at, listen_options options) {
  unique_fd socket(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_listen_error(at, errno);
  std::string path;
  if (at.is_unix()) {
    if (!at.host().starts_with('@')) path = at.host();
    if (is_left_over(at)) ::unlink(path.c_str());
    // Before bind: nobody else is let in between the two.
    if (!path.empty()) ::fchmod(socket.get(), static_cast<::mode_t>(options.mode));
  } else {
    turn_on(socket.get(), SOL_SOCKET, SO_REUSEADDR);  // connections of an earlier run that linger do not matter
    if (options.reuse_port) turn_on(socket.get(), SOL_SOCKET, SO_REUSEPORT);
    if (at.family() == AF_INET6) {
      const int both = 0;
      ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    }
  }
  if (::bind(socket.get(), at.data(), at.size()) != 0) throw_listen_error(at, errno);
  if (::listen(socket.get(), options.backlog) != 0) {
    const int error = errno;
    if (!path.empty()) ::unlink(path.c_str());
    throw_listen_error(at, error);
  }
  const endpoint bound = place_of(socket.get());
  return {detail::make_descriptor_stream(std::move(socket), bound, "listen"), std::move(path)};
}

listener listener::adopt(unique_fd socket) {
  const endpoint bound = place_of(socket.get());
  listener made;
  made.body_ = detail::make_descriptor_stream(std::move(socket), bound, "listener::adopt");
  return made;
}

listener& listener::operator=(listener&& other) noexcept {
  if (this != &other) {
    close();
    body_ = std::move(other.body_);
    own_path_ = std::move(other.own_path_);
    other.own_path_.clear();
  }
  return *this;
}

void listener::close() noexcept {
  if (body_ != nullptr && !own_path_.empty()) ::unlink(own_path_.c_str());
  own_path_.clear();
  body_.reset();
}

endpoint listener::local() const {
  if (body_ == nullptr) throw closed("the listener was closed, or is none");
  return body_->remote();  // what it was made with
}

task<stream> listener::accept(std::chrono::nanoseconds limit) {
  if (body_ == nullptr) throw closed("accept: the listener was closed, or is none");
  detail::until end(limit);
  const endpoint at = local();
  for (bool told = false;;) {
    ::sockaddr_storage address{};
    ::socklen_t size = sizeof address;
    auto* const peer = reinterpret_cast<::sockaddr*>(&address);
    unique_fd socket(::accept4(descriptor(), peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      // Who is connected gets a turn, too, while many come at once.
      if (!body_->where().may_go_on()) co_await yield_now();
      if (at.is_ip()) turn_on(socket.get(), IPPROTO_TCP, TCP_NODELAY);
      co_return stream(detail::make_descriptor_stream(std::move(socket), endpoint(peer, size), "a socket"));
    }
    const int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK) {
      co_await detail::ready_wait("accept", body_.get(), detail::readiness::to_read, end.left());
    } else if (is_out_of_resources(error)) {
      // Those who are connected are served on, and give back theirs.
      if (!std::exchange(told, true))
        log(log_level::warn, "accepting pauses",
            {{"at", at.text()}, {"because", os_error::of("accept", error).what()}});
      if (end.left() == 0ns) throw timed_out("accept at " + at.text() + ": no descriptor was free in time");
      co_await sleep_for(std::min<std::chrono::nanoseconds>(10ms, end.left()));
      if (body_ == nullptr) throw closed("accept: the listener was closed meanwhile");
    } else if (error == EBADF || error == EINVAL || error == EOPNOTSUPP || error == ENOTSOCK) {
      throw os_error::of("cannot accept at " + at.text(), error);
    }
    // All others are of that one connection, which is gone.
  }
}

}  // namespace tutti::io
