// result_text: what a result store keeps for a task: Celery's JSON object.
#pragma once
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/message.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// Celery's states; a task may set others, for its progress.
namespace state {
inline constexpr std::string_view pending = "PENDING";  ///< nothing is known of it
inline constexpr std::string_view received = "RECEIVED", started = "STARTED", retry = "RETRY";
inline constexpr std::string_view success = "SUCCESS", failure = "FAILURE", revoked = "REVOKED";
/// Whether nothing comes after it.
[[nodiscard]] bool is_final(std::string_view status) noexcept;
}  // namespace state

/// One task's state and result.
struct task_result {
  std::string id;
  std::string status{state::pending};
  std::string result = "null";               ///< JSON: the result of a success, the details of other states
  std::optional<task_failure> failure = {};  ///< of FAILURE, RETRY and REVOKED; then `result` is made from it
  std::vector<std::string> children;         ///< JSON texts as Celery keeps them: [[id, parent], null]
  std::string group, parent_id;              ///< empty: none
  std::optional<wall_time> done = {};        ///< when it ended; set by encode_result for final states
  // Celery's extended results: empty, left out.
  std::string name, args, kwargs, worker, queue;
  std::optional<int> retries = {};
};

/// The text to be kept.
[[nodiscard]] std::string encode_result(const task_result& result);
/// What a kept text says. Throws decode_error.
[[nodiscard]] task_result decode_result(std::string_view text);
/// The result of a success as JSON; throws what the task failed with, `cancelled` for a revoked one.
[[nodiscard]] std::string value_of(const task_result& result);

}  // namespace tutti::cluster
