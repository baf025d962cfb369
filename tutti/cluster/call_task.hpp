// call_task: portable calls as a task: what cluster_pool sends, and any worker of a program with the function runs.
#pragma once
#include <tutti/cluster/task_registry.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace tutti::cluster {

/// Its name in messages.
inline constexpr std::string_view call_task_name = "tutti.call";

/// What it is called with, as a JSON array: the function's identity, its encoded arguments, and how often it is tried
/// again after worker_lost and retryable exceptions.
[[nodiscard]] std::string call_task_args(std::string_view function, std::uint64_t signature,
                                         std::string_view encoded_arguments, int retries);
/// The encoded result of the function in the task's. Throws decode_error.
[[nodiscard]] std::string call_task_result(std::string_view json);

/// The task, for its registration.
[[nodiscard]] registered_task call_task();

}  // namespace tutti::cluster
