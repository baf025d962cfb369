// wait_list: waiting lives here, once, for threads and coroutines alike.
//
// Every primitive that waits (future, latch, mutex, channel, ...) keeps its own small state and one wait_list:
//
//   waiting:  list.wait(ready, how)        `ready()` is asked first without the lock, then under it, after the waiter
//                                          became visible
//   waking:   change the state, then list.wake_one() / wake_all()
//
// Who may hand over what is waited for, instead of waking somebody who then takes it, does so under the list's lock
// with `grant`. A waiter that was woken and came too late goes back to the front of the list, and counts that in
// `losses`.
//
// No wake-up is lost: a waiter raises `count_` (seq_cst) before it asks `ready()` for the last time, and the waker
// changes the state before it reads `count_` (seq_cst); so the waiter sees the change or the waker sees the waiter. The
// state change and the look of `ready()` must be seq_cst as well, or under a lock of their own, or have an asymmetric
// fence between their two steps (channel_core.hpp).
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/core/parker.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/stop.hpp>
#include <tutti/core/wait_graph.hpp>

#include <memory>
#include <mutex>
#include <optional>

namespace tutti {

/// How a wait came to its end.
enum class wait_result : std::uint8_t { ready, timed_out, stopped };

/// How to wait. Trivially destructible (see stop_ref).
struct wait_how {
  const std::chrono::steady_clock::time_point* deadline = nullptr;  ///< nullptr: no limit
  stop_ref stop = {};                                               ///< gives up when stop is requested
  place here = place::current();                                    ///< shown by dump and deadlock reports
  const char* what = "wait";                                        ///< what is waited for, likewise
  const wait_target* target = nullptr;                              ///< who can end it, as far as known
  const char* instead = nullptr;  ///< what to await on a loop's thread, where this would_block; nullptr: it may block
};

/// Wakes one waiter, once its ticket has been claimed and locks have been released.
class wake_up {
 public:
  wake_up() = default;
  explicit operator bool() const noexcept { return sleeper_ != nullptr || resume_ != nullptr; }
  bool of_thread() const noexcept { return sleeper_ != nullptr; }
  void operator()() const noexcept {
    if (sleeper_ != nullptr) {
      sleeper_->unpark();
    } else if (resume_ != nullptr) {
      resume_(context_);
    }
  }

 private:
  friend class wait_ticket;
  parker* sleeper_ = nullptr;
  void (*resume_)(void*) = nullptr;
  void* context_ = nullptr;
};

/// One pending wait, shared by the waiter's entries in one list or, for select, in several: whoever claims it first
/// has decided how the wait ends. Lives with the waiter.
class wait_ticket {
 public:
  static constexpr std::uint32_t open = ~std::uint32_t{0};
  static constexpr std::uint32_t by_timeout = open - 1, by_stop = open - 2;  ///< outcomes that no list gives
  static constexpr std::uint32_t granted = open - 3;                         ///< what was waited for was handed over

  /// Who is woken when the ticket is claimed.
  explicit wait_ticket(parker& sleeper) noexcept { wake_.sleeper_ = &sleeper; }
  wait_ticket(void (*resume)(void*), void* context) noexcept {
    wake_.resume_ = resume;
    wake_.context_ = context;
  }

