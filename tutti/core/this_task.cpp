#include <tutti/core/this_task.hpp>

#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/scheduler.hpp>

namespace tutti::this_task {

std::string_view name() noexcept { return this_frame == nullptr ? "" : shown_name(this_frame->name); }

bool stop_requested() noexcept {
  const task_frame* const frame = this_frame;
  if (frame == nullptr) return false;
  return (frame->state != nullptr && frame->state->stop_requested()) ||
         (frame->pool != nullptr && frame->pool->cancelling()) ||
         (frame->run != nullptr && frame->run->home().target != nullptr && frame->run->home().target->stopping());
}

std::stop_token stop_token() {
  return this_frame == nullptr || this_frame->state == nullptr ? std::stop_token() : this_frame->state->stop_token();
}

std::optional<std::chrono::steady_clock::time_point> deadline() noexcept {
  if (this_frame == nullptr || this_frame->state == nullptr) return std::nullopt;
  return this_frame->state->deadline();
}

}  // namespace tutti::this_task
