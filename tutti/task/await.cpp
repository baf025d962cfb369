#include <tutti/task/await.hpp>

#include <ostream>

namespace tutti::detail {

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
    state_->cancel();
  } else if (state_->forget(this)) {
    ticket().claim(wait_ticket::by_stop);
  }
}

void future_wait_base::describe(std::ostream& out) const {
  out << "a future";
  if (const char* const name = state_->describe(); *name != '\0') out << " of task \"" << name << '"';
}

resume_notice notify_when_resumed(wait_ticket& ticket) {
  ticket.claim(0);
  co_return;
}

}  // namespace tutti::detail
