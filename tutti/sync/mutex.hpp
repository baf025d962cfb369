// mutex: one task or thread at a time.
#pragma once
#include <tutti/core/async_wait.hpp>
#include <tutti/sync/exclusive_lock.hpp>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>

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
  class async_guard;
  class lock_wait;
  class relock_wait;

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
  [[nodiscard]] lock_wait lock_async(place here = place::current());
  /// The same for at most `limit` on tutti's clock; the guard is empty when the time is up.
  [[nodiscard]] lock_wait lock_for_async(std::chrono::nanoseconds limit, place here = place::current());

  /// The name it was given.
  std::string_view name() const noexcept { return lock_.name(); }

 private:
  static const detail::lock_words words;

  detail::exclusive_lock lock_;
};

/// Owns a mutex until it is destroyed or unlock() is called, by whatever task or thread. Move-only; not thread-safe by
/// itself.
class [[nodiscard]] mutex::async_guard {
 public:
  /// Guards nothing.
  async_guard() noexcept = default;
  async_guard(async_guard&& other) noexcept;
  async_guard& operator=(async_guard&& other) noexcept;
  ~async_guard() {
    if (owner_ != 0) release();
  }

  /// Whether it owns the lock.
  [[nodiscard]] bool owns_lock() const noexcept { return owner_ != 0; }
  explicit operator bool() const noexcept { return owner_ != 0; }
  /// The mutex, also after unlock(); null: it guards nothing.
  [[nodiscard]] tutti::mutex* mutex() const noexcept { return mutex_; }

  /// Gives the lock up. Never blocks. Throws not_owner when it does not own it.
  void unlock();
  /// co_await it after unlock(): suspends the coroutine until the guard owns the lock again. A stop does not end that
  /// wait, so what is written for a held lock can rely on it. Throws not_owner when the guard has no mutex.
  [[nodiscard]] relock_wait relock_async(place here = place::current());

 private:
  friend class mutex::lock_wait;
  void take_over(tutti::mutex& taken, detail::exclusive_lock::word owner, const place& here) noexcept;
  void take_over(async_guard& other) noexcept;
  void release() noexcept;

  tutti::mutex* mutex_ = nullptr;
  detail::exclusive_lock::word owner_ = 0;  // as in the lock's word; 0: not owned
  const void* told_ = nullptr;              // who holds it, as observers of waits know it; null: somebody
};

/// What lock_async and lock_for_async give, to be awaited at once.
class mutex::lock_wait : public list_wait {
 public:
  lock_wait(mutex& wanted, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {});
  bool await_ready();
  async_guard await_resume();

 protected:
  bool ready() noexcept override;
  void finish_into(async_guard& guard);

 private:
  detail::exclusive_lock& lock_;
  mutex& mutex_;
  const char* const what_;
  const place here_;
  const bool only_try_;
  bool taken_ = false;  // or tried in vain: there is nothing to wait for
  bool tried_ = false;
  detail::exclusive_lock::word me_ = 0;
  const wait_target target_;
};

/// What async_guard::relock_async gives, to be awaited at once.
class mutex::relock_wait final : public mutex::lock_wait {
 public:
  relock_wait(async_guard& guard, mutex& wanted, const place& here);
  void await_resume() { finish_into(guard_); }

 private:
  void on_stop() noexcept override {}
  async_guard& guard_;
};

inline mutex::lock_wait mutex::lock_async(place here) { return {*this, "mutex::lock_async", here}; }
inline mutex::lock_wait mutex::lock_for_async(std::chrono::nanoseconds limit, place here) {
  return {*this, "mutex::lock_for_async", here, limit};
}

}  // namespace tutti
