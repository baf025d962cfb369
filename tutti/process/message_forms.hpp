// message_forms: every way to send and to receive values between programs, written once over what carries messages: a
// `sink` with put, a `source` with take.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/base/place.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/handles.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// How long something may wait, and who asks.
struct message_wait {
  using clock = std::chrono::steady_clock;

  /// At most `limit`: zero or less never waits, the longest has no end.
  static message_wait within(std::chrono::nanoseconds limit, const char* what, const place& here) noexcept;
  static message_wait endless(const char* what, const place& here) noexcept { return {what, here, false, {}}; }
  static message_wait never(const char* what, const place& here) noexcept { return {what, here, true, {}}; }

  /// The same, but no longer than `limit`, which is more than zero.
  [[nodiscard]] message_wait at_most(std::chrono::nanoseconds limit) const noexcept;

  /// What is left of the limit, at least 0; as poll wants it.
  [[nodiscard]] std::chrono::nanoseconds left() const noexcept;
  [[nodiscard]] bool is_over() const noexcept { return waits_not || (until && clock::now() >= *until); }
  [[nodiscard]] bool is_endless() const noexcept { return !waits_not && !until; }

  const char* what;  ///< a literal: "process_channel::send"
  place here;
  bool waits_not;                          ///< one look only
  std::optional<clock::time_point> until;  ///< none: without end
  bool is_counted = false;                 ///< the thread counts as blocked already, see message_sleep
};

