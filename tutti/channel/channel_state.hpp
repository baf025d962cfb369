// channel_state: the elements of a channel, and how they go in and come out: through a ring, an ordered store, or from
// hand to hand. channel<T> contains one; the ends that make_channel gives share one.
#pragma once
#include <tutti/channel/channel_core.hpp>
#include <tutti/channel/orders.hpp>

#include <bit>
#include <memory>
#include <optional>

namespace tutti::detail {

/// Room for one element, which may be there.
template <class T>
class slot {
 public:
  slot() noexcept {}
  slot(slot&& other) noexcept : full_(other.full_) {
    if (full_) std::construct_at(&value_, std::move(other.value_));
  }
  slot& operator=(slot&&) = delete;
  ~slot() {
    if (full_) std::destroy_at(&value_);
  }
  T* address() noexcept { return &value_; }
  /// An element was constructed at address().
  void filled() noexcept { full_ = true; }
  T& operator*() noexcept { return value_; }

 private:
  union {
    T value_;
  };
  bool full_ = false;
};

template <class T>
class channel_state final : public channel_core {
  static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "channel<T>: elements are moved while others wait, so T's move constructor and destructor must be "
                "noexcept; send a std::unique_ptr<T> otherwise");

 public:
  channel_state(std::ptrdiff_t capacity, std::string_view name)
      : channel_core(false, capacity, name), slots_(std::bit_ceil(capacity_)), mask_(std::bit_ceil(capacity_) - 1) {}
  channel_state(std::ptrdiff_t capacity, lifo_t, std::string_view name)
      : channel_core(true, capacity, name), slots_(1), store_(std::make_unique<lifo_store<T>>(capacity_)) {}
  template <class P>
  channel_state(std::ptrdiff_t capacity, by_priority<P> order, std::string_view name)
      : channel_core(true, capacity, name),
        slots_(1),
        store_(std::make_unique<priority_store<T, by_priority<P>>>(capacity_, std::move(order))) {}
  ~channel_state() {
    last_look_at_all();
    drop_all();
  }

  /// Moves `value` in if there is room. Never blocks.
  attempt put(T& value) noexcept {
    if (kind_ != kind::ring) [[unlikely]]
      return put_without_ring(value);
    attempt result;
    if (send_.used.load(std::memory_order_relaxed) == use::shared) {
      const std::lock_guard lock(send_.lock);
      result = put_in_ring(value, /*shared=*/true);
    } else {
      result = put_in_ring(value, /*shared=*/false);
      if (result == attempt::done && cut_off() && anybody_may_drop()) [[unlikely]]
        drop_all();
    }
    if (result == attempt::done) receivers_.wake_one();
    return result;
  }

  /// Constructs the next element at `to` if there is one. Never blocks.
  attempt take(T* to) noexcept {
    if (poisoned_.load(std::memory_order_acquire)) [[unlikely]] {
      drop_all();
      return attempt::poisoned;
    }
    return take_any(to);
  }

 private:
  // Only for who may send. The slot is written before the count, and read by the receiver after it.
  attempt put_in_ring(T& value, bool shared) noexcept {
    std::uint64_t sent = send_.count.load(std::memory_order_relaxed);
    if ((sent & closed_bit) != 0 || cut_off()) [[unlikely]]
      return why_closed();
    const std::uint64_t index = sent / one_sent;
    if (index - send_.other == capacity_) {
      // acquire: the receiver has emptied the slots it has counted.
      send_.other = receive_.count.load(std::memory_order_acquire);
      if (index - send_.other == capacity_) return attempt::not_now;
    }
    T* const to = slots_ + (index & mask_);
    std::construct_at(to, std::move(value));
    if (!shared) {
      send_.publish(sent + one_sent);
      return attempt::done;
    }
    // Nobody else counts, so this fails only when the channel was closed meanwhile: then the element stays here.
    if (send_.count.compare_exchange_strong(sent, sent + one_sent, std::memory_order_seq_cst)) [[likely]]
      return attempt::done;
    std::destroy_at(&value);
    move_out(to, &value);
    return why_closed();
  }

