// mutex: one task or thread at a time.
#pragma once
#include <tutti/sync/async_lock.hpp>
#include <tutti/sync/exclusive_lock.hpp>

#include <chrono>
#include <stop_token>
#include <string_view>

namespace tutti {

/// A lock for threads and coroutines. It belongs to the task that locked it, to the thread outside tasks, and only its
/// owner may unlock it; but what lock_async gives is a guard, which owns the lock wherever it goes. Unlocking is
/// visible to whoever locks next. A newcomer may be quicker than those who wait; who waits has the lock handed over
/// once it was overtaken twice.
///
/// Meets Lockable: std::lock_guard, std::unique_lock and std::scoped_lock take it. Thread-safe. Destroying it while it
/// is locked or waited for is a fatal error that names it.
class mutex {
 public:
  using async_guard = async_lock_guard<mutex>;
  using lock_wait = detail::lock_wait<mutex>;

  /// `name`: shown in errors, dumps and deadlock reports; must outlive the mutex.
  constexpr explicit mutex(std::string_view name = {}) noexcept : lock_(words, name) {}

  /// Blocks until the lock is taken. Throws deadlock when the caller holds it already; would_block when it would wait
  /// on the thread of a loop; pool_exhausted when a pool's worker would wait and cannot be replaced.
  void lock(place here = place::current()) { lock_.lock(here); }
  /// Takes the lock if it is free; never blocks. False to who holds it already.
  [[nodiscard]] bool try_lock(place here = place::current()) noexcept { return lock_.try_lock(here); }
  /// Blocks for at most `limit` on tutti's clock; false when the time is up. Zero and less try once; max waits without
  /// limit. Throws as lock().
  [[nodiscard]] bool lock_for(std::chrono::nanoseconds limit, place here = place::current()) {
    return lock_.lock_for(limit, here);
  }
  /// Blocks until the lock is taken, or stop is requested: then throws cancelled. Throws as lock().
  void lock(const std::stop_token& stop, place here = place::current()) { lock_.lock(stop, here); }
  /// Gives the lock up and wakes who waits, if anybody. Never blocks. Throws not_owner unless the caller has locked it
  /// by one of the forms above.
  void unlock() { lock_.unlock(); }

  /// co_await it: suspends the coroutine until the lock is taken, and gives the guard that owns it. Throws cancelled
  /// when the task is asked to stop before, deadlock when the task holds the lock by one of the forms above.
  [[nodiscard]] lock_wait lock_async(place here = place::current()) {
    return {*this, detail::by_guard, words.async, here};
  }
  /// The same for at most `limit` on tutti's clock; the guard is empty when the time is up.
  [[nodiscard]] lock_wait lock_for_async(std::chrono::nanoseconds limit, place here = place::current()) {
    return {*this, detail::by_guard, words.for_async, here, limit};
  }

  /// The name it was given.
  std::string_view name() const noexcept { return lock_.name(); }

 private:
  friend struct detail::lock_access;
  static constexpr detail::lock_words words{"mutex",        "mutex::lock",       "mutex::lock_for",
                                            "lock_async()", "mutex::lock_async", "mutex::lock_for_async"};

  detail::exclusive_lock lock_;
};

extern template class async_lock_guard<mutex>;
extern template class detail::lock_wait<mutex>;

}  // namespace tutti
