// broadcast: every subscriber gets every element that is sent after it has subscribed.
#pragma once
#include <tutti/channel/forms.hpp>

#include <concepts>
#include <memory>
#include <vector>

namespace tutti {

/// What a broadcast does when its slowest subscriber is a whole capacity behind.
enum class slow_reader : std::uint8_t {
  block,        ///< senders wait for it
  drop_oldest,  ///< it loses the oldest elements that it has not received; see subscription::lost
};

namespace detail {

/// Where one subscriber is. Its fields are the broadcast's, under its lock.
struct subscriber {
  std::uint64_t next = 0;  // the number of the element that it receives next
  std::uint64_t lost = 0;
};

[[noreturn]] void throw_no_subscription();

/// What a broadcast does that does not depend on the type of its elements. They are numbered; those from `oldest_` up
/// to `end_` are kept, each with how many subscribers have still to receive it. All under `mutex_`, also what waiters
/// look at once they are in their list; who changes it looks into the lists afterwards.
class broadcast_core {
 public:
  broadcast_core(const broadcast_core&) = delete;
  broadcast_core& operator=(const broadcast_core&) = delete;

  void close(bool by_force) noexcept;
  /// The broadcast ends: fatal when somebody waits to send, else closes.
  void end_sending() noexcept;
  bool is_closed() const noexcept;
  std::size_t subscribers() const noexcept;
  std::size_t capacity() const noexcept { return left_.size(); }
  std::string_view name() const noexcept { return name_; }

  void subscribe(subscriber& one);
  void unsubscribe(subscriber& one) noexcept;
  std::uint64_t lost_by(const subscriber& one) const noexcept;
  std::size_t waiting_for(const subscriber& one) const noexcept;
  bool may_send() const noexcept;
  bool may_receive(const subscriber& one) const noexcept;
  [[noreturn]] void refuse_sender(attempt why) const;
  [[noreturn]] void refuse_receiver(attempt why) const;
  wait_target target() const noexcept { return {.resource = this, .kind = "broadcast", .name = name_}; }

  wait_list senders, receivers;

 protected:
  broadcast_core(std::ptrdiff_t capacity, slow_reader policy, std::string_view name);
  ~broadcast_core();

  // ---- under mutex_
  attempt state() const noexcept {
    return poisoned_ ? attempt::poisoned : closed_ ? attempt::closed : attempt::not_now;
  }
  bool full() const noexcept { return end_ - oldest_ == left_.size(); }
  std::size_t place_of(std::uint64_t number) const noexcept { return static_cast<std::size_t>(number % left_.size()); }
  /// Counts what it has lost.
  void catch_up(subscriber& one) const noexcept {
    if (one.next >= oldest_) return;
    one.lost += oldest_ - one.next;
    one.next = oldest_;
  }
  /// Destroys the oldest, with `held`, the lock, released meanwhile: what its destructor does may lead back to here.
  virtual void drop_oldest(std::unique_lock<small_mutex>& held) noexcept = 0;

  mutable small_mutex mutex_;
  const slow_reader policy_;
  const std::string_view name_;
  bool closed_ = false, poisoned_ = false;
  std::size_t subscribers_ = 0;
  std::uint64_t oldest_ = 0, end_ = 0;
  static constexpr std::size_t gone = ~std::size_t{0};
  std::vector<std::size_t> left_;  // by place: how many have still to receive the element; `gone`: it was taken out
};

template <class T>
class broadcast_state final : public broadcast_core {
  static_assert(std::copy_constructible<T> && std::is_nothrow_move_constructible_v<T> &&
                    std::is_nothrow_destructible_v<T>,
                "broadcast<T>: each subscriber gets a copy of the element, so T must be copyable, and its move "
                "constructor and destructor noexcept; send a std::shared_ptr<const T> otherwise");

 public:
  broadcast_state(std::ptrdiff_t capacity, slow_reader policy, std::string_view name)
      : broadcast_core(capacity, policy, name), slots_(this->capacity()) {}
  ~broadcast_state() {
    for (; oldest_ != end_; ++oldest_) {
      if (left_[place_of(oldest_)] != gone) std::destroy_at(slots_ + place_of(oldest_));
    }
  }

  attempt put(T& value) noexcept {
    slot<T> dropped;  // destroyed after the lock
    {
      const std::lock_guard lock(mutex_);
      if (state() != attempt::not_now) return state();
      if (subscribers_ == 0) {  // sent to nobody
        std::construct_at(dropped.address(), std::move(value));
        dropped.filled();
        return attempt::done;
      }
      if (full()) {
        if (policy_ == slow_reader::block) return attempt::not_now;
        take_out(oldest_, dropped.address());
        dropped.filled();
      }
      std::construct_at(slots_ + place_of(end_), std::move(value));
      left_[place_of(end_)] = subscribers_;
      ++end_;
    }
    receivers.wake_all();
    return attempt::done;
  }

  attempt take(subscriber& one, T* to) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (poisoned_) return attempt::poisoned;
      catch_up(one);
      if (one.next == end_) return state();
      const std::uint64_t number = one.next++;
      if (--left_[place_of(number)] != 0) {
        std::construct_at(to, std::as_const(*(slots_ + place_of(number))));
        return attempt::done;
      }
      take_out(number, to);
    }
    senders.wake_one();
    return attempt::done;
  }

