// task_run: one attempt of a task on this thread, and how it ended.
#pragma once
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>

namespace tutti::cluster {

/// How an attempt ended.
enum class outcome_kind : unsigned char {
  success,
  failure,
  retry,    ///< it is to be tried again
  revoked,  ///< somebody did not want it any more
  again,    ///< it did not end: the message goes back to its queue
  lost      ///< its process died under it
};

/// An attempt that has ended. Can be encoded.
struct outcome {
  outcome_kind kind = outcome_kind::failure;
  std::string result;     ///< of a success: JSON
  task_failure failure;   ///< of a failure; of a retry: why
  std::string text;       ///< revoked, lost: why
  std::int64_t wait = 0;  ///< retry: ns until the next attempt
  std::int64_t took = 0;  ///< ns
};

/// Runs `task` with what `context.message` says, and decides whether what it throws asks for another attempt.
/// `soft_limit`: from now until `stop` is requested; 0: never. `stop` is also `context.stop`. Blocks as long as the
/// task does; throws std::bad_alloc at most.
[[nodiscard]] outcome run_task(const registered_task& task, const detail::call_context& context, std::stop_source stop,
                               std::chrono::nanoseconds soft_limit);

/// What a task fails with that has not ended within `limit`.
[[nodiscard]] task_failure time_limit_failure(std::chrono::nanoseconds limit);

/// How long to wait before attempt number `retries` + 2: by the task's backoff, with jitter.
[[nodiscard]] std::chrono::nanoseconds retry_wait(const task_settings& settings, int retries);

namespace detail {
/// Whether the task has asked for another attempt that it could not have.
[[nodiscard]] bool was_refused(const call_context& context) noexcept;
}  // namespace detail

}  // namespace tutti::cluster
