#include <tutti/core/future.hpp>

#include <tutti/core/scheduler.hpp>

#include <stdexcept>
#include <string>

namespace tutti::detail {

void throw_no_state(const char* operation) {
  throw std::logic_error(std::string("future::") + operation +
                         ": it holds nothing: it was moved from, or its result was taken already (share() gives a "
                         "future that can be read many times)");
}

std::uint64_t resume_home() noexcept { return this_worker == nullptr ? 0 : this_worker->pool->executor_id(); }

bool resume_when_ready::suspend(future_state_base& state, std::coroutine_handle<> coroutine) {
  coroutine_ = coroutine;
  home_ = resume_home();
  name_ = this_frame == nullptr ? "" : this_frame->name;
  state.when_ready(*this);
  // The coroutine may be resumed by the completing thread before this function returns; then *this is gone, so
  // whoever comes second acts. Second here means: it became ready at once, and nobody was told to resume.
  return arrivals_.fetch_add(1, std::memory_order_acq_rel) == 0;
}

void resume_when_ready::on_ready(future_state_base&) noexcept {
  if (arrivals_.fetch_add(1, std::memory_order_acq_rel) == 0) return;  // suspend() sees it and does not suspend
  start_at_home(home_, call(this));
}

void resume_when_ready::run() noexcept { coroutine_.resume(); }

}  // namespace tutti::detail
