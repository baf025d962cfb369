// trace_command: `tutti trace FILE`: what a recorded timeline says.
#pragma once
#include <apps/tutti/demo.hpp>

#include <cstddef>
#include <iosfwd>
#include <string>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
}  // namespace CLI
// NOLINTEND(readability-identifier-naming)

namespace tutti::app {

struct trace_options_of_command {
  std::string file;
  std::size_t lines = 12;  ///< of each table
};

/// Makes the command known; `options` must live until the command line was parsed.
CLI::App* add_trace_command(CLI::App& app, trace_options_of_command& options);

/// Reads the file and writes its summary to `out`; errors go to `err`.
exit_code run_trace(const trace_options_of_command& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
