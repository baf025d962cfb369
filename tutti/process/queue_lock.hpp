// queue_lock: what a process_queue's shared memory needs of the system: a mutex that survives its owner, a place to
// sleep, and who is still alive.
#pragma once
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace tutti::detail {

/// A mutex in shared memory whose next owner learns that the one before died with it (robust, process-shared).
class queue_lock {
 public:
  /// Constructed once, by who makes the memory. Throws os_error.
  queue_lock();
  queue_lock(const queue_lock&) = delete;
  queue_lock& operator=(const queue_lock&) = delete;

  /// Blocks, for short: only while others copy. True when the owner before died with it: then what it guards must be
  /// repaired before unlock. Throws os_error.
  [[nodiscard]] bool lock();
  void unlock() noexcept { ::pthread_mutex_unlock(&mutex_); }

 private:
  ::pthread_mutex_t mutex_;
};

/// Where processes sleep until something has happened. Both numbers change under the lock only; it is slept outside.
struct queue_gate {
  std::atomic<std::uint32_t> turn{0};  // goes on whenever a sleeper is to look again
  std::uint32_t sleepers = 0;          // at least as many as will sleep or do: who is killed there stays in it

  /// Under the lock, by who is going to sleep: what to hand to sleep.
  std::uint32_t enter() noexcept {
    ++sleepers;
    return turn.load(std::memory_order_relaxed);
  }
  /// Under the lock: whether somebody is to be woken, by `wake_one` after it.
  [[nodiscard]] bool call_one() noexcept {
    if (sleepers == 0) return false;
    --sleepers;
    turn.fetch_add(1, std::memory_order_release);
    return true;
  }
  /// The same for all of them.
  [[nodiscard]] bool call_all() noexcept {
    sleepers = 0;
    turn.fetch_add(1, std::memory_order_release);
    return true;
  }
  void wake_one() noexcept;
  void wake_all() noexcept;
  /// Sleeps until the turn is no longer `seen`, at most for `limit`, at most a second: a waker may be killed between
  /// its change and its call. May return early.
  void sleep(std::uint32_t seen, std::chrono::nanoseconds limit) noexcept;
};

/// Which process: numbers are used again, start times tell them apart.
struct process_identity {
  std::int64_t pid = 0;       // 0: none
  std::uint64_t started = 0;  // clock ticks since the machine started; 0: not known

  /// The calling one.
  static process_identity own() noexcept;
  /// False once it has ended, also when nobody has waited for it.
  [[nodiscard]] bool alive() const noexcept;
  bool operator==(const process_identity&) const = default;
};

}  // namespace tutti::detail
