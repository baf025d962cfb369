#include <tutti/sync/once.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/handed_over.hpp>
#include <tutti/core/last_look.hpp>

namespace tutti {

once::~once() {
  wait_graph::gone(this);
  const word seen = state_.load(std::memory_order_relaxed);
  detail::last_look(waiters_, "once", name_, seen == idle || seen == completed ? nullptr : "its function is called");
}

bool once::begin(const place& here) {
  const word me = detail::self_word();
  const wait_target running = target();
  refuse_recursion("once::call", here);
  waiters_.wait([&] { return completed_or_mine(me); },
                {.here = here, .what = "once::call", .target = &running, .instead = "call_async()"});
  // Only who calls changes it now, so this is no race.
  if (state_.load(std::memory_order_acquire) != me) return false;
  wait_graph::holds(running, here);
  return true;
}

// seq_cst, as wait_list asks for: who waits is in the list before it looks, and the state is changed before the list is
// looked at. acquire: what the completed call did is visible.
bool once::completed_or_mine(word me) noexcept {
  word seen = idle;
  return state_.compare_exchange_strong(seen, me, std::memory_order_seq_cst) || seen == completed;
}

// The state changes under the list's lock: whoever sees that may destroy this, which takes that lock too.
void once::end(bool succeeded) noexcept {
  wait_graph::releases(this);
  detail::handed_over in;
  const std::lock_guard lock(waiters_.mutex());
  state_.store(succeeded ? completed : idle, std::memory_order_seq_cst);
  // If it failed, the first who has not given up tries: perhaps somebody else was quicker, who then does this again.
  while (waiter* const first = waiters_.first()) {
    const bool woken = in.add(waiters_, *first, succeeded ? wait_ticket::granted : first->outcome);
    if (woken && !succeeded) break;
  }
}

void once::refuse_recursion(const char* what, const place& here) const {
  if (state_.load(std::memory_order_relaxed) != detail::self_word()) return;
  throw deadlock(detail::primitive_text("once", name_) + ": " + what + " at " + to_string(here) + " by " +
                 detail::self_text() + " from inside the function it calls, for whose end it would wait");
}

once::begin_wait::begin_wait(once& of, const place& here)
    : list_wait(of.waiters_, "once::call_async", here, {}, &target_), of_(of), here_(here), target_(of.target()) {}

bool once::begin_wait::await_ready() {
  me_ = detail::self_word();
  of_.refuse_recursion("once::call_async", here_);
  return ready();
}

bool once::begin_wait::await_resume() {
  finish();
  if (of_.state_.load(std::memory_order_acquire) != me_) return false;
  wait_graph::holds(target_, here_);
  return true;
}

}  // namespace tutti
