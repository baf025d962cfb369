// parker: where one thread sleeps until it is told to go on.
#pragma once
#include <tutti/base/trace.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/core/spin.hpp>

#include <sched.h>

namespace tutti {

/// A binary semaphore for one sleeping thread. `unpark` before `park` is remembered once; a token may also be left over
/// from an earlier wait, so whoever parks loops on its own condition.
///
/// Parkers are never freed, only recycled (`parker_lease`): an `unpark` that comes late, when the sleeper has long
/// moved on or its thread has ended, hits a live object and costs somebody a spurious return, nothing more.
class parker {
 public:
  /// Blocks until a token is there and takes it. What happened before `unpark` is visible afterwards.
  void park() noexcept { park_until(nullptr); }

  /// The same with a deadline on the steady clock; false when the time is up. nullptr: no limit.
  bool park_until(const std::chrono::steady_clock::time_point* deadline) noexcept;

  /// Leaves a token and wakes the sleeper. Any thread, any time; never blocks.
  void unpark() noexcept {
    trace_point(trace_kind::wake, this);
    if (state_.exchange(token, std::memory_order_release) == asleep) wake();
  }
  /// The same by a thread that goes on working: the sleeper is to run on another core.
  void unpark_elsewhere() noexcept;
  /// Whether its thread sleeps in `park` and nobody has woken it yet. For lookers-on: only a wake-up ends this, or the
  /// deadline of park_until.
  bool is_asleep() const noexcept { return state_.load(std::memory_order_acquire) == asleep; }

 private:
  void wake() noexcept;
  void keep_off(int cpu) noexcept;
  void move_freely() noexcept;

  static constexpr std::uint32_t empty = 0, token = 1, asleep = 2;
  std::atomic<std::uint32_t> state_{empty};
  wake_hint hint_;

  // A sleeper kept off a core: free -> changing (by one waker) -> kept -> free (by the sleeper, awake). `allowed_` is
  // written while changing and read while kept: the release store of the one and the acquire load of the other order
  // it.
  enum class placement : std::uint8_t { free, changing, kept };
  std::atomic<placement> placement_{placement::free};
  std::atomic<pid_t> sleeper_id_{0};
  cpu_set_t allowed_{};
  parker* next_free_ = nullptr;
  friend class parker_lease;
};

/// Borrows a parker from the process-wide free list for the life of a thread.
class parker_lease {
 public:
  parker_lease();
  ~parker_lease();
  parker_lease(const parker_lease&) = delete;
  parker_lease& operator=(const parker_lease&) = delete;
  parker& operator*() const noexcept { return *parker_; }
  parker* operator->() const noexcept { return parker_; }

 private:
  parker* parker_;
};

}  // namespace tutti
