// process_channel: elements from one process to another, or both ways, through shared memory.
#pragma once
#include <tutti/process/channel_ring.hpp>
#include <tutti/process/message_forms.hpp>

#include <string>
#include <utility>

namespace tutti::detail {

template <class Archive>
void save_ring(Archive& archive, const travelling_ring& from) {
  archive(from.memory, from.socket, from.has_early, from.early);
}
template <class Archive>
travelling_ring load_ring(Archive& archive) {
  travelling_ring from;
  archive(from.memory, from.socket, from.has_early, from.early);
  return from;
}

}  // namespace tutti::detail

namespace tutti {

template <class In, class Out = In>
class process_channel;

/// An end of a process_channel to send to. Move-only; for one thread at a time. As an argument, a result or an element
/// it is given away: it then is in the other process alone, and used here it is a std::logic_error.
///
/// `closed` is thrown when the end that receives is gone: closed, or its process dead, however it died. That is noticed
/// when it sleeps or the channel is full, else within some milliseconds: a few elements may go to nobody before.
template <class T>
class process_writer : public message_send_forms<process_writer<T>, T> {
 public:
  using value_type = T;
  static constexpr bool carries_handles = true;

  /// No end: for decoding.
  process_writer() = default;
  process_writer(process_writer&&) noexcept = default;
  process_writer& operator=(process_writer&&) noexcept = default;

  /// Gives this end up, as its destructor does: who receives gets what was sent, and then `closed`.
  void close() noexcept { ring_.close(); }
  /// Whether it can be used: not after it was moved or given away, or closed.
  explicit operator bool() const noexcept { return static_cast<bool>(ring_); }

  template <class Archive>
  void save(Archive& archive) const {
    detail::save_ring(archive, ring_.give());
  }
  template <class Archive>
  void load(Archive& archive) {
    ring_.take_over(detail::load_ring(archive));
  }

 private:
  friend detail::message_access;
  template <class, class>
  friend class process_channel;
  explicit process_writer(detail::ring_writer ring) noexcept : ring_(std::move(ring)) {}
  detail::ring_writer& sink() noexcept { return ring_; }

  mutable detail::ring_writer ring_;  // what is encoded is const, and this given away by it
};

/// An end of a process_channel to receive from. Move-only, for one thread at a time, given away as process_writer.
///
/// When the end that sends is gone, whatever ended its process, all that it had sent is received, and then `closed` is
/// thrown. An element that it was in the middle of sending is never delivered: `closed` says so, from next() and
/// iteration, too.
template <class T>
class process_reader : public message_receive_forms<process_reader<T>, T> {
 public:
  using value_type = T;
  static constexpr bool carries_handles = true;

  /// No end: for decoding.
  process_reader() = default;
  process_reader(process_reader&&) noexcept = default;
  process_reader& operator=(process_reader&&) noexcept = default;

  /// Gives this end up, as its destructor does: what is still in it is lost, and who sends gets `closed`.
  void close() noexcept { ring_.close(); }
  /// Whether it can be used: not after it was moved or given away, or closed.
  explicit operator bool() const noexcept { return static_cast<bool>(ring_); }

  template <class Archive>
  void save(Archive& archive) const {
    detail::save_ring(archive, ring_.give());
  }
  template <class Archive>
  void load(Archive& archive) {
    ring_.take_over(detail::load_ring(archive));
  }

 private:
  friend detail::message_access;
  template <class, class>
  friend class process_channel;
  explicit process_reader(detail::ring_reader ring) noexcept : ring_(std::move(ring)) {}
  detail::ring_reader& source() noexcept { return ring_; }

  mutable detail::ring_reader ring_;
};

/// One of two connected ends, each for one process: what one sends, in order, the other receives. `In`: what this end
/// receives; `Out`: what it sends. In each direction 256 KiB wait in shared memory; a larger element goes through in
/// pieces. Elements may hold what is sent by handle: shared arrays, ends of other channels.
///
/// Move-only; one thread may send while one other receives. Given away, and closed, as process_writer and
/// process_reader, of which it is made.
template <class In, class Out>
class process_channel : public message_send_forms<process_channel<In, Out>, Out>,
                        public message_receive_forms<process_channel<In, Out>, In> {
 public:
  using value_type = In;
  static constexpr bool carries_handles = true;

  /// Two ends that send to each other. Throws os_error.
  [[nodiscard]] static std::pair<process_channel, process_channel<Out, In>> pair() {
    auto [here, from_there] = process_channel<In>::simplex();
    auto [there, from_here] = process_channel<Out>::simplex();
    return {process_channel(std::move(here), std::move(from_here)),
            process_channel<Out, In>(std::move(there), std::move(from_there))};
  }
  /// One direction: who receives, and who sends. Throws os_error.
  [[nodiscard]] static std::pair<process_reader<In>, process_writer<In>> simplex() {
    auto [reader, writer] = detail::make_ring();
    return {process_reader<In>(std::move(reader)), process_writer<In>(std::move(writer))};
  }

  /// No end: for decoding.
  process_channel() = default;
  process_channel(process_channel&&) noexcept = default;
  process_channel& operator=(process_channel&&) noexcept = default;

  /// Its two halves, for a thread each; closing the writer alone tells the other side that no more will come.
  [[nodiscard]] std::pair<process_reader<In>, process_writer<Out>> split() && {
    return {std::move(reader_), std::move(writer_)};
  }
  /// Gives this end up, as its destructor does.
  void close() noexcept {
    writer_.close();
    reader_.close();
  }
  /// Whether it can be used: not after it was moved or given away, or closed.
  explicit operator bool() const noexcept { return static_cast<bool>(writer_); }

  template <class Archive>
  void serialize(Archive& archive) {
    archive(reader_, writer_);
  }

 private:
  friend detail::message_access;
  template <class, class>
  friend class process_channel;
  process_channel(process_reader<In> reader, process_writer<Out> writer) noexcept
      : reader_(std::move(reader)), writer_(std::move(writer)) {}
  detail::ring_writer& sink() noexcept { return detail::message_access::sink(writer_); }
  detail::ring_reader& source() noexcept { return detail::message_access::source(reader_); }

  process_reader<In> reader_;
  process_writer<Out> writer_;
};

}  // namespace tutti