  /// Ends the wait with `outcome` and wakes the waiter; false if it has ended already. The claim is the last access to
  /// the ticket: the waiter may return, and the ticket vanish, at once.
  bool claim(std::uint32_t outcome) noexcept {
    const wake_up woken = try_claim(outcome);
    woken();
    return static_cast<bool>(woken);
  }
  /// The same, but whoever gets a wake_up that is not empty wakes the waiter. A coroutine stays until then; a thread
  /// may have gone on.
  [[nodiscard]] wake_up try_claim(std::uint32_t outcome) noexcept {
    const wake_up wake = wake_;
    std::uint32_t seen = open;
    // release: the claimer's writes are visible to the waiter, who reads the outcome with acquire.
    return outcome_.compare_exchange_strong(seen, outcome, std::memory_order_acq_rel) ? wake : wake_up();
  }
  std::uint32_t outcome() const noexcept { return outcome_.load(std::memory_order_acquire); }
  /// For whoever has claimed it for a coroutine, which waits for this.
  wake_up wake() const noexcept { return wake_; }
  /// By the waiter, once its ticket was claimed and it waits again. release: what it has set up is visible to whoever
  /// claims it next.
  void reopen() noexcept { outcome_.store(open, std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> outcome_{open};
  wake_up wake_;
};

/// Blocks the calling thread until `ticket`, whose sleeper is this thread's, is claimed, by a list or by the deadline
/// (tutti's clock; nullptr: none): then its outcome is wait_ticket::by_timeout.
void sleep_on(wait_ticket& ticket, const std::chrono::steady_clock::time_point* deadline) noexcept;

/// A ticket's entry in one list. Linked and unlinked under the list's lock; unlinked before it is destroyed.
struct waiter {
  wait_ticket* ticket;
  std::uint32_t outcome = 0;  ///< what the ticket is claimed with when this list wakes it
  std::uint16_t losses = 0;   ///< how often it was woken and came too late
  void* context = nullptr;    ///< the primitive's
  waiter* next = nullptr;
  waiter* previous = nullptr;
  bool linked = false;
};

/// Set while this thread has callbacks to call, which others may wait for: hands them to somebody else. See the queue
/// of callbacks in future_state.cpp.
using sleep_hook = void (*)() noexcept;
inline constinit thread_local sleep_hook sleep_hook_now = nullptr;
/// To be called before this thread sleeps for something other than work. Does not block, and runs no foreign code.
inline void before_sleeping() noexcept {
  if (sleep_hook_now != nullptr) [[unlikely]]
    sleep_hook_now();
}

/// A first-in-first-out list of waiters. Thread-safe. Must outlive its waiters.
class wait_list {
 public:
  wait_list() = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;

  /// Wakes the longest waiting waiter whose ticket is still open; false if there is none. Never blocks.
  bool wake_one() noexcept { return count_.load(std::memory_order_seq_cst) != 0 && wake_slow(1) != 0; }
  /// Wakes everybody who waits now; returns how many.
  std::size_t wake_all() noexcept {
    return count_.load(std::memory_order_seq_cst) == 0 ? 0 : wake_slow(~std::size_t{0});
  }
  /// True if nobody waits (a snapshot).
  bool empty() const noexcept { return size() == 0; }
  /// How many wait (a snapshot).
  std::size_t size() const noexcept { return count_.load(std::memory_order_seq_cst); }

  /// Blocks the calling thread until `ready()` holds, or it is granted; `ready` must not block and may be called
  /// several times, under the list's lock too. On a pool's worker the pool keeps its number of runnable threads
  /// meanwhile. `context`: for the primitive, in the waiter's entry. Throws pool_exhausted when it cannot; would_block,
  /// see wait_how; what an observer of waits throws.
  template <class Ready>
  wait_result wait(Ready&& ready, const wait_how& how, void* context = nullptr) {
    if (ready()) return wait_result::ready;
    if (const auto early = spin(ready, how)) return *early;
    return sleep(ready, how, context);
  }
  /// The two halves of wait, for primitives that note that somebody sleeps: looks for as long as a wake-up takes;
  /// nothing when that was not enough.
  template <class Ready>
  static std::optional<wait_result> spin(Ready&& ready, const wait_how& how) {
    return spin_erased(erase(ready), how);
  }
  template <class Ready>
  wait_result sleep(Ready&& ready, const wait_how& how, void* context = nullptr) {
    return sleep_erased(erase(ready), how, context);
  }

  /// Adds an entry unless `ready()` holds already, asked after the entry became visible; false: not added.
  template <class Ready>
  bool add_unless(waiter& entry, Ready&& ready) {
    const std::lock_guard lock(mutex_);
    link(entry);
    if (!ready()) return true;
    unlink(entry);
    return false;
  }
  /// Removes an entry if it is still in the list.
  void remove(waiter& entry) noexcept;

  // Primitives whose state must change together with the list use the list's lock for both. The following are called
  // under it.
  small_mutex& mutex() noexcept { return mutex_; }
  waiter* first() const noexcept { return head_; }
  /// Takes `entry` out and ends its wait with `outcome`; empty if it has ended already. The entry may be gone then,
  /// unless it is a coroutine's that is still to be woken.
  [[nodiscard]] wake_up grant(waiter& entry, std::uint32_t outcome = wait_ticket::granted) noexcept {
    wait_ticket& ticket = *entry.ticket;
    unlink(entry);
    return ticket.try_claim(outcome);
  }

 private:
  struct condition {
    bool (*holds)(void*);
    void* context;
    bool operator()() const { return holds(context); }
  };
  template <class Ready>
  static condition erase(Ready& ready) {
    return {[](void* r) { return static_cast<bool>((*static_cast<Ready*>(r))()); },
            const_cast<void*>(static_cast<const void*>(std::addressof(ready)))};
  }
  static std::optional<wait_result> spin_erased(condition ready, const wait_how& how);
  wait_result sleep_erased(condition ready, const wait_how& how, void* context);
  std::size_t wake_slow(std::size_t limit) noexcept;
  void link(waiter& entry) noexcept;
  void unlink(waiter& entry) noexcept;

  small_mutex mutex_;
  std::atomic<std::uint32_t> count_{0};
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

}  // namespace tutti
