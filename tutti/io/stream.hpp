// stream: bytes in and out, in order, over whatever carries them: TCP, a Unix socket, TLS, a pipe, a terminal.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/buffers.hpp>
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/io_wait.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tutti::io {

/// What a peer sent was larger than the limit that the reader had set.
struct too_long : error {
  using error::error;
};

namespace detail {

// The read or write of a stream that a coroutine awaits.
class stream_wait : public io_wait {
 protected:
  stream_wait(const char* what, byte_stream* stream, wait_limit limit);
  ~stream_wait() override;

  void end_operation() noexcept final { stream_->end(*this); }
  byte_stream& stream() const noexcept { return *stream_; }
  /// In await_ready: throws std::logic_error the second time.
  void begin_once();
  /// Counts one more operation in this direction; throws std::logic_error when there is one.
  void occupy(bool& direction);
  /// await_resume: lets it go, and throws what ended the wait.
  void finish_stream();
  /// Ends the wait with an error. Always true.
  bool fail(std::error_code error) noexcept;
  bool fail(std::exception_ptr error) noexcept;
  bool has_failed() const noexcept { return failed_ != nullptr; }

 private:
  const pinned stream_;
  bool begun_ = false;
  bool* direction_ = nullptr;
  std::exception_ptr failed_;
};

class read_wait final : public stream_wait {
 public:
  read_wait(const char* what, byte_stream* stream, mutable_buffer room, bool all, wait_limit limit)
      : stream_wait(what, stream, limit), room_(room), all_(all) {}
  bool await_ready();
  /// The number of bytes.
  std::size_t await_resume();
  /// It is to read what comes behind that which is there already.
  void past_ahead() noexcept { past_ahead_ = true; }

 private:
  void begin_operation() noexcept override { stream().start_read(room_.behind(done_), *this); }
  bool is_through(std::error_code error, std::size_t bytes) noexcept override;
  std::string subject() const override { return "reading from " + stream().describe(); }
  bool enough() const noexcept { return done_ == room_.size() || (!all_ && done_ > 0); }

  const mutable_buffer room_;
  const bool all_;
  bool past_ahead_ = false;
  std::size_t done_ = 0;
};

class write_wait final : public stream_wait {
 public:
  write_wait(const char* what, byte_stream* stream, const_buffer bytes, bool flush, wait_limit limit)
      : stream_wait(what, stream, limit), bytes_(bytes), flush_(flush) {}
  bool await_ready();
  void await_resume();

 private:
  void begin_operation() noexcept override { stream().start_write(next(), *this); }
  bool is_through(std::error_code error, std::size_t bytes) noexcept override;
  std::string subject() const override { return "writing to " + stream().describe(); }
  /// What was kept goes out first.
  const_buffer next() const noexcept;
  void went_out(std::size_t bytes) noexcept;

  const_buffer bytes_;
  const bool flush_;
  std::size_t kept_done_ = 0;
};

class shutdown_wait final : public stream_wait {
 public:
  shutdown_wait(byte_stream* stream, wait_limit limit) : stream_wait("shutdown_write", stream, limit) {}
  bool await_ready();
  void await_resume() { finish_stream(); }

 private:
  void begin_operation() noexcept override { stream().start_shutdown(*this); }
  bool is_through(std::error_code error, std::size_t) noexcept override { return !error || fail(error); }
  std::string subject() const override { return "ending the output to " + stream().describe(); }
};

}  // namespace detail

/// Bytes in both directions, in order, with a peer. Each direction may be in use by one coroutine at a time; a second
/// one gets std::logic_error. It belongs to the loop that it was made on, and its coroutines run there. Nothing is read
/// that nobody asked for, and a write is awaited until the system has taken it: whoever produces faster than the peer
/// consumes waits.
///
/// A wait that is cancelled or times out has an effect or none: a read loses nothing of what arrives, but a write may
/// have gone out in part, after which the stream is of no more use than to be closed.
///
/// All waits throw `cancelled` when the task is asked to stop; timed_out after `limit`; os_error when the connection
/// broke (code(): ECONNRESET, EPIPE, ...); `closed` when it was closed meanwhile. Move-only; destroying it closes it.
class stream {
 public:
  /// None.
  stream() noexcept = default;
  /// For this module.
  explicit stream(detail::byte_stream_ptr body) noexcept : body_(std::move(body)) {}
  /// Takes over a descriptor that can be waited for: of a pipe, a terminal, a socket, a process's output. It is made
  /// non-blocking, for all who share it, until it is closed. Throws os_error for files, std::logic_error off a loop.
  [[nodiscard]] static stream adopt(unique_fd descriptor);

  /// Awaits bytes, at least one, puts them into `room` and gives their number; 0 at the end, or without room.
  [[nodiscard]] detail::read_wait read_some(mutable_buffer room, time_limit limit = no_limit) {
    return {"read_some", body(), room, false, limit};
  }
  /// Awaits as many bytes as `room` has. Throws `closed` when the end comes first.
  [[nodiscard]] detail::read_wait read_exactly(mutable_buffer room, time_limit limit = no_limit) {
    return {"read_exactly", body(), room, true, limit};
  }
  /// The same into a new string.
  [[nodiscard]] task<std::string> read_exactly(std::size_t size, time_limit limit = no_limit);
  /// Awaits all up to and with `delimiter`, which is not empty. Throws `closed` when the end comes first, too_long when
  /// it does not come within `most` bytes, itself included; what was read is there for the next read then.
  [[nodiscard]] task<std::string> read_until(std::string delimiter, std::size_t most = 65536,
                                             time_limit limit = no_limit);
  /// Awaits a line and gives it without its "\n" or "\r\n"; the last one may have none. Nothing at the end. Throws
  /// too_long as read_until.
  [[nodiscard]] task<std::optional<std::string>> read_line(std::size_t most = 65536, time_limit limit = no_limit);
  /// Awaits the end and gives all before it. Throws too_long when that is more than `most` bytes.
  [[nodiscard]] task<std::string> read_all(std::size_t most, time_limit limit = no_limit);

  /// Awaits until the system has taken all of `bytes`, or, with a write buffer, until they are in it.
  [[nodiscard]] detail::write_wait write(const_buffer bytes, time_limit limit = no_limit) {
    return {"write", body(), bytes, false, limit};
  }
  /// Lets writes that are small gather in a buffer of `size` bytes, to go out together when it is full or at flush;
  /// 0, as in the beginning: none. What it has is to be flushed before.
  void buffer_writes(std::size_t size);
  /// Awaits until the system has taken what is in the write buffer.
  [[nodiscard]] detail::write_wait flush(time_limit limit = no_limit) { return {"flush", body(), {}, true, limit}; }
  /// Flushes, and tells the peer that nothing more will come: it reads the end. Reading goes on.
  [[nodiscard]] task<> shutdown_write(time_limit limit = no_limit);
  /// Closes it at once; what waits for it gets `closed`, and what is in the write buffer is lost.
  void close() noexcept { body_.reset(); }

  /// Whether there is one.
  [[nodiscard]] explicit operator bool() const noexcept { return body_ != nullptr; }
  /// The peer's place; none for pipes and the like.
  [[nodiscard]] endpoint remote() const { return body()->remote(); }
  /// The own place.
  [[nodiscard]] endpoint local() const { return body()->local(); }
  /// As errors call it: the peer's place, or "a pipe".
  [[nodiscard]] std::string describe() const { return body_ == nullptr ? "no stream" : body_->describe(); }
  /// For the system's calls, such as setsockopt; still owned.
  [[nodiscard]] int descriptor() const noexcept { return body_ == nullptr ? -1 : body_->descriptor(); }
  /// For this module.
  [[nodiscard]] detail::byte_stream_ptr release() noexcept { return std::move(body_); }

 private:
  friend struct tls_info;  // finds TLS in it

  detail::byte_stream* body() const {
    if (body_ == nullptr) throw_none();
    return body_.get();
  }
  [[noreturn]] static void throw_none();

  detail::byte_stream_ptr body_;
};

namespace detail {
/// A category of errors that are thrown as exceptions of their own.
struct throwing_category : std::error_category {
  /// `tried`: as of as_exception.
  [[nodiscard]] virtual std::exception_ptr exception(const std::string& tried, int value) const = 0;
};

/// What a failed operation throws; `tried`: "reading from 127.0.0.1:80".
[[nodiscard]] std::exception_ptr as_exception(const std::string& tried, std::error_code error);
}  // namespace detail

}  // namespace tutti::io
