// framing: messages over a stream, each behind its length; and lines.
#pragma once
#include <tutti/io/stream.hpp>

#include <cstddef>
#include <optional>
#include <string>

namespace tutti::io {

/// Messages of bytes over a stream: each is 4 bytes, its length with the most significant first, and then itself. One
/// coroutine at a time may read, and one at a time write, as with the stream. A read that is cancelled or times out
/// loses nothing; a write may have gone out in part, and the stream is of no more use then. Both throw as a stream's
/// waits. Move-only; unlike a stream it is neither to be moved nor destroyed while a call of it has not ended, also one
/// that is not awaited yet.
class frames {
 public:
  /// Over `carrier`. `most`: bytes that a message may have, in both directions; at most 4 GiB - 1, else throws
  /// std::invalid_argument.
  explicit frames(stream carrier, std::size_t most = std::size_t{16} << 20);

  /// Awaits a message; nothing at the end. Throws `closed` when the end comes inside one; too_long for one that
  /// announces more than `most` bytes, before anything is allocated for it: the stream is of no more use then. Memory
  /// grows with what has arrived, not with what is announced.
  [[nodiscard]] task<std::optional<std::string>> read_frame(time_limit limit = no_limit);
  /// Awaits until the system has taken a message, or it is in the stream's write buffer. Throws too_long for one of
  /// more than `most` bytes; nothing was written then.
  [[nodiscard]] task<> write_frame(std::string message, time_limit limit = no_limit);

  /// What carries them, to be flushed or asked; what is read from it behind the back of this is missing here.
  [[nodiscard]] stream& carrier() noexcept { return carrier_; }
  [[nodiscard]] const stream& carrier() const noexcept { return carrier_; }

 private:
  [[nodiscard]] std::size_t arrived() const noexcept { return ahead_.size() - ahead_at_; }
  std::string take(std::size_t size);

  stream carrier_;
  std::size_t most_;
  std::string ahead_;  // what has arrived and was not given out, from ahead_at_ on
  std::size_t ahead_at_ = 0;
};

/// Awaits until the system has taken `line` and a "\n", or they are in the write buffer of `to`: what
/// stream::read_line gives back. Throws std::invalid_argument for a text that is no line: it has a "\n" inside, or a
/// "\r" at its end; else as a stream's waits. `to` must live as long.
[[nodiscard]] task<> write_line(stream& to, std::string line, time_limit limit = no_limit);

}  // namespace tutti::io
