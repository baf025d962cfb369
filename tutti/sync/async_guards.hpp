// async_guards: several mutexes locked by a coroutine at once, in the order in which guard locks them.
#pragma once
#include <tutti/sync/mutex.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>

namespace tutti {

/// Owns N mutexes until it is destroyed or unlock() is called, by whatever task or thread; they are unlocked in the
/// reverse order of their locking. Move-only; not thread-safe by itself.
template <std::size_t N>
class [[nodiscard]] async_guards {
 public:
  /// Guards nothing.
  async_guards() noexcept = default;
  async_guards(async_guards&&) noexcept = default;
  async_guards& operator=(async_guards&& other) noexcept {
    if (this == &other) return *this;
    release();
    guards_ = std::move(other.guards_);
    return *this;
  }
  ~async_guards() { release(); }

  /// Whether it owns the locks.
  [[nodiscard]] bool owns_locks() const noexcept { return guards_.front().owns_lock(); }
  explicit operator bool() const noexcept { return owns_locks(); }
  /// Gives all locks up. Never blocks. Throws not_owner when it does not own them.
  void unlock() {
    for (std::size_t i = N; i-- != 0;) guards_[i].unlock();
  }

 private:
  friend class detail::lock_all_wait<N>;
  void release() noexcept {
    for (std::size_t i = N; i-- != 0;) guards_[i] = {};
  }
  std::array<mutex::async_guard, N> guards_;  // in the order of locking
};

namespace detail {

/// One wait after the other, each in one list; what it has already it keeps meanwhile.
class lock_each_wait : public async_wait {
 public:
  bool await_ready();
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }

 protected:
  explicit lock_each_wait(const place& here) : async_wait("lock_async", here, std::nullopt), here_(here) {}
  /// Sorts `locks`, which stay the derived class's. Throws deadlock when one is there twice.
  void set(std::span<mutex*> locks);
  /// All are locked, or it throws, and none is.
  void finish_all();

  std::span<mutex*> locks_;
  lock_word me_ = 0;
  wait_party party_;

 private:
  bool arm() noexcept final;
  void disarm() noexcept final;
  bool woken(std::uint32_t outcome) noexcept final;
  std::span<const wait_target> targets() const noexcept final { return {&target_, 1}; }
  exclusive_lock& current() noexcept;
  void got_it() noexcept;
  bool try_rest() noexcept;

  const place here_;
  std::size_t got_ = 0;  // that many of them, from the front
  bool tried_ = false;   // the one after them
  wait_target target_;
  waiter entry_{&ticket()};
};

template <std::size_t N>
class lock_all_wait final : public lock_each_wait {
 public:
  lock_all_wait(const std::array<mutex*, N>& locks, const place& here) : lock_each_wait(here), all_(locks) {
    set(all_);
  }
  async_guards<N> await_resume() {
    finish_all();
    async_guards<N> guards;
    for (std::size_t i = 0; i < N; ++i) guards.guards_[i].take_over(*all_[i], me_, party_.id);
    return guards;
  }

 private:
  std::array<mutex*, N> all_;
};

/// A mutex, and where it was named.
struct placed_mutex {
  placed_mutex(mutex& m, place at = place::current()) noexcept  // NOLINT(google-explicit-constructor): takes a mutex
      : lock(&m), here(at) {}
  mutex* lock;
  place here;
};

}  // namespace detail

/// co_await it: suspends the coroutine until all mutexes are locked, in the order of their addresses, and gives the
/// guard that owns them. Throws deadlock when one is given twice, or the task holds one by a blocking form; cancelled
/// when the task is asked to stop before. Then none stays locked.
template <std::same_as<mutex>... Mutexes>
[[nodiscard]] detail::lock_all_wait<1 + sizeof...(Mutexes)> lock_async(detail::placed_mutex first, Mutexes&... others) {
  return {{first.lock, &others...}, first.here};
}

}  // namespace tutti
