// ends: the two sides of a channel as values: each is held by whoever uses it, and the last of a side closes.
#pragma once
#include <tutti/channel/channel.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

namespace tutti {

namespace detail {

// Who uses an end, for observers of waits: unknown until its first use, and again after it was moved.
class end_holder {
 public:
  end_holder() = default;
  void used(const wait_target& resource, const place& here) {
    if (wait_graph::observer() != nullptr) [[unlikely]]
      tell_used(resource, here);
  }
  void made(const wait_target& resource) noexcept;
  void moved(const wait_target& resource) noexcept;
  void dropped(const wait_target& resource) noexcept;

 private:
  void tell_used(const wait_target& resource, const place& here);
  const void* id_ = nullptr;
};

[[noreturn]] void throw_no_end(const char* kind);

// What writers and readers have in common: a share in the channel, counted per side. `Add` and `Drop` count.
template <class T, void (channel_core::*Add)() noexcept, void (channel_core::*Drop)() noexcept, bool Sends>
class channel_end {
 public:
  /// The names, counts and states of the channel. Throw std::logic_error when this end was moved away or closed.
  std::size_t size() const { return state().size(); }
  bool empty() const { return size() == 0; }
  bool is_closed() const { return state().is_closed(); }
  std::size_t capacity() const { return state().capacity(); }
  std::string_view name() const { return state().name(); }
  /// Whether there is a channel behind it: not after it was moved away or closed.
  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// Gives this end up, as its destructor does: the last of its side closes the channel.
  void close() noexcept {
    if (state_ == nullptr) return;
    holder_.dropped(target());
    (state_.get()->*Drop)();
    state_.reset();
  }
  /// Ends the channel at once, for both sides: see channel::poison. What is there is destroyed by this call; first in,
  /// first out with a reader that was never shared, by that reader, when it is used next or ends.
  void poison() { state().poison(); }

 protected:
  explicit channel_end(std::shared_ptr<channel_state<T>> state) noexcept : state_(std::move(state)) {
    holder_.made(target());
  }
  channel_end(channel_end&& other) noexcept : state_(std::move(other.state_)), holder_(other.holder_) {
    if (state_ != nullptr) holder_.moved(target());
  }
  channel_end& operator=(channel_end&& other) noexcept {
    if (this == &other) return *this;
    close();
    state_ = std::move(other.state_);
    holder_ = other.holder_;
    if (state_ != nullptr) holder_.moved(target());
    return *this;
  }
  ~channel_end() { close(); }

  channel_state<T>& state() const {
    if (state_ == nullptr) [[unlikely]]
      throw_no_end(Sends ? "writer" : "reader");
    return *state_;
  }
  channel_state<T>& use(const place& here) {
    channel_state<T>& used = state();
    holder_.used(target(), here);
    return used;
  }
  std::shared_ptr<channel_state<T>> shared_state() const {
    (state().*Add)();
    return state_;
  }

 private:
  // What this end holds: that somebody can send, for which receivers wait, or the other way round.
  const wait_target& target() const noexcept { return Sends ? state_->in().target : state_->out().target; }

  std::shared_ptr<channel_state<T>> state_;
  end_holder holder_;
};

template <class T>
struct end_maker;

}  // namespace detail

template <class T>
class writer;
template <class T>
class reader;

/// An end to send to, for one thread or coroutine at a time: move it to whoever sends, or share() it. The channel is
/// closed when its last writer is destroyed or closed. Used after it was moved away or closed: std::logic_error.
///
/// As long as a side was never shared, its end works without a lock.
template <class T>
class writer
    : public detail::channel_end<T, &detail::channel_core::share_writer, &detail::channel_core::drop_writer, true>,
      public send_forms<writer<T>, T>,
      public join_forms<writer<T>> {
  using base = detail::channel_end<T, &detail::channel_core::share_writer, &detail::channel_core::drop_writer, true>;

 public:
  using value_type = T;
  writer(writer&&) noexcept = default;
  writer& operator=(writer&&) noexcept = default;

  /// One more writer of the same channel. By whoever uses this one.
  writer share() { return writer(this->shared_state()); }

 private:
  friend struct detail::end_maker<T>;
  friend struct detail::access;
  using base::base;

  detail::attempt put(T& value, const place& here) { return this->use(here).put(value); }
  detail::port& out() { return this->state().out(); }
  detail::port& prepare_out(const place& here) { return this->use(here).out(); }
  detail::channel_core& core() { return this->state(); }
};

/// An end to receive from, for one thread or coroutine at a time: move it to whoever receives, or share() it. When the
/// last reader is destroyed or closed, senders get `closed`, and what is still in the channel is destroyed. Used after
/// it was moved away or closed: std::logic_error.
template <class T>
class reader
    : public detail::channel_end<T, &detail::channel_core::share_reader, &detail::channel_core::drop_reader, false>,
      public receive_forms<reader<T>, T> {
  using base = detail::channel_end<T, &detail::channel_core::share_reader, &detail::channel_core::drop_reader, false>;

 public:
  using value_type = T;
  reader(reader&&) noexcept = default;
  reader& operator=(reader&&) noexcept = default;

  /// One more reader of the same channel: each element goes to one of them. By whoever uses this one.
  reader share() { return reader(this->shared_state()); }
  /// As channel::task_done.
  void task_done() { this->state().task_done(); }

 private:
  friend struct detail::end_maker<T>;
  friend struct detail::access;
  using base::base;

  detail::attempt take(T* to, const place& here) { return this->use(here).take(to); }
  detail::port& in() { return this->state().in(); }
  detail::port& prepare_in(const place& here) { return this->use(here).in(); }
};

namespace detail {

template <class T>
struct end_maker {
  template <class... Args>
  static std::pair<writer<T>, reader<T>> make(const Args&... args) {
    auto state = std::make_shared<channel_state<T>>(args...);
    state->make_ends();
    return {writer<T>(state), reader<T>(state)};
  }
};

}  // namespace detail

/// A channel as a pair of ends, `auto [out, in] = make_channel<int>(64)`, which share its ownership. The arguments are
/// channel's.
template <class T>
std::pair<writer<T>, reader<T>> make_channel(std::ptrdiff_t capacity, std::string_view name = {}) {
  return detail::end_maker<T>::make(capacity, name);
}
template <class T>
std::pair<writer<T>, reader<T>> make_channel(std::ptrdiff_t capacity, lifo_t order, std::string_view name = {}) {
  return detail::end_maker<T>::make(capacity, order, name);
}
template <class T, class P>
std::pair<writer<T>, reader<T>> make_channel(std::ptrdiff_t capacity, by_priority<P> order,
                                             std::string_view name = {}) {
  return detail::end_maker<T>::make(capacity, order, name);
}

}  // namespace tutti
