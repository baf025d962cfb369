#include <apps/tutti/speedup_report.hpp>

#include <tutti/base/json.hpp>

#include <fmt/format.h>
#include <boost/describe/class.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>
#include <string_view>

namespace tutti::app {
namespace {

constexpr std::array predicted_workers = {8, 64, 1024};

std::string factor(double x) {
  return std::isinf(x) ? "no end" : x >= 99.95 ? fmt::format("{:.0f}x", x) : fmt::format("{:.2f}x", x);
}
std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }
std::string workers_text(double n) { return std::isinf(n) ? "no end" : fmt::format("{:.0f}", n); }
std::string plain(double x) { return fmt::format("{:.3g}", x); }

// "9.8x (9.1x to 10.4x)"
template <class Format>
std::string with_range(const estimate& e, Format format) {
  if (!e.range) return format(e.value);
  return fmt::format("{} ({} to {})", format(e.value), format(e.range->low), format(e.range->high));
}

void write_table(std::ostream& out, const speedup_study& study) {
  out << fmt::format("{:>8}  {:>9}  {:>9}  {:>7}  {:>7}  {:>10}  {:>15}  {:>8}  {:>8}  {:>8}\n", "workers", "median s",
                     "min s", "IQR", "speedup", "efficiency", "serial fraction", "CPU s", "CPU use", "peak MB");
  bool left_out = false;
  for (const speedup_row& row : study.rows) {
    const scaling_count count = row.count();
    const sample_summary s = summarise(count.seconds);
    const double cpu = summarise(count.cpu_seconds).median;
    const speedup against = study.compared(row);
    const bool base = &row == &study.rows.front();
    left_out = left_out || !row.fitted;
    out << fmt::format("{:>7}{}  {:>9.4f}  {:>9.4f}  {:>7}  {:>7}  {:>8.0f} %  {:>15}  {:>8.3f}  {:>8.2f}  {:>8.1f}\n",
                       row.workers, row.fitted ? ' ' : '*', s.median, s.min, percent(s.relative_spread()),
                       factor(against.factor), against.efficiency * 100, base ? "-" : percent(against.serial_fraction),
                       cpu, cpu / s.median, static_cast<double>(row.peak_bytes()) / 1e6);
  }
  if (left_out)
    out << fmt::format("* more workers than the {} usable here: not in the fits (--oversubscribe)\n",
                       study.machine.processors);
}

void write_law(std::ostream& out, std::string_view name, std::string_view formula, const std::string& parameters,
               const scaling_fit& fit) {
  out << fmt::format("{:<10} {}\n{:11}{}; T1 = {:.4f} s", name, formula, "", parameters, fit.single_seconds);
  // Without ranges there are no more counts than parameters: the law goes through all medians, whatever they are.
  if (fit.has_ranges()) out << fmt::format("; medians lie {} from it", percent(fit.typical_error));
  out << '\n';
}

void write_laws(std::ostream& out, const speedup_study& study) {
  out << "Laws fitted to the medians" << (study.amdahl && study.amdahl->has_ranges() ? ", 95 % intervals" : "")
      << ":\n";
  if (const auto& fit = study.amdahl) {
    write_law(out, "Amdahl", "S = 1 / (s + (1 - s) / n)", "s = " + with_range(fit->serial, percent), *fit);
    if (const auto limit = fit->limit()) {
      const estimate pays = fit->doubling_pays_until().value();
      out << fmt::format("{:11}ends at {}; ", "", with_range(*limit, factor));
      out << (pays.value < 1 ? "twice as many workers never gain 10 %\n"
                             : fmt::format("beyond {} workers, twice as many gain less than 10 %\n",
                                           with_range(pays, workers_text)));
    } else {
      out << fmt::format("{:11}s is not above 0: no end in sight\n", "");
    }
  }
  if (const auto& fit = study.usl) {
    write_law(out, "Gunther", "S = n / (1 + sigma (n - 1) + kappa n (n - 1))",
              "sigma = " + with_range(fit->serial, percent) + ", kappa = " + with_range(fit->coherence, plain), *fit);
    if (const auto peak = fit->peak()) {
      const double best = std::max(1.0, peak->value);
      out << fmt::format("{:11}most at {} workers ({}); more make it slower{}\n", "", with_range(*peak, workers_text),
                         factor(fit->speedup_of(best)->value),
                         peak->range && std::isinf(peak->range->high) ? ", if at all: kappa may be 0" : "");
    } else {
      out << fmt::format("{:11}kappa is not above 0: no peak in sight, and no better than Amdahl's law\n", "");
    }
  }
  if (const auto& fit = study.gustafson) {
    write_law(out, "Gustafson", "S = n - alpha (n - 1)", "alpha = " + with_range(fit->serial, percent), *fit);
    out << fmt::format(
        "{0:11}a straight line through these runs of one job. The law is about jobs that grow with the\n"
        "{0:11}workers: if yours does, read it as work done in the same time, else trust the others\n",
        "");
  }
}

void write_predictions(std::ostream& out, const speedup_study& study) {
  struct row {
    std::string_view name;
    const std::optional<scaling_fit>& fit;
  };
  const std::array<row, 3> rows = {{{"Amdahl", study.amdahl}, {"Gunther", study.usl}, {"Gustafson", study.gustafson}}};
  const auto cell = [](const scaling_fit& fit, int workers) {
    const auto e = fit.speedup_of(workers);
    if (!e) return std::string("-");
    if (!e->range) return factor(e->value);
    return fmt::format("{} ({} - {})", factor(e->value), factor(e->range->low), factor(e->range->high));
  };
  std::string head = fmt::format("{:<18}", "Predicted speedup");
  std::array<std::string, rows.size()> lines;
  for (std::size_t i = 0; i < rows.size(); ++i) lines[i] = fmt::format("{:<18}", rows[i].name);
  for (const int n : predicted_workers) {
    const std::string title = fmt::format("{} workers", n);
    std::size_t width = title.size();
    for (const row& r : rows) width = std::max(width, r.fit ? cell(*r.fit, n).size() : 0);
    head += fmt::format("  {:>{}}", title, width);
    for (std::size_t i = 0; i < rows.size(); ++i)
      lines[i] += fmt::format("  {:>{}}", rows[i].fit ? cell(*rows[i].fit, n) : "", width);
  }
  out << head << '\n';
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].fit) out << lines[i] << '\n';
  }
}

