#include <tutti/core/async_wait.hpp>

#include <tutti/base/clock.hpp>

namespace tutti {

bool async_wait::wait(coroutine_link& link) {
  begin(link);
  return !arm() && waits();
}

// Armed. True: it waits, and this object may be gone; false: the wait is over.
bool async_wait::waits() noexcept {
  for (;;) {
    try {
      coroutine_run& run = *link().run;
      watched_.begin({.who = {&run.state(), run.name()},
                      .targets = targets(),
                      .ticket = &ticket(),
                      .limited = expiry_.has_value() || run.has_limits(),
                      .what = what(),
                      .here = here_});
      if (expiry_ && !std::exchange(expiry_->is_set, true)) expiry_->set(expiry_->at);
    } catch (...) {
      refused_ = std::current_exception();
      if (!ticket().claim(wait_ticket::by_stop)) refused_ = nullptr;  // somebody has come in between
    }
    // Also when it was due while the ticket was claimed by somebody else.
    if (expiry_ && now() >= expiry_->at) ticket().claim(wait_ticket::by_timeout);
    if (commit()) return true;
    if (over()) return false;
    begin_again();
    if (arm()) return false;
  }
}

// The ticket was claimed.
bool async_wait::over() noexcept {
  const std::uint32_t outcome = ticket().outcome();
  watched_.end();
  disarm();
  if (outcome == wait_ticket::by_timeout) result_ = wait_result::timed_out;
  if (outcome == wait_ticket::by_stop) result_ = wait_result::stopped;
  return result_ != wait_result::ready || woken(outcome);
}

void async_wait::go_on() noexcept {
  if (!over()) {
    begin_again();
    if (!arm() && waits()) return;
  }
  suspension::go_on();
}

wait_result async_wait::finish() {
  end();
  if (expiry_) expiry_->cancel_and_wait();
  if (refused_ != nullptr) std::rethrow_exception(refused_);
  if (result_ == wait_result::stopped) throw_cancelled();
  return result_;
}

// ---------------------------------------------------------------- in one list

bool list_wait::arm() noexcept {
  return !list_.add_unless(entry_, [this] { return ready(); });
}

bool list_wait::woken(std::uint32_t outcome) noexcept {
  if (outcome == wait_ticket::granted || ready()) return true;
  ++entry_.losses;
  return false;
}

}  // namespace tutti
