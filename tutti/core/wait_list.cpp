#include <tutti/core/wait_list.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/handed_over.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/timers.hpp>

namespace tutti {
namespace {

template <class Ready>
std::optional<wait_result> over(const Ready& ready, const std::stop_token& stop, const wait_how& how) {
  if (ready()) return wait_result::ready;
  if (stop.stop_requested()) return wait_result::stopped;
  if (how.deadline != nullptr && now() >= *how.deadline) return wait_result::timed_out;
  return std::nullopt;
}

// A virtual clock stops where a timer is due, and one that moves by itself goes from timer to timer.
class expiry final : public timer_entry {
 public:
  explicit expiry(wait_ticket& ticket) noexcept : ticket_(ticket) {}
  void try_set(time_point when) noexcept {
    try {
      set(when);
    } catch (const std::exception&) {  // no memory, or no thread for the timers: it has to be moved by somebody
    }
  }

 private:
  void due() noexcept override { ticket_.claim(wait_ticket::by_timeout); }
  wait_ticket& ticket_;
};

}  // namespace

std::optional<wait_result> wait_list::spin_erased(condition ready, const wait_how& how) {
  const std::stop_token stop = how.stop.token();
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (const auto result = over(ready, stop, how)) return result;
  }
  return std::nullopt;
}

wait_result wait_list::sleep_erased(condition ready, const wait_how& how, void* context) {
  blocking_wait blocked(this, how);
  parker& sleeper = this_parker();
  waiter entry{nullptr, 0, 0, context};
  for (;;) {
    wait_ticket ticket(sleeper);
    entry.ticket = &ticket;
    if (!add_unless(entry, ready)) return wait_result::ready;
    try {
      blocked.sleep(ticket, {how.target, how.target == nullptr ? 0U : 1U});
    } catch (...) {  // refused, but if somebody has come in between
      remove(entry);
      if (ticket.outcome() == wait_ticket::granted) return wait_result::ready;
      if (ticket.outcome() == 0) wake_one();
      throw;
    }
    remove(entry);
    if (ticket.outcome() == wait_ticket::granted) return wait_result::ready;
    if (const auto result = over(ready, blocked.stop(), how)) {
      // A wake-up that came together with the time limit or the stop, and was meant for somebody who can use it.
      if (*result != wait_result::ready && ticket.outcome() == 0) wake_one();
      return *result;
    }
    if (ticket.outcome() == 0) ++entry.losses;
  }
}

void sleep_on(wait_ticket& ticket, const std::chrono::steady_clock::time_point* deadline) noexcept {
  parker& sleeper = this_parker();
  if (deadline == nullptr) {
    while (ticket.outcome() == wait_ticket::open) sleeper.park();
    return;
  }
  // Time may be virtual: whenever the clock is moved or changed, look at it again.
  const auto subscription = clock_source::subscribe([&sleeper](clock_source::time_point) { sleeper.unpark(); });
  std::optional<expiry> timer;
  while (ticket.outcome() == wait_ticket::open) {
    if (!timer && current_clock().is_virtual()) timer.emplace(ticket).try_set(*deadline);
    if (current_clock().now() >= *deadline) {
      ticket.claim(wait_ticket::by_timeout);
      break;
    }
    sleeper.park_until(current_clock().is_virtual() ? nullptr : deadline);
  }
  clock_source::unsubscribe(subscription);
  if (timer) timer->cancel_and_wait();
}

void wait_list::remove(waiter& entry) noexcept {
  const std::lock_guard lock(mutex_);
  if (entry.linked) unlink(entry);
}

std::size_t wait_list::wake_slow(std::size_t limit) noexcept {
  detail::handed_over woken;  // wakes after the lock is released
  std::size_t count = 0;
  const std::lock_guard lock(mutex_);
  while (count < limit && head_ != nullptr) {
    if (woken.add(*this, *head_, head_->outcome)) ++count;
  }
  return count;
}

void wait_list::link(waiter& entry) noexcept {
  const bool in_front = entry.losses != 0;
  entry.next = in_front ? head_ : nullptr;
  entry.previous = in_front ? nullptr : tail_;
  (entry.previous == nullptr ? head_ : entry.previous->next) = &entry;
  (entry.next == nullptr ? tail_ : entry.next->previous) = &entry;
  entry.linked = true;
  count_.fetch_add(1, std::memory_order_seq_cst);
}

void wait_list::unlink(waiter& entry) noexcept {
  (entry.previous == nullptr ? head_ : entry.previous->next) = entry.next;
  (entry.next == nullptr ? tail_ : entry.next->previous) = entry.previous;
  entry.linked = false;
  count_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace tutti
