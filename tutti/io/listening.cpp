#include <tutti/io/listening.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/home.hpp>
#include <tutti/io/inside/reactor.hpp>

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace tutti::io::detail {
namespace {

using namespace std::chrono_literals;

bool is_out_of_resources(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Errors of the connection that was to be taken, which is gone: the network's, as accept(2) lists them. With any other
// one the next attempt would fail just so.
bool is_of_that_connection(int error) noexcept {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET: return true;
    default: return false;
  }
}

endpoint place_of(int socket) {
  ::sockaddr_storage address{};
  ::socklen_t size = sizeof address;
  auto* const at = reinterpret_cast<::sockaddr*>(&address);
  return ::getsockname(socket, at, &size) == 0 ? endpoint(at, size) : endpoint();
}

// A number for the file, in its file system; 0 for none.
std::uint64_t file_at(const std::string& path) noexcept {
  struct ::stat status{};
  return path.empty() || ::lstat(path.c_str(), &status) != 0 ? 0 : status.st_ino;
}

}  // namespace

listening::listening(unique_fd socket, std::string own_path, int backlog, bool shared, const char* what)
    : own_path_(std::move(own_path)), own_file_(file_at(own_path_)), backlog_(backlog), shared_(shared) {
  const endpoint bound = place_of(socket.get());
  socket_ = make_descriptor_stream(std::move(socket), bound, what);
}

attempt listening::accept(stream& made) {
  if (socket_->descriptor() < 0) throw closed("accept at " + at().text() + ": the listener was closed meanwhile");
  ::sockaddr_storage address{};
  ::socklen_t size = sizeof address;
  auto* const peer = reinterpret_cast<::sockaddr*>(&address);
  unique_fd socket(::accept4(socket_->descriptor(), peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const int error = errno;
  if (socket) {
    if (at().is_ip()) {
      const int on = 1;
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    // A loop has limits, too: of memory, of what it may watch. This connection is lost then, and no other one.
    try {
      made = stream(make_descriptor_stream(std::move(socket), endpoint(peer, size), "a socket"));
    } catch (const os_error& e) {
      out_of_resources(e.what());
      return attempt::no_room;
    } catch (const std::bad_alloc& e) {
      out_of_resources(e.what());
      return attempt::no_room;
    }
    return attempt::connected;
  }
  if (error == EAGAIN || error == EWOULDBLOCK) {
    pauses_ = false;  // all who waited have been taken: only then is it over, not when one of them found room
    return attempt::nobody;
  }
  if (is_out_of_resources(error)) {
    out_of_resources(os_error::of("accept", error).what());
    return attempt::no_room;
  }
  if (is_of_that_connection(error)) return attempt::lost;
  throw os_error::of("cannot accept at " + at().text(), error);
}

void listening::out_of_resources(const std::string& because) {
  if (!std::exchange(pauses_, true))
    log(log_level::warn, "accepting pauses", {{"at", at().text()}, {"because", because}});
}

bool listening::has_some() const noexcept {
  ::pollfd asked{.fd = socket_->descriptor(), .events = POLLIN, .revents = 0};
  return asked.fd >= 0 && ::poll(&asked, 1, 0) > 0;
}

tutti::detail::sleep_awaiter listening::pause(std::chrono::nanoseconds limit) noexcept {
  return sleep_for(std::min<std::chrono::nanoseconds>(10ms, limit));
}

void listening::take_no_more() noexcept {
  // Those who share it go on.
  if (!shared_) ::listen(socket_->descriptor(), 0);
}

void listening::close(std::shared_ptr<listening> which) noexcept {
  if (which == nullptr) return;
  if (!which->own_path_.empty() && file_at(which->own_path_) == which->own_file_) ::unlink(which->own_path_.c_str());
  if (reactor::here_if_any() == &which->socket_->where()) return which->socket_->close();
  // Its loop runs on another thread, or not at all; then, or when it is over, this is done here.
  struct closing final : call_node {
    explicit closing(std::shared_ptr<listening> l) noexcept : which(std::move(l)) {}
    void run() noexcept override {
      which->socket_->close();
      delete this;
    }
    void abandon(std::exception_ptr) noexcept override { run(); }
    std::shared_ptr<listening> which;
  };
  const std::uint64_t home = which->socket_->where().id;
  start_at_home(home, call(new closing(std::move(which))));
}

}  // namespace tutti::io::detail
