// connection: messages of HTTP/1.1 over a stream, on either side: what is read, what is written, and their buffers.
#pragma once
#include <tutti/io/http/parser.hpp>
#include <tutti/io/stream.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tutti::io::http::detail {

/// Awaits until some of `bytes`, at least one, was written, and gives their number.
class [[nodiscard]] some_written final : public io::detail::stream_wait {
 public:
  some_written(io::detail::byte_stream* to, const_buffer bytes, io::detail::wait_limit limit)
      : stream_wait("write", to, limit), bytes_(bytes) {}
  bool await_ready();
  std::size_t await_resume();
  /// After a wait that was in vain: whether the peer has taken something meanwhile of what the system had. That makes
  /// room only when much of it is gone.
  bool has_moved() const noexcept;

 private:
  void begin_operation() noexcept override;
  bool is_through(std::error_code error, std::size_t bytes) noexcept override;
  std::string subject() const override { return "writing to " + stream().describe(); }
  int not_taken() const noexcept;

  const const_buffer bytes_;
  std::size_t done_ = 0;
  int not_taken_before_ = 0;
};

/// Over one stream. What is written gathers in `out` until it is flushed, or is large. Whoever reads from the stream
/// flushes first: the peer may wait for what is in there.
class connection {
 public:
  /// `most_head`: see parser. `progress`: how long the peer may do nothing while a body is read, or anything written.
  connection(stream s, parser::of reads, std::size_t most_head, std::chrono::nanoseconds progress);

  stream& io() noexcept { return stream_; }
  /// What is beneath, null once it was released.
  io::detail::byte_stream* beneath() noexcept { return stream_ ? beneath_ : nullptr; }
  std::chrono::nanoseconds progress() const noexcept { return progress_; }
  void set_progress(std::chrono::nanoseconds limit) noexcept { progress_ = limit; }
  /// When all waits end, whatever comes and goes.
  void set_deadline(const io::detail::until& end) noexcept { deadline_ = end; }
  /// How long the next wait may take.
  time_limit patience() const noexcept { return sooner(progress_, deadline_.left()); }

  /// The stream, for another protocol that goes on where this one ends, with what has arrived of that already.
  stream release();

  // ---- what is read

  /// A new message comes; see parser.
  void begin(bool answers_head = false) { parser_.begin(answers_head); }
  /// Reads its head from what has arrived; false: more is needed. Throws bad_message.
  bool try_head(message_head& into);
  /// Whether something has arrived that was not read yet.
  bool has_input() const noexcept { return begin_ != end_; }
  /// Whether nothing has arrived, also not at the system.
  bool is_quiet() noexcept { return !has_input() && beneath_->is_quiet(); }
  /// Where the stream is to put what comes; `took`: how much it was.
  mutable_buffer room();
  void took(std::size_t bytes) noexcept { end_ += bytes; }

  /// Reads some of the body into `room`, which is not empty; 0 at its end. Throws bad_message, `closed` when the
  /// connection ends before, and what a stream throws.
  task<std::size_t> read_body(mutable_buffer room);
  /// Drops what has arrived of the body; whether it is all.
  bool drop_arrived();
  /// Reads the rest of the body and drops it; false when that were more than `most` bytes. Throws timed_out when all of
  /// that takes longer than `limit`.
  task<bool> drop_body(std::size_t most, std::chrono::nanoseconds limit);
  /// Whether all of the message was read.
  bool is_complete() const noexcept { return parser_.is_complete(); }

  // ---- what is written

  // A write that does not go through leaves a part of it with the peer, and nothing may follow: all later ones throw
  // `closed`, also when whoever wrote has caught what that one threw.

  std::string out;
  /// Awaits until the system has taken what is in `out`.
  task<> flush();
  /// The same without waiting; false: not all has gone out.
  bool flush_at_once();
  /// Awaits until it has taken what is in `out`, and `bytes`; small ones may stay in `out`.
  task<> write(const_buffer bytes);
  /// Throws `closed` if a write has not gone through.
  void check_written() const;
  /// Ends the connection such that the peer gets what was written although it may still send: nothing is thrown.
  task<> linger();
  /// Ends it such that the peer cannot take what it has got for all. `by_reset`: nothing else than the connection's end
  /// would tell it.
  void break_off(bool by_reset) noexcept;

  /// How much of `out` may gather.
  static constexpr std::size_t most_gathered = 16384;

 private:
  static constexpr std::size_t least_input = 4096;

  connection(io::detail::byte_stream_ptr beneath, parser::of reads, std::size_t most_head,
             std::chrono::nanoseconds progress);
  task<> send(const_buffer bytes);
  void check_deadline(const char* doing) const;
  void sent() noexcept;

  parser parser_;
  io::detail::byte_stream* const beneath_;
  stream stream_;
  std::unique_ptr<char[]> input_;
  std::size_t begin_ = 0, end_ = 0, capacity_ = 0;
  const std::size_t most_input_;
  std::chrono::nanoseconds progress_;
  io::detail::until deadline_{no_limit};
  bool write_failed_ = false;
};

/// Appends "HTTP/1.1 200 OK\r\n".
void put_status_line(std::string& out, int status);
/// Appends "Name: value\r\n".
void put_field(std::string& out, std::string_view name, std::string_view value);
void put_field(std::string& out, std::string_view name, std::uint64_t value);
/// Appends all of `headers` but those that say where a message ends, which is this module's to say. Whether one of them
/// was "Connection: close".
bool put_fields(std::string& out, const fields& headers);
/// Appends "Date: ...\r\n" with the time of now.
void put_date(std::string& out);

}  // namespace tutti::io::http::detail
