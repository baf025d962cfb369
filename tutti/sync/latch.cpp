#include <tutti/sync/latch.hpp>

#include <tutti/sync/waking.hpp>

#include <mutex>
#include <stdexcept>
#include <string>

namespace tutti {

latch::latch(std::ptrdiff_t count, std::string_view name)
    : left_(count), self_{this, wait_rule::unknown, "latch", name} {
  if (count >= 0) return;
  throw std::invalid_argument(detail::primitive_text(self_) + ": a count of " + std::to_string(count) +
                              "; it must not be negative");
}

latch::~latch() { detail::last_look(waiters_, self_.kind, self_.name); }

void latch::count_down(std::ptrdiff_t n) {
  detail::handed_over woken;
  std::unique_lock lock(waiters_.mutex(), std::defer_lock);
  std::ptrdiff_t seen = left_.load(std::memory_order_relaxed);
  for (;;) {
    if (n < 0 || n > seen) {
      const std::string text = detail::primitive_text(self_) + ": count_down(" + std::to_string(n) + ')';
      if (n < 0) throw std::invalid_argument(text + ": a negative number of events");
      throw std::logic_error(text + " with " + std::to_string(seen) + " left to count; make its first count larger");
    }
    if (n == seen && !lock) {
      lock.lock();
      seen = left_.load(std::memory_order_relaxed);
      continue;
    }
    // release: visible to who sees it open. acquire: so is what others did before they counted, also to those who
    // are woken by this thread.
    if (left_.compare_exchange_weak(seen, seen - n, std::memory_order_acq_rel, std::memory_order_relaxed)) break;
  }
  if (n == seen) detail::hand_over_to_all(woken, waiters_);
}

wait_result latch::pass(wait_how how) {
  how.target = &self_;
  return waiters_.wait([this] { return try_wait(); }, how);
}

void latch::wait(place here) { pass({.here = here, .what = "latch::wait", .instead = "wait_async()"}); }

bool latch::wait_for(std::chrono::nanoseconds limit, place here) {
  const detail::time_limit until(limit);
  return pass({.deadline = until.deadline(), .here = here, .what = "latch::wait_for", .instead = "wait_for_async()"}) ==
         wait_result::ready;
}

void latch::wait(const std::stop_token& stop, place here) {
  const auto result = pass({.stop = stop, .here = here, .what = "latch::wait", .instead = "wait_async()"});
  detail::throw_if_stopped(result, self_, "wait", here);
}

latch::awaiter latch::wait_async(place here) { return awaiter(*this, "latch::wait_async", here); }

latch::timed_awaiter latch::wait_for_async(std::chrono::nanoseconds limit, place here) {
  return timed_awaiter(*this, "latch::wait_for_async", here, detail::unless_endless(limit));
}

void latch::arrive_and_wait(std::ptrdiff_t n, place here) {
  count_down(n);
  pass({.here = here, .what = "latch::arrive_and_wait", .instead = "arrive_and_wait_async()"});
}

latch::awaiter latch::arrive_and_wait_async(std::ptrdiff_t n, place here) {
  count_down(n);
  return awaiter(*this, "latch::arrive_and_wait_async", here);
}

}  // namespace tutti
