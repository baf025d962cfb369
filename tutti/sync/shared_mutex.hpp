// shared_mutex: many that read, or one that writes.
#pragma once
#include <tutti/sync/async_lock.hpp>
#include <tutti/sync/rw_lock.hpp>

#include <chrono>
#include <stop_token>
#include <string_view>

namespace tutti {

/// A lock that is held by any number of readers, or exclusively by one; for threads and coroutines. A lock belongs to
/// the task that locked it, to the thread outside tasks, and only who locked may unlock; but what the forms for
/// coroutines give is a guard, which owns the lock wherever it goes. Unlocking is visible to whoever locks next.
///
/// Who waits gets the lock handed over, in the order that the policy says. By default that is the order of arrival:
/// whoever comes while others wait queues behind them, and readers that are neighbours in the queue go in together, so
/// that nobody starves.
///
/// To become a writer a reader has to unlock first. A task that locks to read what it reads already may wait for a
/// writer that waits for it, which is a deadlock, unless the policy is prefer_readers.
///
/// Meets SharedLockable: std::shared_lock and std::unique_lock take it. Thread-safe. Destroying it while it is locked
/// or waited for is a fatal error that names it.
class shared_mutex {
 public:
  using async_guard = async_lock_guard<shared_mutex>;
  using lock_wait = detail::lock_wait<shared_mutex>;

  /// `name`: shown in errors, dumps and deadlock reports; must outlive the mutex.
  constexpr explicit shared_mutex(shared_policy policy = shared_policy::fair, std::string_view name = {}) noexcept
      : lock_(policy, name) {}
  /// Fair, with a name.
  constexpr explicit shared_mutex(std::string_view name) noexcept : shared_mutex(shared_policy::fair, name) {}

  // ---- exclusively

  /// Blocks until the lock is taken exclusively. Throws deadlock when the caller holds it already, exclusively or as
  /// the only reader; would_block when it would wait on the thread of a loop; pool_exhausted when a pool's worker would
  /// wait and cannot be replaced.
  void lock(place here = place::current()) { lock_.lock(here); }
  /// Takes the lock exclusively if it is free; never blocks.
  [[nodiscard]] bool try_lock(place here = place::current()) noexcept { return lock_.try_lock(0, here); }
  /// Blocks for at most `limit` on tutti's clock; false when the time is up. Zero and less try once; max waits without
  /// limit. Throws as lock().
  [[nodiscard]] bool lock_for(std::chrono::nanoseconds limit, place here = place::current()) {
    return lock_.lock_for(0, limit, here);
  }
  /// Blocks until the lock is taken, or stop is requested: then throws cancelled. Throws as lock().
  void lock(const std::stop_token& stop, place here = place::current()) { lock_.lock(0, stop, here); }
  /// Gives up what the forms above gave, and hands the lock to who waits, if anybody. Never blocks. Throws not_owner
  /// unless the caller holds it so.
  void unlock() { lock_.unlock(); }
  /// co_await it: suspends the coroutine until the lock is taken exclusively, and gives the guard that owns it. Throws
  /// cancelled when the task is asked to stop before, deadlock as lock().
  [[nodiscard]] lock_wait lock_async(place here = place::current()) { return wait(0, {}, here); }
  /// The same for at most `limit` on tutti's clock; the guard is empty when the time is up.
  [[nodiscard]] lock_wait lock_for_async(std::chrono::nanoseconds limit, place here = place::current()) {
    return wait(0, limit, here);
  }

  // ---- shared with other readers

  /// Blocks until the lock is taken to read. Throws as lock(), deadlock only when the caller holds it exclusively.
  void lock_shared(place here = place::current()) { lock_.lock_shared(here); }
  /// Takes the lock to read if that needs no waiting; never blocks.
  [[nodiscard]] bool try_lock_shared(place here = place::current()) noexcept {
    return lock_.try_lock(detail::as_reader, here);
  }
  /// Blocks for at most `limit`, as lock_for.
  [[nodiscard]] bool lock_shared_for(std::chrono::nanoseconds limit, place here = place::current()) {
    return lock_.lock_for(detail::as_reader, limit, here);
  }
  /// Blocks until the lock is taken to read, or stop is requested: then throws cancelled.
  void lock_shared(const std::stop_token& stop, place here = place::current()) {
    lock_.lock(detail::as_reader, stop, here);
  }
  /// Gives up what the forms above gave; the last reader hands the lock to who waits. Never blocks. Throws not_owner
  /// when there is no reader, or one, who is not the caller: if a stranger unlocked while there were several, one of
  /// those learns of it, and the lock is never free again.
  void unlock_shared() { lock_.unlock_shared(); }
  /// co_await it: suspends the coroutine until the lock is taken to read, and gives the guard that owns it.
  [[nodiscard]] lock_wait lock_shared_async(place here = place::current()) { return wait(detail::as_reader, {}, here); }
  /// The same for at most `limit` on tutti's clock; the guard is empty when the time is up.
  [[nodiscard]] lock_wait lock_shared_for_async(std::chrono::nanoseconds limit, place here = place::current()) {
    return wait(detail::as_reader, limit, here);
  }

  /// The name it was given.
  std::string_view name() const noexcept { return lock_.name(); }
  /// Who goes first.
  shared_policy policy() const noexcept { return lock_.policy(); }

 private:
  friend struct detail::lock_access;
  lock_wait wait(detail::lock_word kind, std::optional<std::chrono::nanoseconds> limit, const place& here) {
    const detail::lock_words& words = lock_.words(kind);
    return {*this, detail::by_guard | kind, limit ? words.for_async : words.async, here, limit};
  }

  detail::rw_lock lock_;
};

extern template class async_lock_guard<shared_mutex>;
extern template class detail::lock_wait<shared_mutex>;

}  // namespace tutti
