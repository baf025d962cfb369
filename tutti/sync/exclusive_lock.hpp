// exclusive_lock: what mutex and recursive_mutex are made of: one word that says who holds it, and one list of waiters.
//
// The word is 0 while the lock is free and nobody waits; else the owner's id, 0 if it is free, and flags:
//   waiting   somebody may be in the list: whoever unlocks has to look there
//   by_guard  an async_guard owns it, whoever holds the guard
//   woken     a waiter was woken and has not tried yet: nobody else needs to be woken meanwhile
//
// No waiter is forgotten. A waiter links its entry and sets `waiting` under the list's lock, the latter in the same
// step that finds the lock owned. Until `waiting` is cleared, which happens under the list's lock and only when the
// list is empty, the owner's short way out (owner -> 0) fails, and the long one finds the waiter under that lock. The
// long way frees the lock and leaves sleepers alone only while `woken` is set; it is set in the step that frees the
// lock for the one who was woken, and whoever was woken clears it when it tries: it takes the lock, whose `waiting` is
// kept, or finds another owner, who has not looked yet. Both sides change one word, so that its order of modifications
// decides who was first; no stronger order than acquire (taking) and release (freeing) is needed.
//
// A newcomer may take a free lock before those who wait. One of them who has lost like that twice stands at the front
// of the list, and gets the lock from whoever unlocks it next without it being free in between.
#pragma once
#include <tutti/core/wait_list.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>

namespace tutti::detail {

/// How a kind of lock is called in errors, dumps and reports.
struct lock_words {
  const char* kind;      ///< "mutex"
  const char* lock;      ///< "mutex::lock"
  const char* lock_for;  ///< "mutex::lock_for"
  const char* instead;   ///< what to await where it must not block
};

/// The blocking forms are those of mutex.
class exclusive_lock {
 public:
  using word = std::uintptr_t;
  static constexpr word waiting = 1, by_guard = 2, woken = 4;  // ids are multiples of 8
  static constexpr std::uint16_t losses_until_handed_over = 2;

  constexpr exclusive_lock(const lock_words& words, std::string_view name) noexcept : words_(&words), name_(name) {}
  ~exclusive_lock();
  exclusive_lock(const exclusive_lock&) = delete;
  exclusive_lock& operator=(const exclusive_lock&) = delete;

  void lock(const place& here) {
    if (observed() || !take_unused(self())) [[unlikely]]
      lock_slow(here);
  }
  bool try_lock(const place& here) noexcept {
    if (!observed() && take_unused(self())) [[likely]]
      return true;
    return try_lock_slow(here);
  }
  bool lock_for(std::chrono::nanoseconds limit, const place& here);
  void lock(const std::stop_token& stop, const place& here);
  void unlock() {
    if (observed() || !free_unwanted(self())) [[unlikely]]
      unlock_slow();
  }

  /// Whether the calling task, or thread outside tasks, holds it by a blocking form.
  bool is_mine() const noexcept { return owner_of(state_.load(std::memory_order_relaxed)) == self(); }
  std::string_view name() const noexcept { return name_; }
  const lock_words& words() const noexcept { return *words_; }
  wait_target target() const noexcept { return {this, wait_rule::all_release, words_->kind, name_}; }

  // ---- for awaiters and guards; `me`: an id, with by_guard
  static word self() noexcept { return reinterpret_cast<word>(wait_graph::self_id()); }
  static void* as_context(word me) noexcept {
    return reinterpret_cast<void*>(me);
  }  // NOLINT(performance-no-int-to-ptr)
  wait_list& waiters() noexcept { return waiters_; }
  /// Takes it if it is free, also before others who wait.
  bool try_take(word me) noexcept;
  /// The same; otherwise whoever unlocks it will look into the list. `tried`: a waiter that was in the list before, and
  /// may have been woken.
  bool take_or_queue(word me, bool tried) noexcept;
  /// Throws deadlock when the calling task holds it by a blocking form, as it would wait for itself.
  void refuse_relock(const char* what, const place& here) const;
  /// Gives up what `me`, a guard, owns.
  void unlock_guarded(word me) noexcept {
    if (!free_unwanted(me)) [[unlikely]]
      free_slow();
  }
  static bool observed() noexcept { return wait_graph::observer() != nullptr; }

 private:
  static constexpr word owner_of(word seen) noexcept { return seen & ~(waiting | woken); }
  // acquire / release: what the last owner did is visible to the next.
  bool take_unused(word me) noexcept {
    word seen = 0;
    return state_.compare_exchange_strong(seen, me, std::memory_order_acquire, std::memory_order_relaxed);
  }
  bool free_unwanted(word me) noexcept {
    return state_.compare_exchange_strong(me, 0, std::memory_order_release, std::memory_order_relaxed);
  }
  void lock_slow(const place& here);
  bool try_lock_slow(const place& here) noexcept;
  wait_result take(word me, wait_how how);
  void not_coming() noexcept;
  void unlock_slow();
  void free_slow() noexcept;
  wake_up free_or_hand_over() noexcept;
  [[noreturn]] void throw_not_owner(word seen) const;

  std::atomic<word> state_{0};
  wait_list waiters_;
  const lock_words* words_;
  std::string_view name_;
};

}  // namespace tutti::detail
