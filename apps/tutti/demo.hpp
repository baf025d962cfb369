// demo: the main job: counts the words of many files, serially and on every executor, and compares.
#pragma once
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace tutti::app {

/// Exit codes of the command line.
enum class exit_code : int {
  success = 0,
  failure = 1,      ///< executors disagree, or a run failed
  usage = 2,        ///< the command line is wrong
  no_text = 3,      ///< there is nothing to count, or no timeline to read
  no_program = 3,   ///< there is nothing to run
  no_settings = 3,  ///< a file with settings cannot be read
  no_result = 3,    ///< a task has not ended
  no_launcher = 4,  ///< nothing that starts ranks
};

struct demo_options {
  std::vector<std::filesystem::path> roots;  ///< empty: the headers and the documentation of this machine
  std::vector<std::string> on;               ///< executor specs; empty: all that this build has
  bool show_progress = false;                ///< on `err`
};

/// Runs the demo and reports on `out`; errors go to `err`. Blocks for the whole job.
exit_code run_demo(const demo_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
