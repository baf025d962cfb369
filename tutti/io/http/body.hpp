// body: the bytes of a message as they come and go.
#pragma once
#include <tutti/io/buffers.hpp>
#include <tutti/task/task.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tutti::io::http {

namespace detail {
class connection;
struct message_head;
}  // namespace detail

/// A body that arrives: nothing is read that nobody asked for, so a peer that sends faster waits. Belongs to its
/// message; one coroutine at a time.
class body_reader {
 public:
  body_reader() noexcept = default;

  /// Awaits bytes, at least one, puts them into `room` and gives their number; 0 at the end, or without room. Throws
  /// too_long when the body has more than the limit, bad_message when it is malformed, `closed` when the connection
  /// ends within it, and what a stream throws; of waits that took too long, timed_out.
  [[nodiscard]] task<std::size_t> read_some(mutable_buffer room);
  /// Awaits the rest. Throws too_long when the whole has more than `most` bytes, else as read_some.
  [[nodiscard]] task<std::string> read_all(std::size_t most);
  /// The most that it may have, in bytes; before the first read.
  void limit(std::uint64_t most) noexcept { most_ = most; }
  /// How large it is to be, as the peer says; nothing if it does not.
  [[nodiscard]] std::optional<std::uint64_t> size() const noexcept;
  /// Whether all was read.
  [[nodiscard]] bool at_end() const noexcept;

  /// For this module.
  body_reader(detail::connection& from, const detail::message_head& head, std::uint64_t most) noexcept
      : from_(&from), head_(&head), most_(most) {}
  /// What a server answers when a read has thrown: 400, 408 or 413; -1 for a connection that broke, `ended_early` for
  /// a read that its own task has ended; 0 if none has.
  [[nodiscard]] int failure() const noexcept { return failure_; }
  static constexpr int ended_early = -2;
  /// Whether the peer still waits for "100 Continue".
  [[nodiscard]] bool is_awaited() const noexcept;
  /// From here on what is written is the answer: "100 Continue" goes before it, if the body will be read (`goes_on`),
  /// or not at all.
  void answer_begins(bool goes_on);

 private:
  void invite();
  task<std::size_t> read(mutable_buffer room);

  detail::connection* from_ = nullptr;
  const detail::message_head* head_ = nullptr;
  std::uint64_t most_ = 0, count_ = 0;
  int failure_ = 0;
  bool begun_ = false, answered_ = false;
};

/// Where a body goes that is made while it is sent.
class body_writer {
 public:
  /// Awaits until the peer, or what lies between, has taken `bytes`; they go out at once. Throws std::length_error for
  /// more than were announced, and what a stream throws. After one that has failed all others throw `closed`, and the
  /// connection ends within the body, also if whoever writes goes on as if nothing had happened.
  [[nodiscard]] task<> write(const_buffer bytes);

  /// For this module. `left`: how many bytes there are to be; nothing: in chunks, or until the connection ends.
  body_writer(detail::connection& to, std::optional<std::uint64_t> left, bool chunked) noexcept
      : to_(to), left_(left), chunked_(chunked) {}
  /// The body's end. Throws std::length_error when there were less than announced.
  void finish();

 private:
  detail::connection& to_;
  std::optional<std::uint64_t> left_;
  const bool chunked_;
};

/// Writes a body; kept until it has ended.
using body_source = std::function<task<>(body_writer&)>;

}  // namespace tutti::io::http
