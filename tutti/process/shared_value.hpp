// shared_value: one value in the memory of several processes, changed in steps that nobody sees halves of.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/shared_segment.hpp>
#include <tutti/process/shared_slots.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {

// Every bit counts: values that are equal have equal bytes, so they can be compared and exchanged as bytes.
template <class T>
concept one_step = std::is_trivially_copyable_v<T> && std::atomic_ref<T>::is_always_lock_free &&
                   (std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>);
template <class T>
concept shared_number = one_step<T> && std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;
template <class T>
concept shared_integer = shared_number<T> && std::integral<T>;

/// Counts notifications: what sleepers sleep on.
struct change_count {
  std::atomic<std::uint32_t> count{0};
};
/// Blocks until `changed(context)` or the deadline, which gives false.
bool wait_for_change(const change_count& changes, bool (*changed)(void*), void* context,
                     std::chrono::steady_clock::time_point deadline, const place& here);

}  // namespace detail

/// A handle of one value in shared memory: copies, and what other processes get of it as an argument or result, refer
/// to the same value, which goes with the last of them. Const says nothing about the value. A default-constructed one
/// refers to nothing; using it throws std::logic_error.
///
/// All members are thread-safe, and safe between processes: whoever is killed in the middle of one has done it wholly
/// or not at all. Like std::atomic's by default they are sequentially consistent: all processes see the changes of all
/// shared_values in one order, so that two of them can be used as flags.
///
/// T is trivially copyable and holds no pointers. Numbers and other types that the processor changes in one step are
/// never locked. Larger ones, and those with padding, take a lock between processes to be written; reading them takes
/// none. Costs a page of memory and a descriptor: for many values use a shared_array, with std::atomic_ref.
template <class T>
class shared_value {
  static_assert(!std::is_pointer_v<T> && !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T>,
                "tutti: a shared_value cannot hold a pointer: an address means nothing in another process");
  static_assert(std::is_trivially_copyable_v<T>,
                "tutti: a shared_value needs a trivially copyable type, such as a number or a struct of numbers: other "
                "processes see its bytes, not what they refer to");
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>, "tutti: a shared_value<T> needs a T without const or volatile");

 public:
  using value_type = T;
  /// True when no operation ever takes a lock.
  static constexpr bool is_always_lock_free = detail::one_step<T>;

  /// Refers to nothing.
  shared_value() = default;
  /// A new value. Throws os_error.
  explicit shared_value(const T& initial);

  /// True unless it refers to nothing.
  explicit operator bool() const noexcept { return static_cast<bool>(segment_); }

  /// The value.
  [[nodiscard]] T load() const;
  /// Replaces it.
  void store(const T& value) const;
  /// Replaces it; the value before.
  T exchange(const T& value) const;
  /// Replaces it by what `f`, a function of the value, makes of it, with no change of others in between; the new value.
  /// `f` may be called several times; unless is_always_lock_free it is called once, under the lock: it should be short,
  /// and must not use this value, which throws deadlock. When it throws, nothing has changed.
  template <class F>
    requires std::is_invocable_r_v<T, F&, const T&>
  T update(F f) const;
  /// Replaces it if it is `expected`, else puts what it is there; true if it did. Never fails by chance.
  bool compare_exchange(T& expected, const T& value) const
    requires detail::one_step<T>
  {
    return ref().compare_exchange_strong(expected, value);
  }

  /// Adds, subtracts or combines; the value before. Integers wrap around.
  T fetch_add(T by) const
    requires detail::shared_number<T>
  {
    return ref().fetch_add(by);
  }
  T fetch_sub(T by) const
    requires detail::shared_number<T>
  {
    return ref().fetch_sub(by);
  }
  T fetch_and(T bits) const
    requires detail::shared_integer<T>
  {
    return ref().fetch_and(bits);
  }
  T fetch_or(T bits) const
    requires detail::shared_integer<T>
  {
    return ref().fetch_or(bits);
  }
  T fetch_xor(T bits) const
    requires detail::shared_integer<T>
  {
    return ref().fetch_xor(bits);
  }

  /// Blocks while the value equals `old`; whoever changes it says so by notify_all. (Killed in between, it costs the
  /// sleepers a second.) Throws would_block on a loop's thread, pool_exhausted when a pool's worker would wait and
  /// cannot be replaced.
  void wait(const T& old, place here = place::current()) const
    requires std::equality_comparable<T>
  {
    (void)wait_for(old, std::chrono::nanoseconds::max(), here);
  }
  /// The same for at most `limit` on the machine's clock; false when it still equals `old` then.
  [[nodiscard]] bool wait_for(const T& old, std::chrono::nanoseconds limit, place here = place::current()) const
    requires std::equality_comparable<T>;
  /// Wakes all who wait, in all processes, to look at the value. Never blocks.
  void notify_all() const;

  /// For the codec: the value itself stays where it is. Throws encode_error unless encoded for a process of this
  /// machine.
  template <class Archive>
  void save(Archive& archive) const {
    segment_.save(archive, form.what);
  }
  /// Throws decode_error when what came is not a shared_value of a type of this size.
  template <class Archive>
  void load(Archive& archive) {
    segment_.load(archive, form, bytes);
  }

 private:
  // One step: the value itself. Otherwise shared_slots, which ends in the two places.
  struct in_one {
    detail::change_count changes;
    alignas(is_always_lock_free ? std::atomic_ref<T>::required_alignment : alignof(T)) std::byte value[sizeof(T)];
  };
  struct in_slots {
    detail::change_count changes;
    detail::shared_slots slots;
  };
  using content = std::conditional_t<is_always_lock_free, in_one, in_slots>;
  static constexpr std::size_t bytes = is_always_lock_free ? sizeof(in_one)
                                                           : sizeof(in_slots) - sizeof(detail::shared_slots) +
                                                                 detail::shared_slots::bytes_for(sizeof(T));
  static constexpr detail::segment_form form{"shared_value", detail::segment_form::value, sizeof(T), alignof(content)};

  content& inside() const { return *std::launder(reinterpret_cast<content*>(segment_.body(form.what))); }
  std::atomic_ref<T> ref() const { return std::atomic_ref<T>(*reinterpret_cast<T*>(inside().value)); }
  static T read(auto& from) {
    alignas(T) std::byte raw[sizeof(T)];
    from.read(raw, sizeof(T));
    return *std::launder(reinterpret_cast<T*>(raw));
  }

  detail::shared_segment segment_;
};

