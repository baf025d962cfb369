// command_line: what `tutti` understands.
#pragma once
#include <iosfwd>

namespace tutti::app {

/// Runs one command; returns the exit code of the process: 0 success, 1 failure, 2 wrong usage, 3 nothing to count
/// or to run, 4 nothing that starts ranks; `run` returns what its program does.
/// Never throws. `terminal`: `err` is one, so progress may be drawn there.
int run_command(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool terminal);

}  // namespace tutti::app
