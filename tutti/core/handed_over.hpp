// handed_over: those who were given what they waited for, to be woken once the list's lock was let go.
#pragma once
#include <tutti/core/wait_list.hpp>

namespace tutti::detail {

/// Declared before the guard of a list's lock, and so destroyed after it: wakes then. A coroutine, which stays until it
/// is woken, may go on in place and come back to the same list; a thread may have gone on, but its parker stays. From
/// then on the primitive may be gone.
class handed_over {
 public:
  handed_over() = default;
  handed_over(const handed_over&) = delete;
  handed_over& operator=(const handed_over&) = delete;
  ~handed_over() {
    thread_();
    while (coroutines_ != nullptr) {
      const wake_up wake = coroutines_->ticket->wake();
      coroutines_ = coroutines_->next;
      wake();
    }
  }

  /// Under the list's lock: takes `entry` out and ends its wait; false if it has given up. By default it is granted
  /// what it waits for; with its own outcome it has to look itself.
  bool add(wait_list& list, waiter& entry, std::uint32_t outcome = wait_ticket::granted) noexcept {
    const wake_up wake = list.grant(entry, outcome);
    if (!wake) return false;
    if (wake.of_thread()) {
      thread_();  // the one before: only the last is woken without the lock
      thread_ = wake;
    } else {
      entry.next = nullptr;
      *end_ = &entry;
      end_ = &entry.next;
    }
    return true;
  }

 private:
  wake_up thread_;
  waiter* coroutines_ = nullptr;
  waiter** end_ = &coroutines_;
};

}  // namespace tutti::detail
