// remote_command: `tutti inspect`, `tutti control` and `tutti status`: asks workers, ours and Celery's.
#pragma once
#include <apps/tutti/broker_choice.hpp>
#include <apps/tutti/demo.hpp>

#include <iosfwd>
#include <string>
#include <vector>

namespace tutti::app {

struct remote_options {
  broker_choice at = {};
  std::string command = {};
  std::vector<std::string> words = {};  ///< behind the command
  std::vector<std::string> workers = {};
  double timeout = 1;
  bool terminate = false;
  std::string signal = {};
  bool json = false;
};

CLI::App* add_inspect_command(CLI::App& app, remote_options& options);
CLI::App* add_control_command(CLI::App& app, remote_options& options);
CLI::App* add_status_command(CLI::App& app, remote_options& options);

/// Ask, and print what each worker answers: failure when none does, or one answers with an error. Throw
/// std::invalid_argument for commands and words that make no sense, bad_spec, broker_error.
exit_code run_inspect(const remote_options& options, std::ostream& out, std::ostream& err);
exit_code run_control(const remote_options& options, std::ostream& out, std::ostream& err);
/// Prints a line for each worker that answers; failure when none does.
exit_code run_status(const remote_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
