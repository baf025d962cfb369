#include <tutti/sync/event.hpp>

#include <tutti/sync/waking.hpp>

#include <mutex>

namespace tutti {

event::event(event_reset reset, std::string_view name) noexcept
    : self_{this, wait_rule::unknown, "event", name}, reset_(reset) {}

event::~event() { detail::last_look(waiters_, self_.kind, self_.name); }

// Every change of the word is a read-modify-write, acquire and release: who takes the flag down sees what those did who
// set it before, also when it was set already; who passes, what the last signal saw.

void event::clear() noexcept { word_.fetch_and(~flag, std::memory_order_acq_rel); }

bool event::try_wait() noexcept { return try_pass(generation(), 0); }

// Passes, or leaves `note` in the word in the step that finds that it may not.
bool event::try_pass(std::uint64_t since, std::uint64_t note) noexcept {
  const bool manual = reset_ == event_reset::manual;
  std::uint64_t seen = word_.load(std::memory_order_acquire);
  for (;;) {
    const bool set = (seen & flag) != 0;
    if (manual && (set || seen / one_generation != since)) return true;
    const std::uint64_t next = set ? seen & ~flag : seen | note;
    if (next == seen || word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) return set;
  }
}

void event::signal(std::uint64_t flag_after) noexcept {
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  while ((seen & waiting) == 0) {
    const std::uint64_t next = ((seen + one_generation) & ~flag) | flag_after;
    if (word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
  signal_waiting(flag_after);
}

void event::signal_waiting(std::uint64_t flag_after) noexcept {
  detail::handed_over woken;
  const std::lock_guard lock(waiters_.mutex());
  bool given = false;  // the one turn of an automatic event
  while (reset_ == event_reset::automatic && !given && waiters_.first() != nullptr) {
    given = woken.add(waiters_, *waiters_.first());
  }
  const bool some_stay = reset_ == event_reset::automatic && waiters_.first() != nullptr;
  std::uint64_t seen = word_.load(std::memory_order_relaxed), next = 0;
  do {
    next = (seen + one_generation) & ~(flag | waiting);
    next |= (given ? 0 : flag_after) | (some_stay ? waiting : 0);
  } while (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (reset_ == event_reset::manual) detail::hand_over_to_all(woken, waiters_);
}

wait_result event::pass(wait_how how) {
  const std::uint64_t since = generation();
  if (try_pass(since, 0)) return wait_result::ready;
  if (how.stop.token().stop_requested()) return wait_result::stopped;
  // Who waits for an automatic event goes to the list at once: only there a pulse finds it.
  if (reset_ == event_reset::manual) {
    if (const auto early = wait_list::spin([&] { return try_pass(since, 0); }, how)) return *early;
  }
  how.target = &self_;
  return waiters_.sleep([&] { return try_pass(since, waiting); }, how);
}

void event::wait(place here) { pass({.here = here, .what = "event::wait", .instead = "wait_async()"}); }

bool event::wait_for(std::chrono::nanoseconds limit, place here) {
  if (limit <= std::chrono::nanoseconds::zero()) return try_wait();
  const detail::time_limit until(limit);
  return pass({.deadline = until.deadline(), .here = here, .what = "event::wait_for", .instead = "wait_for_async()"}) ==
         wait_result::ready;
}

void event::wait(const std::stop_token& stop, place here) {
  const auto result = pass({.stop = stop, .here = here, .what = "event::wait", .instead = "wait_async()"});
  detail::throw_if_stopped(result, self_, "wait", here);
}

event::awaiter event::wait_async(place here) { return awaiter(*this, "event::wait_async", here); }

event::timed_awaiter event::wait_for_async(std::chrono::nanoseconds limit, place here) {
  return timed_awaiter(*this, "event::wait_for_async", here, detail::unless_endless(limit));
}

}  // namespace tutti
