// timers: functions called later, from one thread that is started with the first timer and asleep until the next is
// due.
#pragma once
#include <tutti/core/block_cache.hpp>
#include <tutti/core/timer_heap.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {
class timer_service;
}  // namespace detail

/// A timer that lives in its owner: a base class whose `due()` is called once for each time it is set, on tutti's clock
/// (steady or virtual). For primitives that have timeouts: setting and cancelling allocate nothing but, now and then, a
/// larger array for all timers. Users want `call_at`.
///
/// All members are thread-safe. An entry must not be set when it is destroyed, which is a fatal error, nor be in its
/// due() on another thread: call `cancel_and_wait` first. It may be destroyed inside its own due().
///
/// In a forked child no entry is set, whatever it was in the parent.
class timer_entry : detail::timer_place {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  timer_entry(const timer_entry&) = delete;
  timer_entry& operator=(const timer_entry&) = delete;

  /// Has due() called at `when`, or soon if that has passed; never at time_point::max(). One that is set already is
  /// moved there. Those due at the same moment are called in the order of their setting. O(log n) in the timers that
  /// are set, O(1) on average. Does not block. May be called from inside due(), and then does not throw; otherwise
  /// throws std::system_error when the system refuses the timer thread, std::bad_alloc without memory: then it is not
  /// set.
  void set(time_point when);

  /// True if it was set and due() will not be called; false if it was not set, or due() was called or is being called.
  /// O(log n). Never waits.
  bool cancel() noexcept;

  /// Cancels, and waits for a call of due() that another thread is making. After it due() is neither to come nor being
  /// called, unless the entry is set again after that; a setting while it waits, from inside due() above all, is
  /// cancelled as well. Called from inside this due() it does not wait. Hold no lock that due() takes.
  void cancel_and_wait() noexcept;

 protected:
  timer_entry() noexcept = default;
  ~timer_entry() {
    if (index.load(std::memory_order_relaxed) != fresh) [[unlikely]]
      before_destruction();
  }

  /// Called when the time has come, never before: on the timer thread or, under a virtual clock, inside advance(). One
  /// such call at a time in the whole program, but that one which advances the clock has others called inside it. Must
  /// be short and must not block. Nobody touches the entry afterwards, so it may be destroyed here; unless it set
  /// itself.
  virtual void due() noexcept = 0;

 private:
  friend class detail::timer_service;
  void before_destruction() noexcept;

  std::uint32_t set_in_ = 0;  // which process, counted in forks, index belongs to
};

namespace detail {

// A function that is called at some time; owned by its handles and, while a call is to come or being made, by the
// queue.
class timer_call : public timer_entry, public pooled {
 public:
  // Sets a new one, whose first two references it is: the handle's and the queue's.
  void start(time_point when);
  // Only one caller, ever, gets true.
  virtual bool cancel_call() noexcept;

  void retain() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    // acq_rel: what all others did with it happened before it is destroyed.
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  timer_call() noexcept = default;
  virtual ~timer_call() = default;
  void due() noexcept override;
  void call_reporting() noexcept;
  virtual void call() = 0;
  // Destroys the function: called once, as soon as it is certain that it will not be called again.
  virtual void drop() noexcept = 0;

  std::atomic<bool> over_{false};  // cancelled, or its last call was made

 private:
  std::atomic<std::uint32_t> owners_{2};
};

// A series of calls.
class periodic_call : public timer_call {
 public:
  periodic_call(time_point first, std::chrono::nanoseconds period) noexcept;
  bool cancel_call() noexcept override;

 protected:
  void due() noexcept override;

 private:
  time_point when_;
  std::chrono::nanoseconds period_;
  std::uint32_t made_in_;  // which process, counted in forks
};

}  // namespace detail

