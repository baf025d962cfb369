// robust_mutex: a lock in shared memory that outlives whoever dies with it.
#pragma once
#include <pthread.h>

#include <chrono>
#include <cstdint>

namespace tutti::detail {

/// A pthread mutex between processes. When the thread or process that holds it ends, the kernel frees it, and the next
/// one is told. Must not be unmapped by a process of which a thread holds it: the kernel and glibc keep lists through
/// the held ones. Made once, in memory of zeroes, before others see it; never destroyed, the memory just goes.
class robust_mutex {
 public:
  enum class outcome : std::uint8_t {
    taken,
    taken_from_dead,  ///< the last owner ended while it held it; it is whole again, and held by the caller
    busy,             ///< not held: somebody else has it, or the time is up
    mine,             ///< the caller's thread holds it already; nothing has changed
  };

  /// Throws os_error.
  robust_mutex();
  robust_mutex(const robust_mutex&) = delete;
  robust_mutex& operator=(const robust_mutex&) = delete;

  [[nodiscard]] outcome try_lock();
  /// Blocks, after a short spin. Never busy.
  [[nodiscard]] outcome lock();
  /// Blocks without a spin, until `deadline` at most; max(): without limit. Whoever is killed while it hands the lock
  /// on, or is woken for it, delays those who sleep by slow_look at most.
  [[nodiscard]] outcome block_until(std::chrono::steady_clock::time_point deadline);
  /// By the thread that holds it. false: that is another one.
  bool unlock() noexcept;

 private:
  outcome judge(int result);

  ::pthread_mutex_t mutex_;
};

/// Holds a robust_mutex while it lives, for a few steps that wait for nobody. (Not all are quick: a semaphore looks for
/// the dead under it, and a shared_value calls what its user gave to update().)
class robust_guard {
 public:
  /// Throws deadlock when the thread holds it already: `what` was called inside itself.
  robust_guard(robust_mutex& mutex, const char* what);
  ~robust_guard() { mutex_.unlock(); }
  robust_guard(const robust_guard&) = delete;
  robust_guard& operator=(const robust_guard&) = delete;

  /// True when the last owner died in the middle of what it did under the lock.
  [[nodiscard]] bool from_dead() const noexcept { return from_dead_; }

 private:
  robust_mutex& mutex_;
  bool from_dead_;
};

}  // namespace tutti::detail
