// measuring: the commands that run other programs, `tutti speedup` and `tutti bench`, as part of the command line.
#pragma once
#include <apps/tutti/bench_command.hpp>
#include <apps/tutti/speedup_command.hpp>

#include <iosfwd>
#include <optional>
#include <string>

namespace tutti::app {

/// Declares both below `app`, takes what is behind "--", which is another program's, and runs them.
class measuring {
 public:
  /// `footer` ends their help; `show_progress`: on `err`.
  measuring(CLI::App& app, const std::string& footer, bool show_progress);

  /// How many words of the command line are ours: for these commands, and `run`, those before the first "--".
  static int own_words(int argc, const char* const* argv);
  /// After `app` has parsed those: takes the programs. Throws std::invalid_argument, which says how to name one, and
  /// CLI::ExtrasError for an unknown option.
  void take_programs(int argc, const char* const* argv);
  /// Runs the command that was given; nothing when it was none of these.
  std::optional<exit_code> run(std::ostream& out, std::ostream& err) const;

 private:
  speedup_options speedup_options_;
  bench_options bench_options_;
  CLI::App* speedup_;
  CLI::App* bench_;
};

}  // namespace tutti::app
