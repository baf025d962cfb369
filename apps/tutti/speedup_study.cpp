#include <apps/tutti/speedup_report.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tutti::app {

scaling_count speedup_row::count() const {
  scaling_count result{.workers = workers, .fitted = fitted};
  for (const program_run& run : runs) {
    result.seconds.push_back(run.seconds);
    result.cpu_seconds.push_back(run.cpu_seconds);
  }
  return result;
}

long speedup_row::peak_bytes() const { return std::ranges::max(runs, {}, &program_run::peak_bytes).peak_bytes; }

void speedup_study::analyse() {
  std::vector<scaling_run> fitted;
  std::vector<scaling_count> counts;
  for (const speedup_row& row : rows) {
    counts.push_back(row.count());
    if (!row.fitted) continue;
    for (const program_run& run : row.runs) fitted.push_back({.workers = row.workers, .seconds = run.seconds});
  }
  amdahl = fit_scaling(scaling_law::amdahl, fitted);
  gustafson = fit_scaling(scaling_law::gustafson, fitted);
  usl = fit_scaling(scaling_law::usl, fitted);
  const std::string passed = variables.empty() ? "in place of {}" : fmt::format("in {}", fmt::join(variables, ", "));
  doubts = doubts_about(counts, machine, passed, amdahl, usl);
}

speedup speedup_study::compared(const speedup_row& row) const {
  const auto median = [](const speedup_row& r) { return summarise(r.count().seconds).median; };
  return compare(median(rows.front()), median(row), static_cast<double>(row.workers) / rows.front().workers);
}

std::optional<scaling_fit> speedup_study::best() const {
  if (!fits_mean_something(doubts)) return std::nullopt;
  return usl && usl->has_ranges() && usl->coherence.range->low > 0 ? usl : amdahl;
}

speedup_plot speedup_study::plot() const {
  const std::optional<scaling_fit> fit = best();
  // Speedups are against one worker: the law tells its time where nobody measured it.
  const double base = rows.front().workers == 1 ? summarise(rows.front().count().seconds).median
                      : fit                     ? fit->single_seconds
                                                : summarise(rows.front().count().seconds).median * rows.front().workers;
  std::vector<plotted_point> points;
  for (const speedup_row& row : rows) {
    const sample_summary s = summarise(row.count().seconds);
    points.push_back({.workers = static_cast<double>(row.workers),
                      .speedup = base / s.median,
                      .range = {.low = base / s.max, .high = base / s.min},
                      .fitted = row.fitted});
  }
  std::string law;
  if (fit && fit->law == scaling_law::usl) {
    law = fmt::format("Gunther: sigma {:.2g}, kappa {:.2g}", fit->serial.value, fit->coherence.value);
  } else if (fit) {
    law = fmt::format("Amdahl: {:.1f} % serial", fit->serial.value * 100);
  }
  return speedup_plot::of("Speedup of " + quoted(program), std::move(points), std::move(law), fit);
}

}  // namespace tutti::app
