// child_run: what a worker's process does: it runs one message, and says how that ended.
#pragma once
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/message.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace tutti::cluster::detail {

/// One attempt in a process of its own. Can be encoded.
struct child_request {
  task_message message;
  std::string worker;   ///< its name
  std::string backend;  ///< URL of the result store, for the task's progress
  std::int64_t expires = 0;
  std::string library;  ///< that the task is in
  std::int64_t soft_limit = 0;
  std::optional<wall_time> deadline = {};
};

/// Where the worker decides when to end: the terminal and the system tell it, not its children.
void prepare_child();
/// The process that answers.
std::int32_t child_pid();
/// An encoded child_request in, an encoded outcome out.
std::string run_in_child(const std::string& request);

}  // namespace tutti::cluster::detail
