// wait_list: waiting lives here, once, for threads and coroutines alike.
//
// Every primitive that waits (future, latch, mutex, channel, ...) keeps its own small state and one wait_list:
//
//   waiting:  list.wait(ready, how)        `ready()` is asked first without the lock, then under it, after the waiter
//                                          became visible
//   waking:   change the state, then list.wake_one() / wake_all()
//
// No wake-up is lost: a waiter raises `count_` (seq_cst) before it asks `ready()` for the last time, and the waker
// changes the state before it reads `count_` (seq_cst); so the waiter sees the change or the waker sees the waiter. The
// state change and the look of `ready()` must be seq_cst as well, or under a lock of their own.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/core/parker.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/stop.hpp>

#include <coroutine>
#include <memory>
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
};

/// One pending wait, shared by the waiter's entries in one list or, for select, in several: whoever claims it first
/// has decided how the wait ends. Lives with the waiter.
class wait_ticket {
 public:
  static constexpr std::uint32_t open = ~std::uint32_t{0};
  static constexpr std::uint32_t by_timeout = open - 1, by_stop = open - 2;  ///< outcomes that no list gives

  /// Who is woken when the ticket is claimed.
  explicit wait_ticket(parker& sleeper) noexcept : parker_(&sleeper) {}
  wait_ticket(void (*resume)(void*), void* context) noexcept : resume_(resume), context_(context) {}

  /// Ends the wait with `outcome` and wakes the waiter; false if it has ended already. The claim is the last access to
  /// the ticket: the waiter may return, and the ticket vanish, at once.
  bool claim(std::uint32_t outcome) noexcept {
    parker* const sleeper = parker_;
    const auto resume = resume_;
    void* const context = context_;
    std::uint32_t seen = open;
    // release: the claimer's writes are visible to the waiter, who reads the outcome with acquire.
    if (!outcome_.compare_exchange_strong(seen, outcome, std::memory_order_acq_rel)) return false;
    if (sleeper != nullptr) {
      sleeper->unpark();
    } else {
      resume(context);
    }
    return true;
  }
  std::uint32_t outcome() const noexcept { return outcome_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint32_t> outcome_{open};
  parker* parker_ = nullptr;
  void (*resume_)(void*) = nullptr;
  void* context_ = nullptr;
};

/// Blocks the calling thread until `ticket`, whose sleeper is this thread's, is claimed, by a list or by the deadline
/// (tutti's clock; nullptr: none): then its outcome is wait_ticket::by_timeout.
void sleep_on(wait_ticket& ticket, const std::chrono::steady_clock::time_point* deadline) noexcept;

/// A ticket's entry in one list. Linked and unlinked under the list's lock; unlinked before it is destroyed.
struct waiter {
  wait_ticket* ticket;
  std::uint32_t outcome = 0;  ///< what the ticket is claimed with when this list wakes it
  place here = {};
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
  bool empty() const noexcept { return count_.load(std::memory_order_seq_cst) == 0; }

  /// Blocks the calling thread until `ready()` holds; `ready` must not block and may be called several times, under the
  /// list's lock too. On a pool's worker the pool keeps its number of runnable threads meanwhile.
  /// Throws pool_exhausted when it cannot.
  template <class Ready>
  wait_result wait(Ready&& ready, const wait_how& how) {
    if (ready()) return wait_result::ready;
    if (const auto early = spin(ready, how)) return *early;
    return sleep(ready, how);
  }
  /// The two halves of wait, for primitives that note that somebody sleeps: looks for as long as a wake-up takes;
  /// nothing when that was not enough.
  template <class Ready>
  static std::optional<wait_result> spin(Ready&& ready, const wait_how& how) {
    return spin_erased(erase(ready), how);
  }
  template <class Ready>
  wait_result sleep(Ready&& ready, const wait_how& how) {
    return sleep_erased(erase(ready), how);
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

  // Primitives whose state must change together with the list use the list's lock for both.
  small_mutex& mutex() noexcept { return mutex_; }

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
  wait_result sleep_erased(condition ready, const wait_how& how);
  std::size_t wake_slow(std::size_t limit) noexcept;
  void link(waiter& entry) noexcept;
  void unlink(waiter& entry) noexcept;

  small_mutex mutex_;
  std::atomic<std::uint32_t> count_{0};
  waiter* head_ = nullptr;
  waiter* tail_ = nullptr;
};

}  // namespace tutti
