// call_command: `tutti call` and `tutti result`: sends a task, shows what came of it.
#pragma once
#include <apps/tutti/broker_choice.hpp>
#include <apps/tutti/demo.hpp>

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace tutti::app {

struct call_options {
  broker_choice at = {};
  std::string task = {};
  std::vector<std::string> args = {};  ///< JSON, or else texts
  std::string kwargs = "{}";
  std::string queue = {};  ///< empty: the app's
  std::optional<double> countdown = {};
  std::string eta = {}, expires = {};  ///< ISO 8601; `expires` may be seconds
  std::optional<int> priority = {};
  std::optional<double> time_limit = {}, soft_time_limit = {};
  std::string id = {};  ///< empty: a new one
  bool no_wait = false, ignore_result = false;
  std::optional<double> timeout = {};  ///< nothing: for ever
  bool json = false;
};

struct result_options {
  broker_choice at = {};
  std::string id = {};
  double timeout = 0;
  bool json = false;
};

CLI::App* add_call_command(CLI::App& app, call_options& options);
CLI::App* add_result_command(CLI::App& app, result_options& options);

/// The command line as the parser is to see it: it changes some arguments of `tutti call` otherwise. run_call knows.
std::vector<std::string> guarded_words(int argc, const char* const* argv);

/// Sends the task, and waits for its result unless told otherwise. Throws std::invalid_argument for options that make
/// no sense, bad_spec, broker_error.
exit_code run_call(call_options options, std::ostream& out, std::ostream& err);
/// Shows the result of a task. Throws bad_spec, broker_error.
exit_code run_result(const result_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