 private:
  // Mostly the oldest. But while a subscriber that leaves lets others in between, it is still counted for elements
  // before those that it was never to receive.
  void take_out(std::uint64_t number, T* to) noexcept {
    move_out(slots_ + place_of(number), to);
    left_[place_of(number)] = gone;
    while (oldest_ != end_ && left_[place_of(oldest_)] == gone) ++oldest_;
  }
  void drop_oldest(std::unique_lock<small_mutex>& held) noexcept override {
    {
      slot<T> dropped;
      take_out(oldest_, dropped.address());
      dropped.filled();
      held.unlock();
    }
    held.lock();
  }

  raw_slots<T> slots_;
};

template <class T>
class broadcast_port final : public port {
 public:
  explicit broadcast_port(broadcast_state<T>& of) noexcept : port(of.senders, of.target()), of_(of) {}
  attempt try_now(void* value) noexcept override { return of_.put(*static_cast<T*>(value)); }
  bool looks_ready() const noexcept override { return of_.may_send(); }
  [[noreturn]] void refuse(attempt why) const override { of_.refuse_sender(why); }

 private:
  broadcast_state<T>& of_;
};

template <class T>
class subscription_port final : public port {
 public:
  explicit subscription_port(std::shared_ptr<broadcast_state<T>> from)
      : port(from->receivers, from->target()), of(std::move(from)) {
    of->subscribe(who);
  }
  ~subscription_port() { of->unsubscribe(who); }
  attempt try_now(void* value) noexcept override { return of->take(who, static_cast<T*>(value)); }
  bool looks_ready() const noexcept override { return of->may_receive(who); }
  [[noreturn]] void refuse(attempt why) const override { of->refuse_receiver(why); }

  const std::shared_ptr<broadcast_state<T>> of;
  subscriber who;
};

}  // namespace detail

/// Receives all that is sent to a broadcast while it lives, in the order of sending. For one thread or coroutine at a
/// time; movable. May outlive the broadcast, which then is closed. Used after it was moved away: std::logic_error.
template <class T>
class subscription : public receive_forms<subscription<T>, T> {
 public:
  using value_type = T;
  subscription(subscription&&) noexcept = default;
  subscription& operator=(subscription&&) noexcept = default;

  /// How many elements it has lost, because it was too slow (slow_reader::drop_oldest).
  std::uint64_t lost() const { return port().of->lost_by(port().who); }
  /// How many elements wait for it.
  std::size_t size() const { return port().of->waiting_for(port().who); }
  bool empty() const { return size() == 0; }

 private:
  template <class>
  friend class broadcast;
  friend struct detail::access;
  explicit subscription(std::unique_ptr<detail::subscription_port<T>> made) noexcept : port_(std::move(made)) {}

  detail::subscription_port<T>& port() const {
    if (port_ == nullptr) [[unlikely]]
      detail::throw_no_subscription();
    return *port_;
  }
  detail::attempt take(T* to, const place&) { return port().try_now(to); }
  detail::port& in() { return port(); }
  detail::port& prepare_in(const place&) { return port(); }

  std::unique_ptr<detail::subscription_port<T>> port_;
};

/// Sends each element to all who have subscribed by then; to nobody it is lost. Any number of threads and coroutines
/// may send. T is copied for each subscriber but the last, and these copies must not throw: that terminates the
/// program. What is large is better sent as std::shared_ptr<const T>.
template <class T>
class broadcast : public send_forms<broadcast<T>, T> {
 public:
  using value_type = T;

  /// Keeps at most `capacity` elements, 1 to 2^31, else throws std::invalid_argument; for what happens then see
  /// slow_reader. `name`: for errors and reports; must outlive the broadcast and its subscriptions.
  explicit broadcast(std::ptrdiff_t capacity, slow_reader policy = slow_reader::block, std::string_view name = {})
      : state_(std::make_shared<detail::broadcast_state<T>>(capacity, policy, name)), port_(*state_) {}
  /// Closes it. Nobody may still be sending: fatal when somebody waits to.
  ~broadcast() { state_->end_sending(); }
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;

  /// A subscription to all that is sent from now on. Thread-safe.
  [[nodiscard]] subscription<T> subscribe() {
    return subscription<T>(std::make_unique<detail::subscription_port<T>>(state_));
  }

  /// No more is sent; subscribers receive what they have not received yet, then get `closed`.
  void close() noexcept { state_->close(false); }
  /// The same at once: what is kept is destroyed, and everybody gets `poisoned`.
  void poison() noexcept { state_->close(true); }
  bool is_closed() const noexcept { return state_->is_closed(); }
  /// How many subscriptions there are. A snapshot.
  std::size_t subscribers() const noexcept { return state_->subscribers(); }
  std::size_t capacity() const noexcept { return state_->capacity(); }
  std::string_view name() const noexcept { return state_->name(); }

 private:
  friend struct detail::access;
  detail::attempt put(T& value, const place&) noexcept { return state_->put(value); }
  detail::port& out() noexcept { return port_; }
  detail::port& prepare_out(const place&) noexcept { return port_; }

  std::shared_ptr<detail::broadcast_state<T>> state_;
  detail::broadcast_port<T> port_;
};

}  // namespace tutti
