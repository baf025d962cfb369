// timers: functions called later, from one thread that is started with the first timer and asleep until the next is
// due.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {
class timer_function {
 public:
  virtual ~timer_function() = default;
  virtual void call() = 0;
};
std::uint64_t add_timer(std::chrono::steady_clock::time_point when, std::unique_ptr<timer_function> function);
bool cancel_timer(std::uint64_t id) noexcept;
}  // namespace detail

/// Names a pending call. Copyable; letting it go does not cancel.
class timer {
 public:
  timer() = default;
  explicit timer(std::uint64_t id) noexcept : id_(id) {}
  /// True if the call was still to come and now never will; false if it was made, is being made, or was cancelled.
  /// O(log n) in pending timers. Thread-safe; does not wait for a call being made.
  bool cancel() noexcept { return id_ != 0 && detail::cancel_timer(std::exchange(id_, 0)); }

 private:
  std::uint64_t id_ = 0;
};

/// Calls `g()` at `when` on tutti's clock (steady or virtual), or soon if that has passed, on the timer thread (under a
/// virtual clock: inside advance()): it must be short and must not block; `post` to a pool from it for more. Exceptions
/// go to on_unhandled. Timers due at the same moment are called in the order of their making.
template <class G>
timer call_at(std::chrono::steady_clock::time_point when, G&& g) {
  struct function final : detail::timer_function {
    explicit function(G&& f) : body(std::forward<G>(f)) {}
    void call() override { body(); }
    std::decay_t<G> body;
  };
  return timer(detail::add_timer(when, std::make_unique<function>(std::forward<G>(g))));
}

namespace detail {
std::chrono::steady_clock::time_point time_after(std::chrono::nanoseconds delay) noexcept;
}

/// Calls `g()` after `delay`, as call_at; a negative delay is zero, a huge one is never.
template <class G>
timer call_later(std::chrono::nanoseconds delay, G&& g) {
  return call_at(detail::time_after(delay), std::forward<G>(g));
}

}  // namespace tutti
