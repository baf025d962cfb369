// this_task: what a running task can ask about itself.
#pragma once
#include <tutti/core/task_values.hpp>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>

namespace tutti::this_task {

/// The name given by call options, or the function's, or "" (also outside tasks).
std::string_view name() noexcept;
/// True once the task was asked to stop: by future::cancel, its timeout, or a shutdown with `cancel`. Cheap enough for
/// inner loops. false outside tasks.
bool stop_requested() noexcept;
/// The same as a token, for waits and std::stop_callback; one that never stops outside tasks and in posted ones. Of
/// shutdowns with `cancel`, while the task runs, it hears only from the pool on which it was first asked for: that of a
/// run_loop, or of an executor a coroutine has moved to since, shows in stop_requested() and at its next wait.
std::stop_token stop_token();
/// When the task's timeout will be over, on tutti's clock.
std::optional<std::chrono::steady_clock::time_point> deadline() noexcept;

}  // namespace tutti::this_task
