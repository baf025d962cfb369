// speedup_command: `tutti speedup`: how far a program gains from more workers, and where it stops.
#pragma once
#include <apps/tutti/demo.hpp>

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
}
// NOLINTEND(readability-identifier-naming)

namespace tutti::app {

struct speedup_options {
  std::string workers = {};  ///< "1,2,4"; empty: default_worker_counts
  int runs = 5;
  int warmup = 1;
  std::optional<double> timeout = {};  ///< seconds, for each run
  bool json = false;
  bool oversubscribe = false;               ///< fit counts beyond the usable processors too
  std::string svg = {};                     ///< a file to write
  std::vector<std::string> variables = {};  ///< set to the number of workers too
  std::vector<std::string> program = {};    ///< "{}" in its arguments stands for the number of workers
  bool show_progress = false;               ///< on `err`
};

/// 1, 2, 4, ... up to `processors`, and that number itself.
std::vector<int> default_worker_counts(int processors);

/// "1,2,4" as numbers, ascending. Throws std::invalid_argument, which names the wrong one.
std::vector<int> parse_worker_counts(const std::string& text);

/// The variables that libraries read their number of threads from; set where the arguments have no "{}".
const std::vector<std::string>& worker_variables();

/// Declares the options of `tutti speedup`, apart from the program and what both commands take.
void add_speedup_options(CLI::App& command, speedup_options& options);

/// Measures and reports on `out`; errors go to `err`. Blocks until all runs are done.
exit_code run_speedup(const speedup_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
