// recursive_mutex: a mutex that its owner may lock again.
#pragma once
#include <tutti/sync/exclusive_lock.hpp>

#include <chrono>
#include <stop_token>
#include <string_view>

namespace tutti {

/// As mutex, but whoever holds it may lock it again, and has to unlock it as often. Belongs to a task, to the thread
/// outside tasks; so it has no form for coroutines to await: a guard has no owner that could lock again.
///
/// Meets Lockable. Thread-safe. Destroying it while it is locked or waited for is a fatal error that names it.
class recursive_mutex {
 public:
  /// How often its owner may have locked it.
  static constexpr std::uint32_t max_depth = std::uint32_t{1} << 31;

  /// `name`: shown in errors, dumps and deadlock reports; must outlive the mutex.
  constexpr explicit recursive_mutex(std::string_view name = {}) noexcept : lock_(words, name) {}

  /// Blocks until the lock is the caller's, at once if it is already. Throws would_block when it would wait on the
  /// thread of a loop; pool_exhausted when a pool's worker would wait and cannot be replaced; std::length_error beyond
  /// max_depth.
  void lock(place here = place::current()) {
    if (lock_.is_mine()) return deepen();
    lock_.lock(here);
    depth_ = 1;
  }
  /// Takes the lock if it is free or the caller's; never blocks. False beyond max_depth too.
  [[nodiscard]] bool try_lock(place here = place::current()) noexcept {
    if (lock_.is_mine()) {
      if (depth_ == max_depth) return false;
      ++depth_;
      return true;
    }
    return first(lock_.try_lock(here));
  }
  /// Blocks for at most `limit` on tutti's clock; false when the time is up. Zero and less try once; max waits without
  /// limit. Throws as lock().
  [[nodiscard]] bool lock_for(std::chrono::nanoseconds limit, place here = place::current()) {
    if (lock_.is_mine()) {
      deepen();
      return true;
    }
    return first(lock_.lock_for(limit, here));
  }
  /// Blocks until the lock is the caller's, or stop is requested: then throws cancelled. Throws as lock().
  void lock(const std::stop_token& stop, place here = place::current()) {
    if (lock_.is_mine()) return deepen();
    lock_.lock(stop, here);
    depth_ = 1;
  }
  /// Undoes one locking; the last one gives the lock up and wakes who waits, if anybody. Never blocks. Throws not_owner
  /// unless the caller holds it.
  void unlock() {
    if (lock_.is_mine() && depth_ > 1) {
      --depth_;
    } else {
      lock_.unlock();
    }
  }

  /// How often the caller has locked it; 0 if it does not hold it.
  std::uint32_t depth() const noexcept { return lock_.is_mine() ? depth_ : 0; }
  /// The name it was given.
  std::string_view name() const noexcept { return lock_.name(); }

 private:
  static constexpr detail::lock_words words{
      "recursive_mutex", "recursive_mutex::lock", "recursive_mutex::lock_for", "a mutex, with lock_async()", "", ""};
  bool first(bool taken) noexcept {
    if (taken) depth_ = 1;
    return taken;
  }
  void deepen();

  detail::exclusive_lock lock_;
  std::uint32_t depth_ = 0;  // the owner's
};

}  // namespace tutti
