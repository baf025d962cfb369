// child_run: what a worker's process does: it runs one message, and says how that ended.
#pragma once
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/process/shared_value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tutti::cluster::detail {

/// What holds for all that a process runs. Can be encoded.
struct child_setup {
  std::string worker;                       ///< its name
  std::string broker, backend, queue;       ///< of its app: where the calls of tasks go, and their progress
  std::int64_t result_expires = 0;          ///< s
  std::int64_t lease = 0, patience = 0;     ///< ms
  std::vector<std::string> libraries = {};  ///< that its tasks are in
};

/// One attempt in a process of its own. Can be encoded.
struct child_request {
  task_message message;
  std::int64_t expires = 0;  ///< s: of the task's progress
  std::string library;       ///< that the task is in
  std::int64_t soft_limit = 0;
  std::optional<wall_time> deadline = {};
};

/// Where the worker decides when to end: the terminal and the system tell it, not its children. Its app becomes this
/// process' current one. `begun` changes with each attempt that begins here: see attempt_begun(). Throws tutti::error
/// for a library that cannot be loaded, naming it.
void prepare_child(const child_setup& setup, const shared_value<std::uint64_t>& begun);
/// What stands in `begun` once another attempt has begun, in the process `pid`.
[[nodiscard]] constexpr std::uint64_t attempt_begun(std::uint64_t before, int pid) noexcept {
  return ((before >> 32) + 1) << 32 | static_cast<std::uint32_t>(pid);
}
/// The process of the latest of them.
[[nodiscard]] constexpr int pid_of_attempt(std::uint64_t begun) noexcept {
  return static_cast<int>(begun & 0x7fffffff);
}
/// The process that answers.
std::int32_t child_pid();
/// An encoded child_request in, an encoded outcome out. outcome_kind::again: its library cannot be loaded here.
std::string run_in_child(const std::string& request);

}  // namespace tutti::cluster::detail
