// A descriptor as a byte_stream.
#include <tutti/base/error.hpp>
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/inside/reactor.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>

namespace tutti::io::detail {
namespace {

// write() to a pipe or terminal whose other end is gone raises SIGPIPE, which would end the program: for this thread
// and while it lives, it does not.
class no_sigpipe {
 public:
  no_sigpipe() noexcept {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~no_sigpipe() {
    const int error = errno;
    if (!was_pending_) {
      const ::timespec at_once{};
      while (::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

 private:
  ::sigset_t pipe_, before_;
  bool was_pending_;
};

using plain_descriptor = reactor::descriptor;
using socket_descriptor = asio::basic_stream_socket<asio::generic::stream_protocol, reactor::executor_type>;

// On a socket recv and send take a shorter way through the system than read and write.
template <class Descriptor>
class descriptor_stream final : public byte_stream {
 public:
  descriptor_stream(reactor& loop, unique_fd fd, const endpoint& remote, const char* what)
      : byte_stream(loop), loop_(loop.shared_from_this()), descriptor_(loop.executor()), remote_(remote), what_(what) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    was_blocking_ = flags >= 0 && (flags & O_NONBLOCK) == 0;
    if constexpr (is_socket) {
      descriptor_.assign({AF_UNSPEC, 0}, fd.get());
    } else {
      descriptor_.assign(fd.get());
    }
    static_cast<void>(fd.release());
    descriptor_.non_blocking(true);
  }

  void start_read(mutable_buffer room, operation& who) noexcept override {
    begun();
    reading_ = {&who, false};
    room_ = room;
    // Asio takes a socket that gave no bytes for one that has none until something new happens to it.
    if (gave_nothing_ && !room_.empty()) {
      std::error_code error;
      const std::optional<std::size_t> n = receive(room_, error);
      if (n) {
        return asio::post(loop_->context(), operation_handler(who, [this, error, bytes = *n](auto&&...) {
                            if (descriptor_.is_open()) return was_read(error, bytes);
                            was_read(std::make_error_code(std::errc::bad_file_descriptor), 0);
                          }));
      }
    }
    read();
  }

  // An attempt in vain costs a system call, so after one the next few reads wait at once.
  std::size_t read_now(mutable_buffer room, std::error_code& error) noexcept override {
    if (attempts_left_out_ > 0) {
      --attempts_left_out_;
      return 0;
    }
    const std::optional<std::size_t> n = receive(room, error);
    if (n.value_or(0) == 0) attempts_left_out_ = 8;
    return n.value_or(0);
  }

  std::size_t write_now(const_buffer bytes, std::error_code& error) noexcept override {
    const int fd = descriptor_.native_handle();
    ::ssize_t n = 0;
    do {
      if constexpr (is_socket) {
        n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      } else {
        const no_sigpipe here;
        n = ::write(fd, bytes.data(), bytes.size());
      }
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EAGAIN && errno != EWOULDBLOCK) error.assign(errno, std::system_category());
    return 0;
  }

  void start_write(const_buffer bytes, operation& who) noexcept override {
    begun();
    writing_ = {&who, false};
    bytes_ = bytes;
    wait_for_room();
  }

  bool may_be_tried_again() const noexcept override { return true; }

  void start_shutdown(operation& who) noexcept override {
    // At once; but `happened` is not to be called in here.
    begun();
    asio::post(loop_->context(),
               operation_handler(who, [this](operation& op, const boost::system::error_code&, std::size_t) {
                 std::error_code error;
                 if (!descriptor_.is_open()) {
                   error = std::make_error_code(std::errc::bad_file_descriptor);
                 } else if (!is_socket) {
                   forget_descriptor();  // a pipe's end says so by being closed
                 } else if (::shutdown(descriptor_.native_handle(), SHUT_WR) != 0 && errno != ENOTCONN) {
                   error.assign(errno, std::system_category());
                 }
                 op.happened(error, 0);
                 ended();
               }));
  }

  void end(operation& who) noexcept override {
    if (reading_.who == &who) reading_.ending = true;
    if (writing_.who == &who) writing_.ending = true;
    boost::system::error_code ignored;
    [[maybe_unused]] const auto failed = descriptor_.cancel(ignored);  // of both: the other one begins again
  }

  void close() noexcept override { forget_descriptor(); }

  std::string describe() const override {
    return remote_.family() == AF_UNSPEC || (remote_.is_unix() && remote_.host().empty()) ? what_ : remote_.text();
  }
  const endpoint& remote() const noexcept override { return remote_; }
  endpoint local() const noexcept override {
    ::sockaddr_storage address{};
    ::socklen_t size = sizeof address;
    auto* const at = reinterpret_cast<::sockaddr*>(&address);
    if (!is_socket || ::getsockname(descriptor(), at, &size) != 0) return {};
    return {at, size};
  }
  int descriptor() const noexcept override { return const_cast<Descriptor&>(descriptor_).native_handle(); }
  bool is_quiet() noexcept override {
    char next = 0;
    ::ssize_t n = -1;
    do {
      n = ::recv(descriptor(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n > 0) attempts_left_out_ = 0;  // the next one is not in vain
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

 private:
  static constexpr bool is_socket = std::is_same_v<Descriptor, socket_descriptor>;

  struct under_way {
    operation* who = nullptr;
    bool ending = false;
  };

  // Whether an aborted operation was meant; if not, it begins again.
  bool meant(const boost::system::error_code& error, const under_way& which) const noexcept {
    return error != asio::error::operation_aborted || which.ending || !descriptor_.is_open();
  }
  std::error_code as_ours(const boost::system::error_code& error) const noexcept {
    if (!error || error == asio::error::eof) return {};
    if (!descriptor_.is_open()) return std::make_error_code(std::errc::bad_file_descriptor);
    if (error == asio::error::operation_aborted) return std::make_error_code(std::errc::operation_canceled);
    return {error.value(), std::system_category()};
  }

  // What there is, 0 bytes at the end or with an error; nothing when there is nothing yet.
  std::optional<std::size_t> receive(mutable_buffer room, std::error_code& error) const noexcept {
    const ::ssize_t n = is_socket ? ::recv(descriptor(), room.data(), room.size(), MSG_DONTWAIT)
                                  : ::read(descriptor(), room.data(), room.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return std::nullopt;
    error.assign(errno, std::system_category());
    return std::size_t{0};
  }

  void read() noexcept {
    operation_handler handler(*reading_.who,
                              [this](operation&, const boost::system::error_code& error, std::size_t bytes) {
                                if (!meant(error, reading_)) return read();
                                gave_nothing_ = is_socket && bytes == 0 && error != asio::error::operation_aborted;
                                was_read(as_ours(error), bytes);
                              });
    if (room_.empty()) {
      descriptor_.async_wait(Descriptor::wait_read, handler);
    } else {
      descriptor_.async_read_some(asio::buffer(room_.data(), room_.size()), handler);
    }
  }

  void was_read(std::error_code error, std::size_t bytes) noexcept {
    std::exchange(reading_.who, nullptr)->happened(error, bytes);
    ended();
  }

  void wait_for_room() noexcept {
    descriptor_.async_wait(
        Descriptor::wait_write,
        operation_handler(*writing_.who, [this](operation&, const boost::system::error_code& error, std::size_t) {
          if (!meant(error, writing_)) return wait_for_room();
          std::error_code failed = as_ours(error);
          std::size_t bytes = 0;
          if (!failed && !bytes_.empty()) {
            bytes = write_now(bytes_, failed);
            if (bytes == 0 && !failed && !writing_.ending) return wait_for_room();
            if (bytes == 0 && !failed) failed = std::make_error_code(std::errc::operation_canceled);
          }
          operation* const who = std::exchange(writing_.who, nullptr);
          who->happened(failed, bytes);
          ended();
        }));
  }

  void forget_descriptor() noexcept {
    if (!descriptor_.is_open()) return;
    // Others may share it: the shell its terminal. Who has found it non-blocking leaves it so.
    if (was_blocking_)
      ::fcntl(descriptor_.native_handle(), F_SETFL, ::fcntl(descriptor_.native_handle(), F_GETFL) & ~O_NONBLOCK);
    boost::system::error_code ignored;
    [[maybe_unused]] const auto failed = descriptor_.close(ignored);
  }

  const std::shared_ptr<reactor> loop_;
  Descriptor descriptor_;
  const endpoint remote_;
  const char* const what_;
  bool was_blocking_ = false;
  bool gave_nothing_ = false;  // a socket, to the last read: it is at its end, or broken
  int attempts_left_out_ = 0;
  under_way reading_, writing_;
  mutable_buffer room_;
  const_buffer bytes_;
};

}  // namespace

byte_stream_ptr make_descriptor_stream(unique_fd fd, const endpoint& remote, const char* what) {
  reactor& loop = reactor::here(what);
  struct ::stat status{};
  if (::fstat(fd.get(), &status) != 0) throw os_error::of(std::string(what) + ": bad descriptor", errno);
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode))
    throw os_error::of(std::string(what) + ": a file is always ready, and then blocks; use io::file", EPERM);
  try {
    if (S_ISSOCK(status.st_mode))
      return byte_stream_ptr(new descriptor_stream<socket_descriptor>(loop, std::move(fd), remote, what));
    return byte_stream_ptr(new descriptor_stream<plain_descriptor>(loop, std::move(fd), remote, what));
  } catch (const boost::system::system_error& e) {
    throw os_error::of(what, e.code().value());
  }
}

}  // namespace tutti::io::detail