/// Names a pending call, or a series of calls. Copyable; letting it go does not cancel. Copies, and for cancel() one
/// object too, may be used by several threads.
class timer {
 public:
  /// Names none.
  timer() noexcept = default;
  explicit timer(detail::timer_call* adopted) noexcept : call_(adopted) {}
  timer(const timer& other) noexcept : call_(other.call_) {
    if (call_ != nullptr) call_->retain();
  }
  timer(timer&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  timer& operator=(timer other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~timer() {
    if (call_ != nullptr) call_->release();
  }

  /// True if the call, or a further one of a series, was still to come and now never will; false if it was made, is
  /// being made, or was cancelled. The function is destroyed at once, or when its call returns. O(log n) in pending
  /// timers. Does not wait for a call being made.
  bool cancel() const noexcept { return call_ != nullptr && call_->cancel_call(); }

 private:
  detail::timer_call* call_ = nullptr;
};

namespace detail {

template <class Call, class G>
class timer_function final : public Call {
 public:
  template <class F, class... Args>
  explicit timer_function(F&& body, const Args&... args) : Call(args...), body_(std::forward<F>(body)) {}
  ~timer_function() override {}  // NOLINT(modernize-use-equals-default): the union's member ends in drop()

 private:
  void call() override {
    if constexpr (std::invocable<G&>) {
      std::invoke(body_);
    } else {
      this->retain();
      const timer self(this);
      std::invoke(body_, self);
    }
  }
  void drop() noexcept override { std::destroy_at(std::addressof(body_)); }

  union {
    G body_;
  };
};

template <class Call, class G, class... Args>
timer start_timer(std::chrono::steady_clock::time_point when, G&& g, const Args&... args) {
  auto* const made = new timer_function<Call, std::decay_t<G>>(std::forward<G>(g), args...);
  made->start(when);
  return timer(made);
}

std::chrono::steady_clock::time_point time_after(std::chrono::nanoseconds delay) noexcept;
/// A duration in any unit; one that has no number in nanoseconds, 292 years and more, becomes the longest there is.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds saturated(const std::chrono::duration<Rep, Period>& duration) noexcept {
  using seconds = std::chrono::duration<double>;
  if (seconds(duration) >= seconds(9.2e9)) return std::chrono::nanoseconds::max();
  if (seconds(duration) <= seconds(-9.2e9)) return std::chrono::nanoseconds::min();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration);
}
constexpr std::chrono::nanoseconds saturated(std::chrono::nanoseconds duration) noexcept { return duration; }
void check_period(std::chrono::nanoseconds period);

/// When the earliest timer is due, which may have passed; nothing if none is set, or none but such as are never due.
/// For clocks that move by themselves. Does not block.
std::optional<std::chrono::steady_clock::time_point> next_timer() noexcept;
/// False while another thread calls a timer that was due, or is on its way to. Inside a timer's call always true.
bool timers_rest() noexcept;

}  // namespace detail

/// Calls `g()` at `when` on tutti's clock (steady or virtual), or soon if that has passed, on the timer thread (under a
/// virtual clock: inside advance()): it must be short and must not block; `post` to a pool from it for more. Exceptions
/// go to on_unhandled. Timers due at the same moment are called in the order of their making; a time_point::max() is
/// never. Throws std::system_error when the system refuses the timer thread, std::bad_alloc without memory: `g` is then
/// never called. Thread-safe.
template <std::invocable G>
timer call_at(std::chrono::steady_clock::time_point when, G&& g) {
  return detail::start_timer<detail::timer_call>(when, std::forward<G>(g));
}

/// Calls `g()` after `delay`, as call_at; a negative delay is zero, a huge one is never.
template <class Rep, class Period, std::invocable G>
timer call_later(std::chrono::duration<Rep, Period> delay, G&& g) {
  return call_at(detail::time_after(detail::saturated(delay)), std::forward<G>(g));
}

/// How call_every begins.
struct every_options {
  /// Until the first call: one period unless given. Zero: soon; a negative delay is zero.
  std::optional<std::chrono::nanoseconds> first = {};
};

/// Calls `g()`, or `g(self)` with the `const timer&` that call_every returns, again and again, as call_at, until that
/// is cancelled, which `g` may do itself. The calls are due at start, start + period, start + 2 period and so on, where
/// start is after `options.first`: however long they take and however late they are, these times do not drift. Calls
/// never overlap, and those that come due during a call or are past when it returns are left out: they do not pile up.
/// Under a virtual clock each is made, at its own time. Exceptions go to on_unhandled, and the series goes on. Throws
/// std::invalid_argument unless the period is positive; else as call_at. Thread-safe.
template <class G>
  requires std::invocable<std::decay_t<G>&> || std::invocable<std::decay_t<G>&, const timer&>
timer call_every(std::chrono::nanoseconds period, G&& g, every_options options = {}) {
  detail::check_period(period);
  const auto first = detail::time_after(options.first.value_or(period));
  return detail::start_timer<detail::periodic_call>(first, std::forward<G>(g), first, period);
}

}  // namespace tutti
