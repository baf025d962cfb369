// child_main: what a process that runs code of this program does.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/launch_request.hpp>

#include <vector>

namespace tutti::detail {

/// Runs the function or the worker of `request`, flushes the standard streams and returns the exit code. `payload`: the
/// file with the function_call; `handles`: what came along with its arguments.
[[nodiscard]] int run_child(const launch_request& request, unique_fd payload, std::vector<unique_fd> handles) noexcept;

}  // namespace tutti::detail
