// bench_command: `tutti bench`: commands timed side by side.
#pragma once
#include <apps/tutti/demo.hpp>
#include <apps/tutti/run_program.hpp>
#include <tutti/trace/scaling_doubts.hpp>

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

struct bench_options {
  int runs = 10;
  int warmup = 1;
  std::optional<double> timeout = {};  ///< seconds, for each run
  bool json = false;
  std::vector<std::vector<std::string>> commands = {};
  bool show_progress = false;  ///< on `err`
};

/// One command, measured.
struct bench_row {
  std::vector<std::string> command = {};
  std::vector<program_run> runs = {};
};

/// The words of a command line, cut into commands at each "--".
std::vector<std::vector<std::string>> split_commands(const std::vector<std::string>& words);

/// Declares the options of `tutti bench`, apart from the commands and what both commands take.
void add_bench_options(CLI::App& command, bench_options& options);

/// For people: one line a command, the fastest first, in the columns of pytest-benchmark; then whether the first two
/// given differ; then the doubts.
void write_bench(std::ostream& out, const std::vector<bench_row>& rows,
                 const std::vector<measuring_doubt>& doubts = {});

/// Measures and reports on `out`; errors go to `err`. Blocks until all runs are done.
exit_code run_bench(const bench_options& options, std::ostream& out, std::ostream& err);

}  // namespace tutti::app
