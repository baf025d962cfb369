// process_key: who a process is, for other processes of this machine that ask whether it still lives.
#pragma once
#include <sys/types.h>

#include <cstdint>

namespace tutti::detail {

/// A process by its id and its start time, since ids are used again, in one word, which a killed writer leaves old or
/// new. 0 is nobody. Means the same in all processes of one PID namespace.
using process_key = std::uint64_t;

/// The calling process. A few ns; right in a child made by fork(), but not in one made by a bare clone(). Always the
/// same; one that can open no file at its first call is known without its start, unless know_this_process() was before.
[[nodiscard]] process_key this_process() noexcept;
/// Has it known with its start, if it is not known yet. Throws os_error, which begins with `what`.
void know_this_process(const char* what);
/// Whether it still runs. One that ended does not, also while its parent has not waited for it yet. When the system
/// gives no answer it is taken to run.
[[nodiscard]] bool is_running(process_key process) noexcept;
/// The id it has, or had.
[[nodiscard]] ::pid_t pid_of(process_key process) noexcept;

/// A thread and its process, in one word; 0 is nobody.
using thread_key = std::uint64_t;

/// The calling thread; as this_process().
[[nodiscard]] thread_key this_thread() noexcept;
/// Its process' id.
[[nodiscard]] ::pid_t pid_of_thread(thread_key thread) noexcept;
/// Whether it is a thread of the calling process, and still runs.
[[nodiscard]] bool runs_here(thread_key thread) noexcept;

}  // namespace tutti::detail
