#include <tutti/task/await.hpp>

#include <tutti/core/this_task.hpp>

#include <ostream>

namespace tutti::detail {

// The awaited task need not queue up: its awaiter would only wait for that. One that begins another one so, which
// begins a third, and so on, uses the stack; a few levels do.
bool future_wait_base::begin_now(future_state_base& state) noexcept {
  constexpr int deepest = 16;
  static constinit thread_local int depth = 0;
  if (depth == deepest || state.home() != home_here().id || this_task::stop_requested()) return false;
  ++depth;
  state.begin_awaited();
  --depth;
  return state.is_ready();
}

bool future_wait_base::wait(coroutine_link& link, future_state_base& state) {
  begin(link);
  state_ = &state;
  state.observe();  // its error is thrown here
  state.expedite(link.run->priority());
  state.when_ready(*this);
  return commit();
}

void future_wait_base::on_stop() noexcept {
  if (owned_) {
    cancel_in_turn(another_ref(*state_));  // not deeper and deeper, along a long chain
  } else if (state_->forget(this)) {
    ticket().claim(wait_ticket::by_stop);
  }
}

void future_wait_base::describe(std::ostream& out) const {
  out << "a future";
  if (const char* const name = state_->describe(); *name != '\0') out << " of " << task_text(name);
}

resume_notice notify_when_resumed(wait_ticket&) { co_return; }

}  // namespace tutti::detail
