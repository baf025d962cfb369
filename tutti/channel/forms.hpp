// forms: every way to send and to receive, blocking, timed, stoppable and for coroutines, written once over what a
// channel, a writer, a reader, a broadcast or a subscription offers: one look that never blocks, and a port.
#pragma once
#include <tutti/channel/cases.hpp>
#include <tutti/channel/channel_state.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

namespace tutti {

namespace detail {

/// The end of a limit from now on. Lives as long as the wait.
class end_of_limit {
 public:
  explicit end_of_limit(std::chrono::nanoseconds limit) noexcept : at_(time_after(limit)) {}
  /// As wait_how takes it: null for one that never comes.
  const std::chrono::steady_clock::time_point* deadline() const noexcept {
    return at_ == std::chrono::steady_clock::time_point::max() ? nullptr : &at_;
  }

 private:
  const std::chrono::steady_clock::time_point at_;
};

inline bool never_waits(std::chrono::nanoseconds limit) noexcept { return limit <= std::chrono::nanoseconds::zero(); }

/// What a wait for one port has come to, when it is neither done nor out of time: the error.
inline void refuse_unless_done(const port& at, case_result::kind what) {
  if (what == case_result::kind::closed) at.refuse(attempt::closed);
  if (what == case_result::kind::poisoned) at.refuse(attempt::poisoned);
}

/// Opens the private parts of the classes that have the forms below: `put(value, here)`, one look, and `out()`, the
/// port; or `take(to, here)` and `in()`. The `prepare_` kind is for waits that make their first look themselves.
struct access {
  template <class Self, class T>
  static attempt put(Self& self, T& value, const place& here) {
    return self.put(value, here);
  }
  template <class Self, class T>
  static attempt take(Self& self, T* to, const place& here) {
    return self.take(to, here);
  }
  template <class Self>
  static port& out(Self& self) {
    return self.out();
  }
  template <class Self>
  static port& in(Self& self) {
    return self.in();
  }
  template <class Self>
  static port& prepare_out(Self& self, const place& here) {
    return self.prepare_out(here);
  }
  template <class Self>
  static port& prepare_in(Self& self, const place& here) {
    return self.prepare_in(here);
  }
  template <class Self>
  static auto& core(Self& self) {
    return self.core();
  }
};

template <class T>
class send_awaiter final : public port_awaiter {
 public:
  send_awaiter(port& to, T&& value, const place& here)
      : port_awaiter(to, &value_, "channel::send_async", here, {}), value_(std::move(value)) {}
  void await_resume() { refuse_unless_done(at(), end()); }

 private:
  T value_;
};

template <class T>
class timed_send_awaiter final : public port_awaiter {
 public:
  timed_send_awaiter(port& to, T& value, const place& here, std::chrono::nanoseconds limit)
      : port_awaiter(to, &value, "channel::send_for_async", here, limit) {}
  bool await_resume() {
    const auto how = end();
    refuse_unless_done(at(), how);
    return how == case_result::kind::done;
  }
};

// Value: what the await gives: T, or optional<T>, which is empty when the time is up. `EndIsEmpty`: and when the
// channel is closed.
template <class T, class Value, bool EndIsEmpty>
class receive_awaiter final : public port_awaiter {
 public:
  receive_awaiter(port& from, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {})
      : port_awaiter(from, nullptr, what, here, limit) {
    this->put_at(value_.address());
  }
  Value await_resume() {
    const auto how = end();
    if (how == case_result::kind::done) {
      value_.filled();
      return Value(std::move(*value_));
    }
    if (!(EndIsEmpty && how == case_result::kind::closed)) refuse_unless_done(at(), how);
    if constexpr (std::is_same_v<Value, std::optional<T>>) return std::nullopt;
    std::terminate();  // not reached: without a limit a wait ends with a value or an error
  }

