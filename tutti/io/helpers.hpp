// helpers: threads for calls that the system can only do while the caller waits: files, and looking up names.
#pragma once
#include <tutti/core/thread_pool.hpp>

namespace tutti::io::detail {

/// The pool for calls that block, of the whole program: few threads, started on first use. What is handed in owns what
/// it uses: whoever waits for it may give up.
local_executor& helpers();

}  // namespace tutti::io::detail
