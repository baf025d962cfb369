// spin: looking again for a while before going to sleep.
#pragma once
#include <tutti/core/cpu.hpp>

#include <sched.h>

#include <atomic>
#include <chrono>

namespace tutti {

/// Counts down a budget of looks. As long as about one wake-up takes, spinning costs at most twice the best choice made
/// with foresight (Karlin, Li, Manasse, Owicki, "Empirical studies of competitive spinning", SOSP 1991). Every few
/// looks the core is offered to whoever else could run on it: on a busy machine that is who we wait for.
class spinner {
 public:
  /// About what waking a halted core costs.
  static constexpr std::chrono::microseconds before_sleep{50};

  explicit spinner(std::chrono::nanoseconds budget) noexcept : budget_(budget) {}

  /// Pauses a little; false when the budget is used up.
  bool once() noexcept;
  void restart() noexcept { looks_ = 0; }

  /// Set when this thread has woken, or was woken by, another one on this core: its next spin, until restart(), is a
  /// few times letting that one run, whatever the budget. A hint.
  static inline constinit thread_local bool yield_first = false;

 private:
  std::chrono::nanoseconds budget_;
  std::chrono::steady_clock::time_point end_{};
  unsigned looks_ = 0;
};

/// Beside a word on which one thread sleeps until others wake it: notes where they run, and sets spinner::yield_first of
/// those that find themselves on one core. All zeros at first, as shared memory is; may lie in it.
class wake_hint {
 public:
  /// By the sleeper, before it sleeps.
  void sleeps() noexcept { sleeper_.store(here(), std::memory_order_relaxed); }
  /// By who wakes it, before that.
  void wakes() noexcept {
    waker_.store(here(), std::memory_order_relaxed);
    if (sleeper_.load(std::memory_order_relaxed) == here()) spinner::yield_first = true;
  }
  /// By the sleeper, when it goes on.
  void woken() noexcept {
    if (waker_.exchange(0, std::memory_order_relaxed) == here()) spinner::yield_first = true;
  }

 private:
  static int here() noexcept { return ::sched_getcpu() + 1; }
  // Numbers of cores, from 1; 0: not known.
  std::atomic<int> sleeper_{0}, waker_{0};
};

}  // namespace tutti
