// rank_keeper: what `tutti run` starts on each rank: this program, which runs the rank's program, wraps what it writes
// into records, says how it ended, and leaves nothing running.
#pragma once

namespace tutti::app {

/// The first word of its command line; the next is "-", "keep-going", or "stay" where the launcher must not notice
/// that a rank has failed before the job is over; then the program and its arguments.
inline constexpr const char* rank_keeper_word = "--rank-keeper";

/// Whether this process was started to be one.
bool is_rank_keeper(int argc, const char* const* argv);

/// Runs the program in `argv`; returns its exit code, or ends by the signal that ended it. Call it first in main,
/// before there are threads. The program gets this process's standard input; its output goes, in records, to our
/// standard error: Open MPI gives ranks a terminal for standard output, and a terminal cuts as it likes.
int keep_rank(int argc, char** argv);

}  // namespace tutti::app
