// clock: the time that timers and time limits go by: the machine's, or a virtual one that a test moves.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

namespace tutti {

namespace detail {
struct clock_subscriptions;
}  // namespace detail

/// A place to read the time from, always on the scale of std::chrono::steady_clock. Thread-safe.
class clock_source {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;
  /// Names a subscription.
  using subscription = std::uint64_t;

  virtual ~clock_source() = default;
  /// The time; never goes back.
  [[nodiscard]] virtual time_point now() const noexcept = 0;
  /// True when time moves only by virtual_clock::advance, so that sleeping would not help.
  [[nodiscard]] virtual bool is_virtual() const noexcept = 0;
  /// True for a virtual clock that a thread with nothing to do moves on.
  [[nodiscard]] virtual bool moves_when_idle() const noexcept { return false; }
  /// What that thread does, as virtual_clock::advance_to.
  virtual void move_on_to(time_point when) { static_cast<void>(when); }

  /// Calls `g(now)` whenever a virtual clock is installed, advanced or taken away: who sleeps until a deadline then
  /// looks again. One list for all clocks. `g` runs on the thread that moved the clock, must not throw, and may
  /// unsubscribe.
  template <class G>
  static subscription subscribe(G g) {
    return add(std::make_unique<listener_of<G>>(std::move(g)));
  }
  /// Ends a subscription; when it returns, the call is not running and never will again (but for the caller itself).
  static void unsubscribe(subscription id) noexcept;

 protected:
  struct listener {
    virtual ~listener() = default;
    virtual void moved(time_point now) noexcept = 0;
  };
  template <class G>
  struct listener_of final : listener {
    explicit listener_of(G&& function) : call(std::move(function)) {}
    void moved(time_point now) noexcept override { call(now); }
    G call;
  };
  static subscription add(std::unique_ptr<listener> listener);
  static void notify(time_point now);

  friend struct detail::clock_subscriptions;
};

/// The machine's monotonic clock.
class steady_clock_source final : public clock_source {
 public:
  [[nodiscard]] time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] bool is_virtual() const noexcept override { return false; }
};

namespace detail {
inline constinit std::atomic<clock_source*> installed_clock{nullptr};  // null: the machine's, the usual case
clock_source& machine_clock() noexcept;
// When the first timer is due, or max(): core, which has the timers, puts it here. A virtual clock stops there.
inline constinit std::atomic<clock_source::time_point (*)() noexcept> first_timer{nullptr};
}  // namespace detail

/// The clock in force: the newest virtual_clock alive, else the machine's. The reference stays valid for ever.
[[nodiscard]] inline clock_source& current_clock() noexcept {
  clock_source* installed = detail::installed_clock.load(std::memory_order_acquire);
  return installed != nullptr ? *installed : detail::machine_clock();
}

/// The time by the clock in force.
[[nodiscard]] inline clock_source::time_point now() noexcept {
  clock_source* installed = detail::installed_clock.load(std::memory_order_acquire);
  return installed != nullptr ? installed->now() : std::chrono::steady_clock::now();
}

/// Stops time for the whole program while it lives, and moves it by hand: for tests. Several nest, newest in force;
/// destroy them in reverse order.
class virtual_clock {
 public:
  using time_point = clock_source::time_point;
  using duration = clock_source::duration;

  /// Who moves it on.
  enum class moves : std::uint8_t { by_hand, when_idle };
  static constexpr moves by_hand = moves::by_hand;      ///< advance() alone
  static constexpr moves when_idle = moves::when_idle;  ///< a thread in sync_wait, or that drives a run_loop, too: to
                                                        ///< the next timer, when nothing is queued or running, there or
                                                        ///< in any pool. What other threads do, it does not see.

  /// Takes over, at the time of the clock before.
  explicit virtual_clock(moves how = by_hand);
  /// Gives back to the clock before and tells the subscribers.
  ~virtual_clock();
  virtual_clock(const virtual_clock&) = delete;
  virtual_clock& operator=(const virtual_clock&) = delete;

  /// The virtual time.
  [[nodiscard]] time_point now() const noexcept;
  /// Moves time on and calls the subscribers, which have returned when it does. Time stops on the way wherever a timer
  /// is due, also one that was set on the way: each sees its own time. Called from inside such a timer it moves on from
  /// that time; of several threads at once the durations add up. Throws std::invalid_argument for a negative duration.
  void advance(duration by);
  /// The same to `when`; when that has passed, the subscribers are called and that is all.
  void advance_to(time_point when);

 private:
  class source;
  source* source_;  // kept for ever: a thread may still hold the reference that current_clock() gave it
  clock_source* before_;
};

}  // namespace tutti