// ---------------------------------------------------------------- details

template <class T>
shared_value<T>::shared_value(const T& initial) : segment_(form, 1, bytes) {
  auto* const made = ::new (segment_.body(form.what)) content();
  if constexpr (is_always_lock_free) {
    ::new (made->value) T(initial);
  } else {
    detail::shared_slots::writer(made->slots, "shared_value").write(&initial, sizeof(T));
  }
}

template <class T>
T shared_value<T>::load() const {
  if constexpr (is_always_lock_free) {
    return ref().load();
  } else {
    return read(inside().slots);
  }
}

template <class T>
void shared_value<T>::store(const T& value) const {
  if constexpr (is_always_lock_free) {
    ref().store(value);
  } else {
    detail::shared_slots::writer(inside().slots, "shared_value::store").write(&value, sizeof(T));
  }
}

template <class T>
T shared_value<T>::exchange(const T& value) const {
  if constexpr (is_always_lock_free) {
    return ref().exchange(value);
  } else {
    detail::shared_slots::writer turn(inside().slots, "shared_value::exchange");
    const T before = read(turn);
    turn.write(&value, sizeof(T));
    return before;
  }
}

template <class T>
template <class F>
  requires std::is_invocable_r_v<T, F&, const T&>
T shared_value<T>::update(F f) const {
  if constexpr (is_always_lock_free) {
    const auto value = ref();
    T seen = value.load();
    for (;;) {
      const T next = std::invoke(f, std::as_const(seen));
      if (value.compare_exchange_weak(seen, next)) return next;
    }
  } else {
    detail::shared_slots::writer turn(inside().slots, "shared_value::update");
    const T before = read(turn);
    const T next = std::invoke(f, before);
    turn.write(&next, sizeof(T));
    return next;
  }
}

template <class T>
bool shared_value<T>::wait_for(const T& old, std::chrono::nanoseconds limit, place here) const
  requires std::equality_comparable<T>
{
  const auto deadline = detail::machine_time_after(limit);
  auto changed = [&] { return !(load() == old); };
  return detail::wait_for_change(
      inside().changes, [](void* c) { return (*static_cast<decltype(changed)*>(c))(); }, &changed, deadline, here);
}

template <class T>
void shared_value<T>::notify_all() const {
  auto& count = inside().changes.count;
  // release: whoever sees the new count, and so goes to look instead of to sleep, sees the value that was stored
  // before.
  count.fetch_add(1, std::memory_order_release);
  detail::process_futex_wake(count, std::numeric_limits<int>::max());
}

}  // namespace tutti
