// record_to_file: a recording from now to the end of the program, as `--tutti-trace FILE` and TUTTI_TRACE want it.
#pragma once
#include <string>

namespace tutti::detail {

/// Begins to record, and writes the timeline to `file` at normal exit; "%p" in it becomes the number of this process.
/// Of an earlier call nothing is left but the recording: a file that it made is removed. A file that cannot be written,
/// or another recording, ends the program with a message and exit code 2. What goes wrong at the end is said on
/// standard error. A forked child writes nothing.
void record_to_file(const std::string& file);
/// From TUTTI_TRACE, if that is set. Programs that this one starts do not find it, unless they would write a file of
/// their own: "%p".
void record_as_environment_says();
/// From the flag: not in a worker process, which is given the flags of the program that it works for.
void record_as_flag_says(const std::string& file);

}  // namespace tutti::detail
