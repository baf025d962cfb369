// cluster_commands: the commands for tasks and workers of a broker, as part of the command line.
#pragma once
#include <apps/tutti/call_command.hpp>
#include <apps/tutti/queues_command.hpp>
#include <apps/tutti/remote_command.hpp>

#include <iosfwd>
#include <optional>
#include <string>

namespace tutti::app {

/// Declares them below `app`, and runs them.
class cluster_commands {
 public:
  /// `footer` ends their help.
  cluster_commands(CLI::App& app, const std::string& footer);

  /// Runs the command that was given; nothing when it was none of these.
  std::optional<exit_code> run(std::ostream& out, std::ostream& err) const;

 private:
  call_options call_options_;
  result_options result_options_;
  remote_options inspect_options_, control_options_, status_options_;
  queues_options queues_options_, purge_options_;
  CLI::App* call_;
  CLI::App* result_;
  CLI::App* inspect_;
  CLI::App* control_;
  CLI::App* status_;
  CLI::App* queues_;
  CLI::App* purge_;
};

/// Whether the command line is `tutti worker ...`, whose words are the flags of any worker (worker_flags.hpp).
bool is_worker_command(int argc, const char* const* argv);
/// Runs a worker until it is shut down; returns the exit code. Never throws.
int run_worker_command(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