 private:
  slot<T> value_;
};

}  // namespace detail

/// The ways to send. All throw `closed` once the channel is closed or its last reader is gone, also when they wait
/// already, and `poisoned`. "Untouched": what could not be sent is still the caller's.
template <class Self, class T>
class send_forms {
 public:
  /// Blocks the thread while there is no room. On a run_loop's thread throws would_block rather than really wait.
  void send(T value, place here = place::current()) {
    const detail::attempt first = detail::access::put(self(), value, here);
    if (first != detail::attempt::done) [[unlikely]]
      wait_to_send(value, first, {.here = here, .what = "channel::send", .instead = "send_async()"});
  }
  /// The same, and gives up when stop is requested: throws `cancelled`. Succeeds in spite of it when it need not wait.
  void send(const std::stop_token& stop, T value, place here = place::current()) {
    const detail::attempt first = detail::access::put(self(), value, here);
    if (first != detail::attempt::done)
      wait_to_send(value, first, {.stop = stop, .here = here, .what = "channel::send", .instead = "send_async()"});
  }
  /// Never blocks. False, and `value` untouched, when there is no room.
  bool try_send(T&& value, place here = place::current()) {
    const detail::attempt first = detail::access::put(self(), value, here);
    if (first >= detail::attempt::closed) detail::access::out(self()).refuse(first);
    return first == detail::attempt::done;
  }
  bool try_send(const T& value, place here = place::current())
    requires std::copy_constructible<T>
  {
    return try_send(T(value), here);
  }
  /// Blocks for `limit` at most, on tutti's clock; zero or less never, the longest duration without limit. False, and
  /// `value` untouched, when the time is up.
  bool send_for(std::chrono::nanoseconds limit, T&& value, place here = place::current()) {
    const detail::attempt first = detail::access::put(self(), value, here);
    if (first == detail::attempt::done) return true;
    if (first == detail::attempt::not_now && detail::never_waits(limit)) return false;
    const detail::end_of_limit end(limit);
    return wait_to_send(
        value, first,
        {.deadline = end.deadline(), .here = here, .what = "channel::send_for", .instead = "send_for_async()"});
  }
  bool send_for(std::chrono::nanoseconds limit, const T& value, place here = place::current())
    requires std::copy_constructible<T>
  {
    return send_for(limit, T(value), here);
  }
  /// To be awaited in a task: as send. Ends with `cancelled` when the task is asked to stop first.
  [[nodiscard]] detail::send_awaiter<T> send_async(T value, place here = place::current()) {
    return {port_to_send(here), std::move(value), here};
  }
  /// To be awaited in a task: as send_for. `value` must live until then, and is untouched when it gives false.
  [[nodiscard]] detail::timed_send_awaiter<T> send_for_async(std::chrono::nanoseconds limit, T&& value,
                                                             place here = place::current()) {
    return {port_to_send(here), value, here, limit};
  }

  /// For select.
  detail::port& port_to_send(const place& here) { return detail::access::prepare_out(self(), here); }

 protected:
  send_forms() = default;
  send_forms(const send_forms&) = default;
  send_forms& operator=(const send_forms&) = default;
  ~send_forms() = default;

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }

  // True if it was sent.
  bool wait_to_send(T& value, detail::attempt first, const wait_how& how) {
    detail::port& to = detail::access::out(self());
    if (first != detail::attempt::not_now) to.refuse(first);
    const auto end = detail::wait_for_one(to, &value, how).what;
    detail::refuse_unless_done(to, end);
    return end == detail::case_result::kind::done;
  }
};

/// The ways to receive. An element is received once, by one of those who wait. All throw `poisoned`; once the channel
/// is closed, what it has is still received, and then all throw `closed`, but for next() and iteration.
template <class Self, class T>
class receive_forms {
 public:
  /// The next element. Blocks the thread while there is none; on a run_loop's thread throws would_block rather than
  /// really wait.
  T receive(place here = place::current()) {
    return need({.here = here, .what = "channel::receive", .instead = "receive_async()"});
  }
  /// The same, and gives up when stop is requested: throws `cancelled`. Succeeds in spite of it when it need not wait.
  T receive(const std::stop_token& stop, place here = place::current()) {
    return need({.stop = stop, .here = here, .what = "channel::receive", .instead = "receive_async()"});
  }
  /// The next element if there is one now. Never blocks.
  std::optional<T> try_receive(place here = place::current()) {
    detail::slot<T> value;
    const detail::attempt first = detail::access::take(self(), value.address(), here);
    if (first >= detail::attempt::closed) detail::access::in(self()).refuse(first);
    return given(value, first == detail::attempt::done);
  }
  /// Blocks for `limit` at most, on tutti's clock; zero or less never, the longest duration without limit. Empty when
  /// the time is up.
  std::optional<T> receive_for(std::chrono::nanoseconds limit, place here = place::current()) {
    detail::slot<T> value;
    const detail::attempt first = detail::access::take(self(), value.address(), here);
    if (first == detail::attempt::done) return given(value, true);
    if (first == detail::attempt::not_now && detail::never_waits(limit)) return std::nullopt;
    const detail::end_of_limit end(limit);
    const auto how = wait_to_receive(
        value, first,
        {.deadline = end.deadline(), .here = here, .what = "channel::receive_for", .instead = "receive_for_async()"});
    detail::refuse_unless_done(detail::access::in(self()), how);
    return given(value, how == kind::done);
  }
  /// The next element, or nothing once the channel is closed and drained: for loops. Blocks as receive.
  std::optional<T> next(place here = place::current()) {
    detail::slot<T> value;
    const detail::attempt first = detail::access::take(self(), value.address(), here);
    if (first == detail::attempt::done) [[likely]]
      return given(value, true);
    const auto how = wait_to_receive(value, first, {.here = here, .what = "channel::next", .instead = "next_async()"});
    if (how == kind::poisoned) detail::access::in(self()).refuse(detail::attempt::poisoned);
    return given(value, how == kind::done);
  }
  /// To be awaited in a task: as receive. Ends with `cancelled` when the task is asked to stop first.
  [[nodiscard]] detail::receive_awaiter<T, T, false> receive_async(place here = place::current()) {
    return {port_to_receive(here), "channel::receive_async", here};
  }
  /// To be awaited in a task: as receive_for.
  [[nodiscard]] detail::receive_awaiter<T, std::optional<T>, false> receive_for_async(std::chrono::nanoseconds limit,
                                                                                      place here = place::current()) {
    return {port_to_receive(here), "channel::receive_for_async", here, limit};
  }
  /// To be awaited in a task: as next.
  [[nodiscard]] detail::receive_awaiter<T, std::optional<T>, true> next_async(place here = place::current()) {
    return {port_to_receive(here), "channel::next_async", here};
  }

