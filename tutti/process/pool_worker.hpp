// pool_worker: the far side of a process_pool: takes calls from its lane, one by one, and runs them.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <vector>

namespace tutti::detail {

/// Serves the pool until it says leave; `handles`: the lane's memory, the bell's, the socket. Returns the exit code.
[[nodiscard]] int serve_pool(std::vector<unique_fd> handles);

}  // namespace tutti::detail
