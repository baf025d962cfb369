// waking: what the primitives of this module share: ending several waits at once, limits, and the errors of their
// forms.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/timers.hpp>

#include <string>

namespace tutti::detail {

/// Those whose waits one change has ended: threads go on at once, coroutines when the list's lock has been given up,
/// for what resumes them may come back to the same primitive.
class wake_batch {
 public:
  /// Under the lock of `list`: takes `entry` out and ends its wait with `outcome`; false if it has ended already.
  bool add(wait_list& list, waiter& entry, std::uint32_t outcome = wait_ticket::granted) noexcept {
    const wake_up woken = list.grant(entry, outcome);
    if (!woken) return false;
    if (woken.of_thread()) {
      woken();
    } else {
      entry.next = nullptr;
      *end_ = &entry;
      end_ = &entry.next;
    }
    return true;
  }
  void add_all(wait_list& list) noexcept {
    while (waiter* const first = list.first()) add(list, *first);
  }
  /// Without the lock: wakes the coroutines. From here on the primitive may be gone.
  void wake() noexcept {
    while (coroutines_ != nullptr) {
      const wake_up woken = coroutines_->ticket->wake();
      coroutines_ = coroutines_->next;
      woken();
    }
  }

 private:
  waiter* coroutines_ = nullptr;  // each stays until it is woken
  waiter** end_ = &coroutines_;
};

/// A limit from now on, as wait_how takes it.
class time_limit {
 public:
  explicit time_limit(std::chrono::nanoseconds limit) noexcept : at_(time_after(limit)) {}
  /// Null for one that never comes.
  const std::chrono::steady_clock::time_point* deadline() const noexcept {
    return at_ == std::chrono::steady_clock::time_point::max() ? nullptr : &at_;
  }

 private:
  std::chrono::steady_clock::time_point at_;
};

/// The same as async_wait takes it.
inline std::optional<std::chrono::nanoseconds> unless_endless(std::chrono::nanoseconds limit) noexcept {
  if (limit == std::chrono::nanoseconds::max()) return std::nullopt;
  return limit;
}

/// `semaphore "connections"`.
inline std::string primitive_text(const wait_target& of) { return primitive_text(of.kind, of.name); }

/// Throws `cancelled` for a wait that was stopped.
inline void throw_if_stopped(wait_result result, const wait_target& by, const char* what, const place& here) {
  if (result != wait_result::stopped) return;
  throw cancelled(primitive_text(by) + ": " + what + " at " + to_string(here) + " was stopped while it waited");
}

}  // namespace tutti::detail
