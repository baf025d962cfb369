// run_program: runs another program and measures it: time, CPU time, memory; ends it with us.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tutti::app {

/// What to run. Its standard input is empty; its output is read and dropped, but for the end.
struct program {
  std::vector<std::string> words = {};  ///< its name, which is looked for on PATH, and its arguments
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< set on top of ours
  std::string note = {};  ///< for errors, behind the words: "with 4 workers"
};

/// One run that succeeded.
struct program_run {
  double seconds = 0;      ///< from before its process was made until it had ended
  double cpu_seconds = 0;  ///< user and system time of it and of the children it waited for
  /// Peak resident set of the largest of its processes; the kernel counts from before exec, so it is never less than
  /// what this process itself has.
  long peak_bytes = 0;
};

/// A program that cannot be started: it does not exist, or is no program.
struct not_a_program : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A program that ended with another exit code than 0 or by a signal, or was ended because it took too long.
struct program_failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "./solve --threads 4", quoted where a shell would need it; one line that is safe to print: words with control
/// characters or bytes that are not UTF-8 become $'a\012b'.
std::string quoted(const std::vector<std::string>& words);

/// Runs `what` in a session and process group of its own, without a terminal, and waits for it. When it has ended, or
/// after `timeout` seconds, what is left of the group is killed. While it runs, a signal that asks us to end (SIGINT,
/// SIGTERM, SIGHUP, SIGQUIT) kills the group first, then ends us by that signal, and SIGCHLD has its default action;
/// for that reason one thread at a time may call this. Throws not_a_program, program_failed, whose what() ends with the
/// last lines of the output, and std::system_error when the system gives no process.
program_run run_program(const program& what, std::optional<double> timeout = {});

}  // namespace tutti::app
