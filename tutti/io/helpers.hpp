// helpers: threads for calls that the system can only do while the caller waits: files, and looking up names.
#pragma once
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/task.hpp>

#include <string>

namespace tutti::io::detail {

/// The pool for calls that block, of the whole program: few threads, started on first use, anew in a forked child. What
/// is handed in owns what it uses: whoever waits for it may give up.
local_executor& helpers();

/// Awaits what was handed to the helpers. Who gives up, at the end of its limit or because the task is to stop, does so
/// at once: a call that has not begun never will, one that has begun is left to itself. `tried`: "reading /etc/hosts",
/// for timed_out.
task<> await_helper(shared_future<void> call, until end, std::string tried);

}  // namespace tutti::io::detail
