// harness: runs competing systems side by side, interleaved, and reports medians as a table and as JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Whether a smaller or a larger value wins.
enum class better { less, more };

/// What the command line asked for. `--quick`, `--json FILE`, `--filter TEXT`, `--help`.
struct options {
  bool quick = false;       ///< seconds instead of minutes: fewer repetitions, smaller inputs
  std::string json = {};    ///< where to write the rows; empty: nowhere
  std::string filter = {};  ///< only cases whose name contains this
};

/// One figure that a repetition yields.
struct metric {
  std::string name;  ///< the row's "case"
  std::string unit;  ///< the row's "unit"
  better direction = better::less;
};

/// One competitor in a case: its name in the tables, and one repetition of the work.
/// `run` returns one value for each metric of the case.
struct subject {
  std::string system;
  std::function<std::vector<double>()> run;
};

/// One line of the result file.
struct row {
  std::string bench, name;
  int threads;
  std::string system, unit;
  better direction;
  double value, min, max;
  int n;
};

/// One run of a benchmark program: command line in, table on stdout and JSON file out. Not thread-safe.
class session {
 public:
  /// Parses the command line; exits with a message on an unknown flag, and with the usage on `--help`.
  session(std::string_view bench, int argc, char** argv);

  const options& opts() const noexcept { return options_; }
  bool quick() const noexcept { return options_.quick; }

  /// `full` repetitions normally, `quick` ones under `--quick`.
  int reps(int full, int quick = 2) const noexcept { return options_.quick ? quick : full; }

  /// False when `--filter` excludes the case; lets callers skip costly preparation.
  bool wanted(std::string_view name) const;

  /// Runs every subject once unmeasured (unless `warm_up` is false), then `repetitions` times, the subjects taking
  /// turns within each repetition and starting with another one each time. Medians, minima and maxima become rows.
  /// When other programs used more than 0.15 core meanwhile, the case is measured once more and the quieter run kept.
  /// A subject that throws leaves the case with a message; a run in which that was tutti fails.
  void compare(const std::vector<metric>& metrics, int threads, int repetitions, std::vector<subject> subjects,
               bool warm_up = true);

  /// The common case of a single metric.
  void compare(const metric& what, int threads, int repetitions, std::vector<subject> subjects, bool warm_up = true) {
    compare(std::vector<metric>{what}, threads, repetitions, std::move(subjects), warm_up);
  }

  /// Writes the JSON file. Returns the exit status for main: 0, or 1 when tutti failed or the file could not be
  /// written.
  int finish();

 private:
  struct samples;  // values[subject][metric][repetition]
  samples measure(const std::vector<metric>& metrics, int repetitions, std::vector<subject>& subjects);
  std::vector<double> run_once(subject& who);
  void report(const metric& what, std::size_t index, int threads, const std::vector<subject>& subjects,
              const samples& taken);

  std::string bench_;
  options options_;
  std::vector<row> rows_;
  bool failed_ = false;
  int disturbed_ = 0;  // cases that other load touched even on the second try
};

/// A subject with a single value.
subject single(std::string system, std::function<double()> run);

/// A subject that is told how many operations to do: its first run, the unmeasured one, finds how many of them take
/// about `seconds`, a multiple of 8. For cases whose systems differ too much to do the same number.
subject sized(std::string system, double seconds, std::function<std::vector<double>(std::size_t)> run);

/// Numbers of threads worth measuring here: 1, 2 and, on larger machines, all of them.
std::vector<int> thread_counts();

/// CPUs this process may use.
int cpus();

/// The median; 0 of nothing. `p` in [0, 1] for other quantiles.
double quantile(std::vector<double> values, double p = 0.5);

}  // namespace bench
