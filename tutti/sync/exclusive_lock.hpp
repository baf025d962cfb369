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
// long way frees the lock and leaves sleepers alone only while `woken` is set. It is set in the step that frees the
// lock for the one who was woken, and whoever was woken clears it when it tries: it takes the lock, whose `waiting` is
// kept, or finds another owner, who has not looked yet. Clearing it too often only wakes one more. Both sides change
// one word, so that its order of modifications decides who was first; no stronger order than acquire (taking) and
// release (freeing) is needed.
//
// A newcomer may take a free lock before those who wait. One of them who has lost like that twice stands at the front
// of the list, and gets the lock from whoever unlocks it next without it being free in between.
#pragma once
#include <tutti/core/wait_list.hpp>
#include <tutti/sync/lock_words.hpp>

#include <chrono>
#include <stop_token>
#include <string_view>

namespace tutti::detail {

/// The blocking forms are those of mutex.
class exclusive_lock {
 public:
  static constexpr std::uint16_t losses_until_handed_over = 2;

  constexpr exclusive_lock(const lock_words& words, std::string_view name) noexcept : words_(&words), name_(name) {}
  ~exclusive_lock();
  exclusive_lock(const exclusive_lock&) = delete;
  exclusive_lock& operator=(const exclusive_lock&) = delete;

  void lock(const place& here) {
    if (observed() || !take_unused(self_word())) [[unlikely]]
      lock_slow(here);
  }
  bool try_lock(const place& here) noexcept {
    if (!observed() && take_unused(self_word())) [[likely]]
      return true;
    return try_lock_slow(here);
  }
  bool lock_for(std::chrono::nanoseconds limit, const place& here);
  void lock(const std::stop_token& stop, const place& here);
  void unlock() {
    if (observed() || !free_unwanted(self_word())) [[unlikely]]
      unlock_slow();
  }

  /// Whether the calling task, or thread outside tasks, holds it by a blocking form.
  bool is_mine() const noexcept { return owner_of(state_.load(std::memory_order_relaxed)) == self_word(); }
  std::string_view name() const noexcept { return name_; }
  wait_target target(lock_word = 0) const noexcept { return {this, wait_rule::all_release, words_->kind, name_}; }

  // ---- for lock_forms.hpp and async_lock.hpp; `me`: an id, with by_guard
  wait_list& waiters() noexcept { return waiters_; }
  const lock_words& words(lock_word) const noexcept { return *words_; }
  /// Takes it if it is free, also before others who wait.
  bool try_take(lock_word me) noexcept;
  /// The same; otherwise whoever unlocks it will look into the list. `tried`: a waiter that was in the list before, and
  /// may have been woken.
  bool take_or_queue(lock_word me, bool tried) noexcept;
  /// Others wait and go first: not here.
  static constexpr bool crowded() noexcept { return false; }
  /// A waiter has left without the lock, though it may have been woken.
  void left(lock_word me) noexcept;
  /// Throws deadlock when the calling task holds it by a blocking form, as it would wait for itself.
  void refuse_relock(lock_word me, const char* what, const place& here) const;
  /// Gives up what `me`, a guard, owns.
  void unlock_guarded(lock_word me) noexcept {
    if (!free_unwanted(me)) [[unlikely]]
      free_slow();
  }

 private:
  static constexpr lock_word waiting = 1, woken = 2;
  static constexpr lock_word owner_of(lock_word seen) noexcept { return seen & ~(waiting | woken); }
  // acquire / release: what the last owner did is visible to the next.
  bool take_unused(lock_word me) noexcept {
    lock_word seen = 0;
    return state_.compare_exchange_strong(seen, me, std::memory_order_acquire, std::memory_order_relaxed);
  }
  bool free_unwanted(lock_word me) noexcept {
    return state_.compare_exchange_strong(me, 0, std::memory_order_release, std::memory_order_relaxed);
  }
  void lock_slow(const place& here);
  bool try_lock_slow(const place& here) noexcept;
  void unlock_slow();
  void free_slow() noexcept;
  wake_up free_or_hand_over() noexcept;
  [[noreturn]] void throw_not_owner(lock_word seen) const;

  std::atomic<lock_word> state_{0};
  wait_list waiters_;
  const lock_words* words_;
  std::string_view name_;
};

}  // namespace tutti::detail