// What `--json` writes; the names are documented.
struct json_range {
  double value = 0;
  std::optional<double> low = {};
  std::optional<double> high = {};
};
BOOST_DESCRIBE_STRUCT(json_range, (), (value, low, high))

struct json_prediction {
  int workers = 0;
  json_range speedup = {};
};
BOOST_DESCRIBE_STRUCT(json_prediction, (), (workers, speedup))

struct json_fit {
  double single_seconds = 0;
  json_range serial = {};
  std::optional<json_range> coherence = {};
  double typical_error = 0;
  std::optional<double> law_p_value = {};
  std::optional<json_range> limit = {};
  std::optional<json_range> doubling_pays_until = {};
  std::optional<json_range> peak = {};
  std::vector<json_prediction> predictions = {};
};
BOOST_DESCRIBE_STRUCT(json_fit, (),
                      (single_seconds, serial, coherence, typical_error, law_p_value, limit, doubling_pays_until, peak,
                       predictions))

struct json_fits {
  std::optional<json_fit> amdahl = {};
  std::optional<json_fit> gustafson = {};
  std::optional<json_fit> gunther = {};
};
BOOST_DESCRIBE_STRUCT(json_fits, (), (amdahl, gustafson, gunther))

struct json_count {
  int workers = 0;
  bool fitted = true;
  std::vector<double> seconds = {};
  std::vector<double> cpu_seconds = {};
  double median = 0;
  double min = 0;
  double max = 0;
  double iqr = 0;
  double speedup = 1;
  double efficiency = 1;
  std::optional<double> serial_fraction = {};
  long peak_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(json_count, (),
                      (workers, fitted, seconds, cpu_seconds, median, min, max, iqr, speedup, efficiency,
                       serial_fraction, peak_bytes))

struct json_doubt {
  std::string code = {};
  std::string text = {};
};
BOOST_DESCRIBE_STRUCT(json_doubt, (), (code, text))

struct json_study {
  std::vector<std::string> program = {};
  std::vector<std::string> variables = {};
  int runs = 0;
  int processors = 0;
  int baseline = 1;
  std::vector<json_count> counts = {};
  json_fits fits = {};
  std::vector<json_doubt> warnings = {};
};
BOOST_DESCRIBE_STRUCT(json_study, (), (program, variables, runs, processors, baseline, counts, fits, warnings))

json_range described(const estimate& e) {
  json_range r{.value = e.value};
  if (e.range && std::isfinite(e.range->low)) r.low = e.range->low;
  if (e.range && std::isfinite(e.range->high)) r.high = e.range->high;
  return r;
}

std::optional<json_range> described(const std::optional<estimate>& e) {
  if (!e) return std::nullopt;
  return described(*e);
}

std::optional<json_fit> described(const std::optional<scaling_fit>& fit) {
  if (!fit) return std::nullopt;
  json_fit j{.single_seconds = fit->single_seconds,
             .serial = described(fit->serial),
             .typical_error = fit->typical_error,
             .law_p_value = fit->law_p_value,
             .limit = described(fit->limit()),
             .doubling_pays_until = described(fit->doubling_pays_until()),
             .peak = described(fit->peak())};
  if (fit->law == scaling_law::usl) j.coherence = described(fit->coherence);
  for (const int n : predicted_workers) {
    if (const auto e = fit->speedup_of(n)) j.predictions.push_back({.workers = n, .speedup = described(*e)});
  }
  return j;
}

}  // namespace

