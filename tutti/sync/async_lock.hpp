// async_lock: locks that coroutines await, and the guards they get: written once for mutex and shared_mutex.
#pragma once
#include <tutti/core/async_wait.hpp>
#include <tutti/sync/lock_words.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace tutti {

namespace detail {
template <class Mutex>
class lock_wait;
template <class Mutex>
class relock_wait;
template <std::size_t N>
class lock_all_wait;

/// Throws for a guard that has no mutex, or owns its lock.
void check_relock(bool has_mutex, bool owns, const place& here);

/// What a mutex is made of.
struct lock_access {
  template <class Mutex>
  static auto& core(Mutex& mutex) noexcept {
    return mutex.lock_;
  }
};
}  // namespace detail

/// Owns a lock that a coroutine has awaited, until it is destroyed or unlock() is called, by whatever task or thread.
/// Move-only; not thread-safe by itself. `Mutex`: mutex, or shared_mutex, of which it owns either kind of lock.
template <class Mutex>
class [[nodiscard]] async_lock_guard {
 public:
  /// Guards nothing.
  async_lock_guard() noexcept = default;
  async_lock_guard(async_lock_guard&& other) noexcept { take_over(other); }
  async_lock_guard& operator=(async_lock_guard&& other) noexcept {
    if (this == &other) return *this;
    if (owner_ != 0) release();
    take_over(other);
    return *this;
  }
  ~async_lock_guard() {
    if (owner_ != 0) release();
  }

  /// Whether it owns the lock.
  [[nodiscard]] bool owns_lock() const noexcept { return owner_ != 0; }
  explicit operator bool() const noexcept { return owner_ != 0; }
  /// The mutex, also after unlock(); null: it guards nothing.
  [[nodiscard]] Mutex* mutex() const noexcept { return mutex_; }

  /// Gives the lock up. Never blocks. Throws not_owner when it does not own it.
  void unlock();
  /// co_await it after unlock(): suspends the coroutine until the guard owns the lock again, of the same kind. A stop
  /// does not end that wait, so what is written for a held lock can rely on it. Throws not_owner when the guard has no
  /// mutex, deadlock when it owns the lock already.
  [[nodiscard]] detail::relock_wait<Mutex> relock_async(place here = place::current());

 private:
  friend class detail::lock_wait<Mutex>;
  template <std::size_t N>
  friend class detail::lock_all_wait;

  void take_over(Mutex& taken, detail::lock_word owner, const void* told) noexcept;
  void take_over(async_lock_guard& other) noexcept;
  void release() noexcept;

  Mutex* mutex_ = nullptr;
  detail::lock_word owner_ = 0;  // 0: not owned
  detail::lock_word kind_ = 0;   // the flags of the owner it had
  const void* told_ = nullptr;   // who holds it, as observers of waits know it; null: somebody
};

namespace detail {

/// What lock_async and the like give, to be awaited at once.
template <class Mutex>
class lock_wait : public list_wait {
 public:
  /// `flags`: by_guard, and what the lock knows besides.
  lock_wait(Mutex& wanted, lock_word flags, const char* what, const place& here,
            std::optional<std::chrono::nanoseconds> limit = {});
  bool await_ready();
  async_lock_guard<Mutex> await_resume() {
    async_lock_guard<Mutex> guard;
    finish_into(guard);
    return guard;
  }

 protected:
  bool ready() noexcept override;
  void finish_into(async_lock_guard<Mutex>& guard);

 private:
  Mutex& mutex_;
  const place here_;
  const bool only_try_;
  bool taken_ = false;
  bool tried_ = false;
  lock_word me_;
  const wait_target target_;
};

/// What async_lock_guard::relock_async gives, to be awaited at once.
template <class Mutex>
class relock_wait final : public lock_wait<Mutex> {
 public:
  relock_wait(async_lock_guard<Mutex>& guard, lock_word flags, const place& here)
      : lock_wait<Mutex>(*guard.mutex(), flags, "async_lock_guard::relock_async", here), guard_(guard) {}
  void await_resume() { this->finish_into(guard_); }

 private:
  void on_stop() noexcept override {}
  async_lock_guard<Mutex>& guard_;
};

}  // namespace detail

template <class Mutex>
detail::relock_wait<Mutex> async_lock_guard<Mutex>::relock_async(place here) {
  detail::check_relock(mutex_ != nullptr, owner_ != 0, here);
  return {*this, kind_, here};
}

}  // namespace tutti
