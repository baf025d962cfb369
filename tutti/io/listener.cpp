#include <tutti/io/listener.hpp>

#include <tutti/base/error.hpp>
#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/listening.hpp>
#include <tutti/io/ready_wait.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/yield.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

namespace tutti::io {

namespace detail {
namespace {

[[noreturn]] void throw_listen_error(const endpoint& at, int code) {
  std::string hint;
  if (code == EADDRINUSE)
    hint = at.is_ip() ? " (another socket listens there; port 0 takes one that is free)"
                      : " (another socket listens there, or a file is in the way: take another name)";
  if (code == EACCES && at.is_ip()) hint = " (ports below 1024 need privileges)";
  if (code == EADDRNOTAVAIL) hint = " (this machine has no such address)";
  throw os_error(os_error::of("cannot listen at " + at.text(), code).what() + hint, code);
}

void turn_on(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof on);
}

// The file of a Unix socket stays behind when its program ends. Somebody who still listens there would answer.
// Somebody who is just about to, has made the file and not called listen() yet, does not: of two programs that start at
// the very same moment one may remove the other's file. Only a lock beside it, which would stay behind, could tell.
bool is_left_over(const endpoint& at) {
  struct ::stat status{};
  if (::lstat(at.host().c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const unique_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && ::connect(probe.get(), at.data(), at.size()) != 0 && errno == ECONNREFUSED;
}

// The file of a Unix socket, "" for none.
std::string path_of(const endpoint& at) {
  std::string path = at.is_unix() ? at.host() : std::string();
  if (path.starts_with('@')) path.clear();
  return path;
}

// The file of a socket that is not to be used after all.
class made_file {
 public:
  explicit made_file(const std::string& path) noexcept : path_(&path) {}
  ~made_file() {
    if (path_ != nullptr && !path_->empty()) ::unlink(path_->c_str());
  }
  made_file(const made_file&) = delete;
  made_file& operator=(const made_file&) = delete;
  void keep() noexcept { path_ = nullptr; }

 private:
  const std::string* path_;
};

}  // namespace

unique_fd listening_socket(const endpoint& at, const listen_options& options) {
  unique_fd socket(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_listen_error(at, errno);
  const std::string path = path_of(at);
  const auto mode = static_cast<::mode_t>(options.mode);
  if (at.is_ip()) {
    turn_on(socket.get(), SOL_SOCKET, SO_REUSEADDR);  // connections of an earlier run that linger do not matter
    if (options.reuse_port) turn_on(socket.get(), SOL_SOCKET, SO_REUSEPORT);
    if (at.family() == AF_INET6) {
      const int both = 0;
      ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    }
  } else if (!path.empty()) {
    if (is_left_over(at)) ::unlink(path.c_str());
    // The file is made with this, less the umask: never open to more than those that `mode` names.
    if (::fchmod(socket.get(), mode) != 0) throw_listen_error(at, errno);
  }
  if (::bind(socket.get(), at.data(), at.size()) != 0) throw_listen_error(at, errno);
  made_file file(path);
  // Before `listen`: nobody has been refused for want of permissions that it is to have.
  if (!path.empty() && ::chmod(path.c_str(), mode) != 0) throw_listen_error(at, errno);
  if (::listen(socket.get(), options.backlog) != 0) throw_listen_error(at, errno);
  file.keep();
  return socket;
}

namespace {

task<stream> accept(std::shared_ptr<listening> from, time_limit limit) {
  if (reactor::here_if_any() != &from->socket().where())
    throw std::logic_error("accept: the listener at " + from->at().text() +
                           " belongs to another loop than the one this runs on");
  until end(limit);
  for (;;) {
    // Who is connected gets a turn, too, while many come at once. Before a connection is taken: a stop would lose it.
    if (!from->socket().where().may_go_on()) co_await yield_now();
    stream made;
    const attempt outcome = from->accept(made);
    if (outcome == attempt::connected) co_return made;
    if (outcome == attempt::nobody) {
      co_await ready_wait("accept", &from->socket(), readiness::to_read, end.left());
      continue;
    }
    const std::chrono::nanoseconds left = end.left();
    if (left <= std::chrono::nanoseconds(0))
      throw timed_out("accept at " + from->at().text() + ": " +
                      (outcome == attempt::no_room ? "no descriptor or memory was free in time"
                                                   : "all connections were gone again"));
    if (outcome == attempt::lost) {
      co_await yield_now();
    } else {
      co_await listening::pause(left);  // those who are connected are served on, and give back theirs
    }
  }
}

}  // namespace
}  // namespace detail

listener listen(const endpoint& at, listen_options options) {
  static_cast<void>(detail::reactor::here("listen"));
  unique_fd socket = detail::listening_socket(at, options);
  std::string path = detail::path_of(at);
  detail::made_file file(path);
  listener made(std::make_shared<detail::listening>(std::move(socket), path, options.backlog, false, "listen"));
  file.keep();
  return made;
}

listener listener::adopt(unique_fd socket) {
  return listener(std::make_shared<detail::listening>(std::move(socket), std::string(), listen_options().backlog, true,
                                                      "listener::adopt"));
}

listener& listener::operator=(listener&& other) noexcept {
  if (this != &other) {
    close();
    body_ = std::move(other.body_);
  }
  return *this;
}

void listener::close() noexcept { detail::listening::close(std::exchange(body_, nullptr)); }

endpoint listener::local() const {
  if (body_ == nullptr) throw closed("the listener was closed, or is none");
  return body_->at();
}

int listener::descriptor() const noexcept { return body_ == nullptr ? -1 : body_->socket().descriptor(); }

task<stream> listener::accept(time_limit limit) {
  if (body_ == nullptr) throw closed("accept: the listener was closed, or is none");
  return detail::accept(body_, limit);
}

}  // namespace tutti::io