void write_study(std::ostream& out, const speedup_study& study, const text_plot_size& size) {
  out << fmt::format("{}\nruns of each number of workers: {}, in turn; usable processors: {}\n\n",
                     quoted(study.program), study.runs, study.machine.processors);
  write_table(out, study);
  if (study.amdahl || study.gustafson || study.usl) {
    out << '\n';
    if (fits_mean_something(study.doubts)) {
      write_laws(out, study);
      out << '\n';
      write_predictions(out, study);
    } else {
      out << "No law of scaling follows from these times: see the warnings below.\n";
    }
  }
  if (study.rows.size() > 1) out << '\n' << plot_text(study.plot(), size);
  if (!study.doubts.empty()) out << '\n';
  for (const measuring_doubt& doubt : study.doubts) out << "Warning: " << doubt.text << '\n';
}

void write_study_json(std::ostream& out, const speedup_study& study) {
  json_study j{.program = study.program,
               .variables = study.variables,
               .runs = study.runs,
               .processors = study.machine.processors,
               .baseline = study.rows.front().workers};
  for (const speedup_row& row : study.rows) {
    scaling_count count = row.count();
    const sample_summary s = summarise(count.seconds);
    const speedup against = study.compared(row);
    j.counts.push_back({.workers = row.workers,
                        .fitted = row.fitted,
                        .seconds = std::move(count.seconds),
                        .cpu_seconds = std::move(count.cpu_seconds),
                        .median = s.median,
                        .min = s.min,
                        .max = s.max,
                        .iqr = s.iqr(),
                        .speedup = against.factor,
                        .efficiency = against.efficiency,
                        .peak_bytes = row.peak_bytes()});
    if (&row != &study.rows.front()) j.counts.back().serial_fraction = against.serial_fraction;
  }
  j.fits = {
      .amdahl = described(study.amdahl), .gustafson = described(study.gustafson), .gunther = described(study.usl)};
  for (const measuring_doubt& doubt : study.doubts) j.warnings.push_back({.code = doubt.code, .text = doubt.text});
  out << encode_json(j) << '\n';
}

}  // namespace tutti::app
