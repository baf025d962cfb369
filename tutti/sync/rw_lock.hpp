// rw_lock: what shared_mutex is made of: one word that says who holds it and how, and one list of waiters.
//
// The word:
//   0                                  free
//   id | by_guard | writing            held by one, exclusively
//   sum << 24 | count << 3             held by `count` readers; `sum`, modulo 2^40, of what each of them adds: its id,
//                                      so that the last one to leave is known by what is left
//   ... | waiting                      and somebody may be in the list
//
// While the lock is held, `waiting` makes whoever comes queue, readers too (unless the policy is prefer_readers and no
// writer holds it), and whoever frees it look into the list. Those who wait never take the lock: it is handed over to
// them, under the list's lock, by who frees it or by a waiter that leaves. So the order is the list's, whatever the
// scheduler of the system does.
//
// No waiter is forgotten: `waiting` is set only in a step that finds the lock held, by a waiter that is already linked,
// under the list's lock; it is cleared under that lock, when the list is empty. So with a waiter in the list the lock
// is held by somebody who has to take the long way out, or there is a waiter before it that has given up, which looks
// for who can go on once it has left the list. Both sides change one word: its order of modifications decides who was
// first, and acquire (taking) and release (freeing) suffice.
#pragma once
#include <tutti/core/handed_over.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/sync/lock_words.hpp>

#include <chrono>
#include <stop_token>
#include <string_view>

namespace tutti {

/// Who goes first when both readers and writers wait for a shared_mutex.
enum class shared_policy : std::uint8_t {
  fair,            ///< in the order of their arrival; readers that are neighbours go in together
  prefer_readers,  ///< readers: a writer may starve while they come
  prefer_writers,  ///< writers: a reader may starve while they come
};

namespace detail {

/// In the flags of an owner: it wants to read. Not in the lock's own word.
inline constexpr lock_word as_reader = 2;

class rw_lock {
 public:
  constexpr rw_lock(shared_policy policy, std::string_view name) noexcept : name_(name), policy_(policy) {}
  ~rw_lock();
  rw_lock(const rw_lock&) = delete;
  rw_lock& operator=(const rw_lock&) = delete;

  // The forms of shared_mutex; `kind`: 0 or as_reader.
  void lock(const place& here) {
    if (observed() || !take_unused(self_word())) [[unlikely]]
      lock_slow(0, here);
  }
  void lock_shared(const place& here) {
    if (observed() || !join_readers(self_word())) [[unlikely]]
      lock_slow(as_reader, here);
  }
  bool try_lock(lock_word kind, const place& here) noexcept;
  bool lock_for(lock_word kind, std::chrono::nanoseconds limit, const place& here);
  void lock(lock_word kind, const std::stop_token& stop, const place& here);
  void unlock() {
    if (observed() || !free_unwanted(self_word())) [[unlikely]]
      unlock_slow();
  }
  void unlock_shared() {
    if (observed() || !leave_readers(self_word())) [[unlikely]]
      unlock_shared_slow();
  }

  std::string_view name() const noexcept { return name_; }
  shared_policy policy() const noexcept { return policy_; }
  wait_target target(lock_word me = 0) const noexcept {
    return {this, wait_rule::all_release, "shared_mutex", name_, reads(me)};
  }

  // ---- for lock_forms.hpp and async_lock.hpp; `me`: an id, with by_guard and as_reader
  wait_list& waiters() noexcept { return waiters_; }
  const lock_words& words(lock_word me) const noexcept;
  /// Takes it if that is allowed before those who wait.
  bool try_take(lock_word me) noexcept;
  /// The same; otherwise whoever frees the lock will look into the list, where the waiter is or will be.
  bool take_or_queue(lock_word me, bool tried) noexcept;
  /// Others wait and go first: looking again and again does not help.
  bool crowded() const noexcept { return (state_.load(std::memory_order_relaxed) & waiting) != 0; }
  /// A waiter has left the list without the lock: others may go on that waited behind it.
  void left(lock_word me) noexcept;
  /// Throws deadlock when the caller is known to hold it: it would wait for itself.
  void refuse_relock(lock_word me, const char* what, const place& here) const;
  /// Gives up what `me`, a guard, owns.
  void unlock_guarded(lock_word me) noexcept;

 private:
  static constexpr lock_word waiting = 1, writing = 2;
  static constexpr int sum_shift = 24;
  static constexpr lock_word one_reader = 8;
  static constexpr lock_word max_readers = (lock_word{1} << 21) - 1;

  static constexpr lock_word readers(lock_word seen) noexcept { return seen / one_reader & max_readers; }
  static constexpr bool reads(lock_word me) noexcept { return (me & as_reader) != 0; }
  // What a reader adds to the word.
  static constexpr lock_word as_one_reader(lock_word me) noexcept {
    return (me & ~as_reader) / by_guard << sum_shift | one_reader;
  }
  static constexpr lock_word as_writer(lock_word me) noexcept { return me | writing; }

  bool take_unused(lock_word me) noexcept {
    lock_word seen = 0;
    return state_.compare_exchange_strong(seen, as_writer(me), std::memory_order_acquire, std::memory_order_relaxed);
  }
  bool free_unwanted(lock_word me) noexcept {
    lock_word seen = as_writer(me);
    return state_.compare_exchange_strong(seen, 0, std::memory_order_release, std::memory_order_relaxed);
  }
  // Only a first try: nobody writes or waits, and no other reader comes or goes meanwhile.
  bool join_readers(lock_word me) noexcept {
    lock_word seen = state_.load(std::memory_order_relaxed);
    return (seen & (writing | waiting)) == 0 && readers(seen) < max_readers &&
           state_.compare_exchange_strong(seen, seen + as_one_reader(me), std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  // Likewise: the last of them and nobody waits, or not the last.
  bool leave_readers(lock_word me) noexcept {
    lock_word seen = state_.load(std::memory_order_relaxed);
    return (seen == as_one_reader(me) || ((seen & writing) == 0 && readers(seen) > 1)) &&
           state_.compare_exchange_strong(seen, seen - as_one_reader(me), std::memory_order_release,
                                          std::memory_order_relaxed);
  }
  bool allowed(lock_word seen, lock_word me) const noexcept;
  void lock_slow(lock_word kind, const place& here);
  void unlock_slow();
  void unlock_shared_slow();
  bool leave_readers_slow(lock_word me) noexcept;
  void free_slow() noexcept;

  // Under the list's lock: hands over to those whose turn it is. `held`: the lock's word without `waiting`, 0: free.
  lock_word admit(lock_word held, handed_over& in) noexcept;
  lock_word admit_writer(handed_over& in) noexcept;
  lock_word admit_readers(lock_word held, handed_over& in) noexcept;
  bool writer_waits() const noexcept;
  lock_word more() const noexcept { return waiters_.first() != nullptr ? waiting : 0; }
  [[noreturn]] void throw_not_owner(const char* operation, const char* why) const;

  std::atomic<lock_word> state_{0};
  wait_list waiters_;
  std::string_view name_;
  shared_policy policy_;
};

}  // namespace detail
}  // namespace tutti