  // Only for who may receive.
  attempt take_from_ring(T* to, bool shared) noexcept {
    const std::uint64_t index = receive_.count.load(std::memory_order_relaxed);
    if (index == receive_.other) {
      const std::uint64_t sent = send_.count.load(std::memory_order_acquire);
      receive_.other = sent / one_sent;
      // What poison drops is taken like any other: an empty ring that is closed may have been so too.
      if (index == receive_.other) return (sent & closed_bit) != 0 ? why_closed() : attempt::not_now;
    }
    move_out(slots_ + (index & mask_), to);
    if (shared) {
      receive_.count.store(index + 1, std::memory_order_seq_cst);
    } else {
      receive_.publish(index + 1);
    }
    return attempt::done;
  }

  attempt take_any(T* to) noexcept {
    if (kind_ != kind::ring) [[unlikely]]
      return take_without_ring(to);
    attempt result;
    if (receive_.used.load(std::memory_order_relaxed) == use::shared) {
      const std::lock_guard lock(receive_.lock);
      result = take_from_ring(to, /*shared=*/true);
    } else {
      result = take_from_ring(to, /*shared=*/false);
    }
    if (result == attempt::done) senders_.wake_one();
    return result;
  }

  // ---- without a ring: all under send_.lock

  attempt put_without_ring(T& value) noexcept {
    wake_up other;
    attempt result = attempt::done;
    {
      const std::lock_guard lock(send_.lock);
      if (kind_ == kind::rendezvous) {
        result = meet_receiver(&value, other);
      } else if (is_closed()) {
        return why_closed();
      } else if (size() == capacity_) {
        return attempt::not_now;
      } else {
        store_->push(value);
        send_.count.fetch_add(one_sent, std::memory_order_seq_cst);
      }
    }
    other();
    if (kind_ == kind::store) receivers_.wake_one();
    return result;
  }

  attempt take_without_ring(T* to) noexcept {
    wake_up other;
    attempt result = attempt::done;
    {
      const std::lock_guard lock(send_.lock);
      if (kind_ == kind::rendezvous) {
        result = meet_sender(to, other);
      } else if (size() == 0) {
        return is_closed() ? why_closed() : attempt::not_now;
      } else {
        store_->pop(to);
        receive_.count.fetch_add(1, std::memory_order_seq_cst);
      }
    }
    other();
    if (kind_ == kind::store) senders_.wake_one();
    return result;
  }

  // ---- rendezvous. The partner's list is locked until the element has been moved: see cases.hpp.

  attempt meet_receiver(void* from, wake_up& other) noexcept override {
    return meet(receivers_, other, [from](void* to) { hand_over(from, to); });
  }
  attempt meet_sender(void* to, wake_up& other) noexcept override {
    return meet(senders_, other, [to](void* from) { hand_over(from, to); });
  }
  static void hand_over(void* from, void* to) noexcept {
    std::construct_at(static_cast<T*>(to), std::move(*static_cast<T*>(from)));
  }
  template <class Move>
  attempt meet(wait_list& partners, wake_up& other, Move move) noexcept {
    if (is_closed()) return why_closed();
    const std::lock_guard lock(partners.mutex());
    while (waiter* const partner = partners.first()) {
      void* const value = partner->context;
      other = partners.grant(*partner, delivered | partner->outcome);
      if (!other) continue;
      move(value);
      send_.count.fetch_add(one_sent, std::memory_order_seq_cst);
      receive_.count.fetch_add(1, std::memory_order_seq_cst);
      return attempt::done;
    }
    return attempt::not_now;
  }

  // ---- erased

  attempt put_erased(void* from) noexcept override { return put(*static_cast<T*>(from)); }
  attempt take_erased(void* to) noexcept override { return take(static_cast<T*>(to)); }
  void drop_all() noexcept override {
    if (kind_ == kind::rendezvous) return;
    for (;;) {
      slot<T> dropped;
      if (take_any(dropped.address()) != attempt::done) return;
      dropped.filled();
    }
  }

  raw_slots<T> slots_;
  const std::size_t mask_ = 0;
  std::unique_ptr<ordered_store<T>> store_;
};

}  // namespace tutti::detail
