// speedup_report: what `tutti speedup` found: for people, and as JSON.
#pragma once
#include <apps/tutti/run_program.hpp>
#include <tutti/trace/plot_text.hpp>
#include <tutti/trace/scaling.hpp>
#include <tutti/trace/scaling_doubts.hpp>

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace tutti::app {

/// One number of workers, measured.
struct speedup_row {
  int workers = 1;
  bool fitted = true;  ///< false: beyond the usable processors, so left out of the fits
  std::vector<program_run> runs = {};

  [[nodiscard]] scaling_count count() const;
  [[nodiscard]] long peak_bytes() const;
};

/// All that was measured, and what follows from it.
struct speedup_study {
  std::vector<std::string> program = {};
  std::vector<std::string> variables = {};  ///< in which the number was passed
  int runs = 0;
  measuring_machine machine = {};
  std::vector<speedup_row> rows = {};  ///< ascending; not empty
  std::optional<scaling_fit> amdahl = {};
  std::optional<scaling_fit> gustafson = {};
  std::optional<scaling_fit> usl = {};
  std::vector<measuring_doubt> doubts = {};

  /// Fits the laws to the rows that count, and says what is doubtful.
  void analyse();
  /// The table's figures of a row, against the row with the fewest workers.
  [[nodiscard]] speedup compared(const speedup_row& row) const;
  /// The law to draw: Gunther's where it is sure that more workers can make it slower, otherwise Amdahl's; nothing
  /// where fits mean nothing.
  [[nodiscard]] std::optional<scaling_fit> best() const;
  /// The plot of the rows and the best law.
  [[nodiscard]] speedup_plot plot() const;
};

/// For people: table, laws, predictions, plot, doubts.
void write_study(std::ostream& out, const speedup_study& study, const text_plot_size& size);

/// One JSON object and a new line; docs/tutti-cli.md describes it.
void write_study_json(std::ostream& out, const speedup_study& study);

}  // namespace tutti::app
