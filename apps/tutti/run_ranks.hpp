// run_ranks: `tutti run`: a program on several ranks, its output line by line with the rank in front.
#pragma once
#include <apps/tutti/rank_launcher.hpp>

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
}  // namespace CLI
// NOLINTEND(readability-identifier-naming)

namespace tutti::app {

struct run_ranks_options {
  std::optional<int> ranks = {};             ///< default: as many as `hosts` have, or processors here
  std::optional<std::string> hosts = {};     ///< "a:4,b:8"; default: here
  std::optional<std::string> launcher = {};  ///< a name or path; default: see find_rank_launcher
  bool no_prefix = false;
  bool keep_going = false;
  std::vector<std::string> program = {};
};

/// Makes the command known; `options` must live until the command line was parsed.
CLI::App* add_run_command(CLI::App& app, run_ranks_options& options);

/// Behind parsing: the program, which is what is left of ours and the words behind "--". Throws std::invalid_argument
/// when it is missing, CLI::ExtrasError for an unknown option in front of it.
void take_ranks_program(const CLI::App& command, run_ranks_options& options, std::vector<std::string> behind);

/// Runs it and waits for the end; its output goes to `out` and `err`, whole lines. Returns the exit code: that of the
/// rank that failed first, 128 + the signal that ended that, or with keep_going rank 0's; else the launcher's. A signal
/// that asks us to end (SIGINT, SIGTERM, SIGHUP, SIGQUIT) ends the job, then this process by that signal. Throws
/// std::invalid_argument, no_launcher, not_a_program, std::system_error. One thread at a time may call it.
int run_ranks(const run_ranks_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
