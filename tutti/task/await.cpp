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
  if (wait_graph::observer() != nullptr) [[unlikely]]
    watch();
  return commit();
}

// A wait that an observer refuses ends as if the coroutine had been asked to stop, but with the observer's error.
void future_wait_base::watch() noexcept {
  coroutine_run& run = *link().run;
  const wait_target target = state_->as_target();
  try {
    watched_.begin({.who = {&run.state(), run.name()},
                    .targets = {&target, 1},
                    .ticket = &ticket(),
                    .limited = run.has_limits(),
                    .what = "co_await of a future",
                    .here = as_place(link().at)});
  } catch (...) {
    refused_ = std::current_exception();
    future_wait_base::on_stop();
  }
}

void future_wait_base::end_owned() {
  end();  // stopped or not: it is ready
  watched_.end();
  if (refused_ != nullptr && state_->error() != nullptr) std::rethrow_exception(refused_);
}

void future_wait_base::end_shared() {
  const std::uint32_t outcome = end();
  watched_.end();
  if (outcome != wait_ticket::by_stop) return;
  if (refused_ != nullptr) std::rethrow_exception(refused_);
  throw_cancelled();
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