/// Memory for bytes to come, which nobody has set to zero.
class byte_buffer {
 public:
  byte_buffer() = default;
  byte_buffer(byte_buffer&& other) noexcept : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  byte_buffer& operator=(byte_buffer&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~byte_buffer() = default;
  [[nodiscard]] char* data() const noexcept { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// At least `size` bytes, of which the first `kept` are as they were.
  void reserve(std::size_t size, std::size_t kept = 0);
  /// Gives back what is more than usual.
  void trim() noexcept {
    if (size_ > usual) *this = byte_buffer();
  }
  static constexpr std::size_t usual = std::size_t{4} << 20;

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

/// What has arrived. `bytes` are valid until the source is asked again, and no longer than this.
class arrived_message {
 public:
  arrived_message() = default;
  ~arrived_message();
  arrived_message(const arrived_message&) = delete;
  arrived_message& operator=(const arrived_message&) = delete;
  /// Memory for `size` bytes, the same for all that this thread receives.
  char* room(std::size_t size);

  std::string_view bytes;
  std::vector<unique_fd> handles;

 private:
  byte_buffer storage_;
};

/// How a look for a message went.
enum class arrival : std::uint8_t { message, not_now, closed };

/// Something that can be given away by being encoded.
class giveable {
 public:
  /// Its copy has got there: closes ours.
  virtual void given() noexcept = 0;

 protected:
  giveable() = default;
  giveable(const giveable&) = default;
  giveable& operator=(const giveable&) = default;
  ~giveable() = default;
};

/// While it lives, what this thread encodes to give away is given only by `done`: so that what could not be sent is
/// still the sender's. They nest.
class giving {
 public:
  giving() noexcept;
  ~giving();
  giving(const giving&) = delete;
  giving& operator=(const giving&) = delete;
  void done() noexcept;

  /// Called by what has been encoded to be given away: gives it at once when nobody has opened a `giving`.
  static void encoded(giveable& given);

 private:
  std::vector<giveable*> given_;
  giving* const outer_;
};

/// A string to encode into, the same one for all sends of this thread.
class encode_buffer {
 public:
  encode_buffer() noexcept;
  ~encode_buffer();
  encode_buffer(const encode_buffer&) = delete;
  encode_buffer& operator=(const encode_buffer&) = delete;
  std::string bytes;
};

/// Opens the private parts of the classes that have the forms below.
struct message_access {
  template <class Self>
  static auto& sink(Self& self) {
    return self.sink();
  }
  template <class Self>
  static auto& source(Self& self) {
    return self.source();
  }
};

}  // namespace tutti::detail

namespace tutti {

/// The ways to send. All throw `closed` when nobody can receive any more, encode_error for values that cannot be
/// encoded or are too large, decode_error when another process has written nonsense into the shared memory, os_error.
/// What could not be sent is still the caller's.
template <class Self, class T>
class message_send_forms {
 public:
  /// Blocks the thread while there is no room. Throws would_block rather than wait on the thread of a run_loop.
  void send(T&& value, place here = place::current()) { write(value, detail::message_wait::endless(sends, here)); }
  void send(const T& value, place here = place::current())
    requires std::copy_constructible<T>
  {
    write(value, detail::message_wait::endless(sends, here));
  }
  /// Never waits for room. False when there is none.
  [[nodiscard]] bool try_send(T&& value, place here = place::current()) {
    return write(value, detail::message_wait::never(sends, here));
  }
  [[nodiscard]] bool try_send(const T& value, place here = place::current())
    requires std::copy_constructible<T>
  {
    return write(value, detail::message_wait::never(sends, here));
  }
  /// Blocks for `limit` at most, on the machine's clock; zero or less never, the longest without limit. False when the
  /// time is up.
  [[nodiscard]] bool send_for(std::chrono::nanoseconds limit, T&& value, place here = place::current()) {
    return write(value, detail::message_wait::within(limit, sends_for, here));
  }
  [[nodiscard]] bool send_for(std::chrono::nanoseconds limit, const T& value, place here = place::current())
    requires std::copy_constructible<T>
  {
    return write(value, detail::message_wait::within(limit, sends_for, here));
  }

 protected:
  message_send_forms() = default;
  message_send_forms(const message_send_forms&) = default;
  message_send_forms& operator=(const message_send_forms&) = default;
  ~message_send_forms() = default;

 private:
  static constexpr const char* sends = "send to another process";
  static constexpr const char* sends_for = "send_for to another process";

  bool write(const T& value, const detail::message_wait& how) {
    auto& to = detail::message_access::sink(static_cast<Self&>(*this));
    detail::encode_buffer buffer;
    if constexpr (Self::carries_handles) {
      detail::giving given;
      detail::outgoing_handles out;
      tutti::encode(buffer.bytes, value);
      const std::vector<unique_fd> handles = out.take();
      if (!to.put(buffer.bytes, handles, how)) return false;
      given.done();
      return true;
    } else {
      tutti::encode(buffer.bytes, value);
      return to.put(buffer.bytes, how);
    }
  }
};

/// The ways to receive. An element is received once, by one of those who wait. When nobody can send any more, what has
/// been sent is still received, and then all throw `closed`, but for next() and iteration. All throw decode_error for
/// bytes that are not a T, and what decoding throws else, as std::bad_alloc: the element is then gone.
template <class Self, class T>
class message_receive_forms {
 public:
  /// The next element. Blocks the thread while there is none; throws would_block rather than wait on the thread of a
  /// run_loop.
  T receive(place here = place::current()) {
    return std::move(*read(detail::message_wait::endless("receive from another process", here), false));
  }
  /// The next element if there is one now. Never blocks.
  [[nodiscard]] std::optional<T> try_receive(place here = place::current()) {
    return read(detail::message_wait::never("try_receive from another process", here), false);
  }
  /// Blocks for `limit` at most, on the machine's clock; zero or less never, the longest without limit. Empty when the
  /// time is up.
  [[nodiscard]] std::optional<T> receive_for(std::chrono::nanoseconds limit, place here = place::current()) {
    return read(detail::message_wait::within(limit, "receive_for from another process", here), false);
  }
  /// The next element, or nothing once it is closed and drained. Blocks as receive.
  [[nodiscard]] std::optional<T> next(place here = place::current()) {
    return read(detail::message_wait::endless("next from another process", here), true);
  }

  /// `for (T& x : in)`: receives until it is closed and drained. Each pass blocks as next().
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    iterator(Self& from, const place& here) : from_(&from), here_(here), now_(from.next(here)) {}
    T& operator*() const noexcept { return *now_; }
    iterator& operator++() {
      now_.reset();  // before it waits: what the loop is done with is gone
      if (auto next = from_->next(here_)) now_.emplace(std::move(*next));
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !now_; }

   private:
    Self* from_;
    place here_;
    mutable std::optional<T> now_;
  };
  iterator begin(place here = place::current()) { return iterator(static_cast<Self&>(*this), here); }
  std::default_sentinel_t end() const noexcept { return {}; }

 protected:
  message_receive_forms() = default;
  message_receive_forms(const message_receive_forms&) = default;
  message_receive_forms& operator=(const message_receive_forms&) = default;
  ~message_receive_forms() = default;

 private:
  std::optional<T> read(const detail::message_wait& how, bool end_is_empty) {
    auto& from = detail::message_access::source(static_cast<Self&>(*this));
    detail::arrived_message arrived;
    switch (from.take(arrived, how)) {
      case detail::arrival::not_now: return std::nullopt;
      case detail::arrival::closed:
        if (end_is_empty) return std::nullopt;
        from.refuse();
      case detail::arrival::message: break;
    }
    try {
      if constexpr (Self::carries_handles) {
        const detail::incoming_handles handles(std::move(arrived.handles));
        return std::optional<T>(tutti::decode<T>(arrived.bytes));
      } else {
        return std::optional<T>(tutti::decode<T>(arrived.bytes));
      }
    } catch (...) {
      if constexpr (requires { from.not_received(); }) from.not_received();
      throw;
    }
  }
};

}  // namespace tutti
