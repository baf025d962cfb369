#include <tutti/sync/condition.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/sync/waking.hpp>

namespace tutti {

condition::~condition() { detail::last_look(waiters_, self_.kind, self_.name); }

void condition::check_held(bool held, const char* what, const place& here) const {
  if (held) return;
  throw not_owner(detail::primitive_text(self_) + ": " + what + " at " + to_string(here) +
                  " with a lock that is not held; lock it first");
}

void condition::notify(bool all) noexcept {
  detail::handed_over woken;
  const std::lock_guard lock(waiters_.mutex());
  notifications_.store(notifications_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  while (waiter* const first = waiters_.first()) {
    if (woken.add(waiters_, *first) && !all) break;
  }
}

wait_result condition::rounds(std::unique_lock<mutex>& lock, predicate holds, void* context, wait_how how) {
  check_held(lock.owns_lock(), how.what, how.here);
  how.target = &self_;
  const std::stop_token stop = how.stop.token();
  promise_to_pass_on given(*this);
  while (!holds(context)) {
    if (stop.stop_requested()) return wait_result::stopped;
    if (how.deadline != nullptr && now() >= *how.deadline) return wait_result::timed_out;
    const inside waits(*this);
    lock.unlock();
    try {
      const wait_result result = waiters_.wait([&] { return waits.notified(); }, how);
      given.notified |= result == wait_result::ready;
    } catch (...) {
      lock.lock();
      throw;
    }
    lock.lock();
  }
  given.notified = false;
  return wait_result::ready;
}

bool condition::rounds_for(std::unique_lock<mutex>& lock, predicate holds, void* context,
                           std::chrono::nanoseconds limit, const place& here) {
  const detail::time_limit until(limit);
  const wait_how how{
      .deadline = until.deadline(), .here = here, .what = "condition::wait_for", .instead = "wait_for_async()"};
  return rounds(lock, holds, context, how) == wait_result::ready;
}

void condition::rounds_until(std::unique_lock<mutex>& lock, predicate holds, void* context, const std::stop_token& stop,
                             const place& here) {
  const wait_how how{.stop = stop, .here = here, .what = "condition::wait", .instead = "wait_async()"};
  detail::throw_if_stopped(rounds(lock, holds, context, how), self_, "wait", here);
}

}  // namespace tutti