  /// `for (T& x : c)`: receives until the channel is closed and drained. Each pass blocks as next(), and its wait
  /// stands in reports with the line of the loop.
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
  iterator begin(place here = place::current()) { return iterator(self(), here); }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// For select.
  detail::port& port_to_receive(const place& here) { return detail::access::prepare_in(self(), here); }

 protected:
  receive_forms() = default;
  receive_forms(const receive_forms&) = default;
  receive_forms& operator=(const receive_forms&) = default;
  ~receive_forms() = default;

 private:
  using kind = detail::case_result::kind;
  Self& self() noexcept { return static_cast<Self&>(*this); }

  T need(const wait_how& how) {
    detail::slot<T> value;
    const detail::attempt first = detail::access::take(self(), value.address(), how.here);
    if (first != detail::attempt::done) [[unlikely]]
      detail::refuse_unless_done(detail::access::in(self()), wait_to_receive(value, first, how));
    value.filled();
    return std::move(*value);
  }
  static std::optional<T> given(detail::slot<T>& value, bool is) {
    if (!is) return std::nullopt;
    value.filled();
    return std::optional<T>(std::move(*value));
  }
  kind wait_to_receive(detail::slot<T>& value, detail::attempt first, const wait_how& how) {
    if (first == detail::attempt::closed) return kind::closed;
    if (first == detail::attempt::poisoned) return kind::poisoned;
    return detail::wait_for_one(detail::access::in(self()), value.address(), how).what;
  }
};

/// Counting what was done with the elements, apart from their being received; see channel.
template <class Self>
class join_forms {
 public:
  /// Blocks the thread until every element sent so far has been reported by task_done(): until none is left. Throws
  /// `poisoned`, or `closed` when the last reader is gone, if some never will be.
  void join(place here = place::current()) {
    joined().join({.here = here, .what = "channel::join", .instead = "join_async()"});
  }
  /// The same, and gives up when stop is requested: throws `cancelled`.
  void join(const std::stop_token& stop, place here = place::current()) {
    joined().join({.stop = stop, .here = here, .what = "channel::join", .instead = "join_async()"});
  }
  /// False when the time is up first; zero or less never waits.
  bool join_for(std::chrono::nanoseconds limit, place here = place::current()) {
    const detail::end_of_limit end(limit);
    return joined().join({.deadline = end.deadline(),
                          .here = here,
                          .what = "channel::join_for",
                          .instead = detail::never_waits(limit) ? nullptr : "join_for_async()"}) == wait_result::ready;
  }
  bool try_join(place here = place::current()) { return join_for(std::chrono::nanoseconds::zero(), here); }
  /// To be awaited in a task: true.
  [[nodiscard]] auto join_async(place here = place::current()) {
    return detail::channel_core::join_awaiter(joined(), "channel::join_async", here);
  }
  /// To be awaited in a task: false when the time is up first.
  [[nodiscard]] auto join_for_async(std::chrono::nanoseconds limit, place here = place::current()) {
    return detail::channel_core::join_awaiter(joined(), "channel::join_for_async", here, limit);
  }

 private:
  detail::channel_core& joined() { return detail::access::core(static_cast<Self&>(*this)); }
};

}  // namespace tutti
