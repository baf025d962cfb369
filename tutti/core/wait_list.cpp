#include <tutti/core/wait_list.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>

#include <optional>

namespace tutti {
namespace {

// On a pool's worker: the pool finds somebody to run in our place.
class blocking_section {
 public:
  explicit blocking_section(const wait_how& how) : self_(detail::loop_engine::blocked_worker()) {
    if (self_ != nullptr && !self_->pool->begin_block(*self_)) {
      throw pool_exhausted("thread_pool \"" + self_->pool->name() + "\": this " + how.what + " at " +
                           to_string(how.here) + " needs a spare thread in its place, but " +
                           std::to_string(scheduler::max_spares) +
                           " are blocked already, or the system gives no more; wait in coroutines, or block less");
    }
  }
  ~blocking_section() {
    if (self_ != nullptr) self_->pool->end_block(*self_);
  }
  blocking_section(const blocking_section&) = delete;
  blocking_section& operator=(const blocking_section&) = delete;

 private:
  worker* self_;
};

template <class Ready>
std::optional<wait_result> over(const Ready& ready, const std::stop_token& stop, const wait_how& how) {
  if (ready()) return wait_result::ready;
  if (stop.stop_requested()) return wait_result::stopped;
  if (how.deadline != nullptr && now() >= *how.deadline) return wait_result::timed_out;
  return std::nullopt;
}

// What waits on a loop's thread keeps the whole loop waiting, perhaps for what only the loop can do.
void refuse_to_block_loop(const char* what, const char* instead, const place& here) {
  if (this_worker != nullptr || detail::loop_engine::current() == nullptr) return;
  throw would_block(std::string(what) + " at " + to_string(here) +
                    " would block this thread's run_loop and all that runs on it; co_await " + instead);
}

}  // namespace

std::optional<wait_result> wait_list::spin_erased(condition ready, const wait_how& how) {
  const std::stop_token stop = how.stop.token();
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (const auto result = over(ready, stop, how)) return result;
  }
  return std::nullopt;
}

wait_result wait_list::sleep_erased(condition ready, const wait_how& how, void* context) {
  if (how.instead != nullptr) refuse_to_block_loop(how.what, how.instead, how.here);
  const std::stop_token stop = how.stop.token();
  before_sleeping();
  const blocking_section section(how);
  const thread_record::waiting shown(how.what, how.here);
  trace_point(trace_kind::wait_begin, this);
  struct end_of_wait {
    const wait_list* list;
    ~end_of_wait() { trace_point(trace_kind::wait_end, list); }
  } const traced{this};
  parker& sleeper = this_parker();
  waiter entry{nullptr, 0, 0, context};
  for (;;) {
    wait_ticket ticket(sleeper);
    entry.ticket = &ticket;
    if (!add_unless(entry, ready)) return wait_result::ready;
    try {
      wait_graph::watched_wait watched;
      watched.begin({.who = wait_graph::self(),
                     .targets = {how.target, how.target == nullptr ? 0U : 1U},
                     .ticket = &ticket,
                     .limited = how.deadline != nullptr || stop.stop_possible(),
                     .what = how.what,
                     .here = how.here});
      const std::stop_callback on_stop(stop, [&] { ticket.claim(wait_ticket::by_stop); });
      sleep_on(ticket, how.deadline);
    } catch (...) {  // refused, but if somebody has come in between
      remove(entry);
      if (ticket.outcome() == wait_ticket::granted) return wait_result::ready;
      if (ticket.outcome() == 0) wake_one();
      throw;
    }
    remove(entry);
    if (ticket.outcome() == wait_ticket::granted) return wait_result::ready;
    if (const auto result = over(ready, stop, how)) {
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
  while (ticket.outcome() == wait_ticket::open) {
    if (current_clock().now() >= *deadline) {
      ticket.claim(wait_ticket::by_timeout);
      break;
    }
    sleeper.park_until(current_clock().is_virtual() ? nullptr : deadline);
  }
  clock_source::unsubscribe(subscription);
}

void wait_list::remove(waiter& entry) noexcept {
  const std::lock_guard lock(mutex_);
  if (entry.linked) unlink(entry);
}

std::size_t wait_list::wake_slow(std::size_t limit) noexcept {
  std::size_t woken = 0;
  // A coroutine, which stays until it is woken, may go on in place and come back here: not under the lock.
  waiter* coroutines = nullptr;
  waiter** end = &coroutines;
  {
    const std::lock_guard lock(mutex_);
    while (woken < limit && head_ != nullptr) {
      waiter& entry = *head_;
      const wake_up wake = grant(entry, entry.outcome);
      if (!wake) continue;
      ++woken;
      if (wake.of_thread()) {
        wake();
      } else {
        *end = &entry;
        end = &entry.next;
      }
    }
    *end = nullptr;
  }
  while (coroutines != nullptr) {
    const wake_up wake = coroutines->ticket->wake();
    coroutines = coroutines->next;
    wake();
  }
  return woken;
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
