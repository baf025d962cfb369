#include <apps/tutti/bench_command.hpp>

#include <apps/tutti/interleaved.hpp>
#include <apps/tutti/printable.hpp>
#include <apps/tutti/running_tasks.hpp>
#include <apps/tutti/terminal.hpp>
#include <tutti/base/json.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/trace/sample_stats.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <boost/describe/class.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <ostream>
#include <utility>

namespace tutti::app {
namespace {

constexpr const char* help = R"(Runs the commands in turn, each as often as the others, and compares their times, in
the columns of pytest-benchmark. In brackets: how many times the best. Outliers are
counted beyond one standard deviation from the mean, and beyond 1.5 IQR from the
quartiles. Whether the first two commands differ is decided by the Mann-Whitney U
test, which asks nothing of how times are distributed.

What commands write is shown only when one fails. Ctrl-C ends them too.

Examples:
  tutti bench -- ./old input -- ./new input
  tutti bench -n 30 -- gzip -kf data -- zstd -kf data
  tutti bench -n 20 --json -- ./solve | jq .commands[0].median

)";

std::vector<double> seconds_of(const bench_row& row) {
  std::vector<double> seconds;
  seconds.reserve(row.runs.size());
  for (const program_run& run : row.runs) seconds.push_back(run.seconds);
  return seconds;
}

struct unit {
  const char* name;
  double per_second;
};

// The one in which the shortest time has at least one digit before the point, but the longest no more than four.
unit unit_for(double shortest, double longest) {
  constexpr std::array units = {unit{"s", 1}, unit{"ms", 1e3}, unit{"us", 1e6}};
  std::size_t i = 0;
  while (i + 1 < units.size() && shortest * units[i].per_second < 1 && longest * units[i + 1].per_second < 9999.99995)
    ++i;
  return units[i];
}

// Whether the first two commands differ.
std::string difference(const std::vector<bench_row>& rows) {
  const sample_ratio r = compare_samples(seconds_of(rows[0]), seconds_of(rows[1]));
  std::string text = fmt::format("[2] takes {:.3f} times as long as [1]", r.ratio);
  if (r.range) text += fmt::format(" (95 %: {:.3f} to {:.3f})", r.range->low, r.range->high);
  text += fmt::format(", Mann-Whitney p = {:.2g}: ", r.p_value);
  if (r.p_value < 0.05) return text + "they differ.\n";
  return text + (r.range ? "that may be luck.\n" : "too few runs to tell, take -n 4 at least.\n");
}

// What `--json` writes; the names are documented.
struct json_command {
  std::vector<std::string> command = {};
  std::vector<double> seconds = {};
  double min = 0;
  double max = 0;
  double mean = 0;
  double stddev = 0;
  double median = 0;
  double iqr = 0;
  std::size_t outliers_stddev = 0;
  std::size_t outliers_iqr = 0;
  double ops = 0;
  std::size_t rounds = 0;
  std::vector<double> cpu_seconds = {};
  long peak_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(json_command, (),
                      (command, seconds, min, max, mean, stddev, median, iqr, outliers_stddev, outliers_iqr, ops,
                       rounds, cpu_seconds, peak_bytes))

struct json_difference {
  double ratio = 1;
  std::optional<double> low = {};
  std::optional<double> high = {};
  double p_value = 1;
};
BOOST_DESCRIBE_STRUCT(json_difference, (), (ratio, low, high, p_value))

struct json_doubt {
  std::string code = {};
  std::string text = {};
};
BOOST_DESCRIBE_STRUCT(json_doubt, (), (code, text))

struct json_bench {
  std::vector<json_command> commands = {};
  std::optional<json_difference> difference = {};
  std::vector<json_doubt> warnings = {};
};
BOOST_DESCRIBE_STRUCT(json_bench, (), (commands, difference, warnings))

void write_json(std::ostream& out, const std::vector<bench_row>& rows, const std::vector<measuring_doubt>& doubts) {
  json_bench j;
  for (const bench_row& row : rows) {
    const std::vector<double> seconds = seconds_of(row);
    const sample_summary s = summarise(seconds);
    json_command c{.command = row.command,
                   .seconds = seconds,
                   .min = s.min,
                   .max = s.max,
                   .mean = s.mean,
                   .stddev = s.stddev,
                   .median = s.median,
                   .iqr = s.iqr(),
                   .outliers_stddev = s.beyond_stddev,
                   .outliers_iqr = s.beyond_iqr,
                   .ops = 1 / s.mean,
                   .rounds = s.count};
    for (const program_run& run : row.runs) {
      c.cpu_seconds.push_back(run.cpu_seconds);
      c.peak_bytes = std::max(c.peak_bytes, run.peak_bytes);
    }
    j.commands.push_back(std::move(c));
  }
  if (rows.size() > 1) {
    const sample_ratio r = compare_samples(seconds_of(rows[0]), seconds_of(rows[1]));
    j.difference = {.ratio = r.ratio, .p_value = r.p_value};
    if (r.range) {
      j.difference->low = r.range->low;
      j.difference->high = r.range->high;
    }
  }
  for (const measuring_doubt& doubt : doubts) j.warnings.push_back({.code = doubt.code, .text = doubt.text});
  out << encode_json(j) << '\n';
}

std::vector<measuring_doubt> doubts_of(const std::vector<bench_row>& rows, const measuring_machine& machine) {
  std::vector<sample_summary> samples;
  samples.reserve(rows.size());
  for (const bench_row& row : rows) samples.push_back(summarise(seconds_of(row)));
  return doubts_about_times(samples, machine, "command");
}

}  // namespace

std::vector<std::vector<std::string>> split_commands(const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> commands(1);
  for (const std::string& word : words) {
    if (word == "--") {
      commands.emplace_back();
    } else {
      commands.back().push_back(word);
    }
  }
  return commands;
}

void add_bench_options(CLI::App& command, bench_options& options) {
  command.add_option("-n,--runs", options.runs, "measured runs of each command; default: 10")
      ->check(CLI::Range(1, 100'000));
  command.footer(help);
}

void write_bench(std::ostream& out, const std::vector<bench_row>& rows, const std::vector<measuring_doubt>& doubts) {
  std::vector<sample_summary> summaries;
  summaries.reserve(rows.size());
  for (const bench_row& row : rows) summaries.push_back(summarise(seconds_of(row)));
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(summaries[i].min, i); });
  const unit u = unit_for(summaries[order.front()].min, std::ranges::max(summaries, {}, &sample_summary::max).max);

  struct column {
    const char* name;
    std::function<double(const sample_summary&)> get;
  };
  const std::array<column, 6> columns = {{{"Min", [](const auto& s) { return s.min; }},
                                          {"Max", [](const auto& s) { return s.max; }},
                                          {"Mean", [](const auto& s) { return s.mean; }},
                                          {"StdDev", [](const auto& s) { return s.stddev; }},
                                          {"Median", [](const auto& s) { return s.median; }},
                                          {"IQR", [](const auto& s) { return s.iqr(); }}}};
  std::vector<std::string> lines;
  std::size_t name_width = 12;
  for (const std::size_t i : order) name_width = std::max(name_width, code_points(quoted(rows[i].command)) + 4);
  name_width = std::min<std::size_t>(name_width, 48);

  std::string head = fmt::format("{:<{}}", fmt::format("Name (time in {})", u.name), name_width);
  for (const std::size_t i : order) {
    const std::string name = printable(quoted(rows[i].command), name_width - 4);
    lines.push_back(fmt::format("{:<{}}", fmt::format("[{}] {}", i + 1, name), name_width));
  }
  for (const column& c : columns) {
    double best = c.get(summaries.front());
    for (const sample_summary& s : summaries) best = std::min(best, c.get(s));
    std::vector<std::string> cells;
    std::size_t width = std::string_view(c.name).size();
    for (const std::size_t i : order) {
      const double value = c.get(summaries[i]);
      std::string cell = fmt::format("{:.4f}", value * u.per_second);
      if (rows.size() > 1) {
        const double times = value == best ? 1 : value / best;
        cell += best > 0 || value == best ? (times < 1000 ? fmt::format(" ({:.2f})", times) : " (>1000)") : " (inf)";
      }
      width = std::max(width, cell.size());
      cells.push_back(std::move(cell));
    }
    head += fmt::format("  {:>{}}", c.name, width);
    for (std::size_t line = 0; line < lines.size(); ++line) lines[line] += fmt::format("  {:>{}}", cells[line], width);
  }
  head += fmt::format("  {:>8}  {:>9}  {:>6}", "Outliers", "OPS", "Rounds");
  for (std::size_t line = 0; line < lines.size(); ++line) {
    const sample_summary& s = summaries[order[line]];
    lines[line] += fmt::format("  {:>8}  {:>9.4f}  {:>6}", fmt::format("{};{}", s.beyond_stddev, s.beyond_iqr),
                               1 / s.mean, s.count);
  }
  const std::string rule(head.size(), '-');
  out << rule << '\n' << head << '\n' << rule << '\n';
  for (const std::string& line : lines) out << line << '\n';
  out << rule
      << "\n\nOutliers: beyond 1 standard deviation from the mean; beyond 1.5 IQR from the quartiles. OPS: runs per "
         "second, 1 / mean.\n";
  if (rows.size() > 1) out << difference(rows);
  if (!doubts.empty()) out << '\n';
  for (const measuring_doubt& doubt : doubts) out << "Warning: " << doubt.text << '\n';
}

exit_code run_bench(const bench_options& options, std::ostream& out, std::ostream& err) {
  if (options.json) (void)encode_json(options.commands);  // throws for words that are not UTF-8, before they have run
  std::vector<program> programs;
  programs.reserve(options.commands.size());
  for (const std::vector<std::string>& words : options.commands) programs.push_back({.words = words});
  const measuring_machine machine{.processors = default_concurrency(), .other_threads = other_running_tasks()};
  run_counter progress(err, options.show_progress);
  const repetitions often{.runs = options.runs, .warmup = options.warmup, .timeout = options.timeout};
  std::vector<std::vector<program_run>> runs = run_interleaved(
      programs, often,
      [&](std::size_t which, int done, int all) { progress.show(quoted(programs[which].words), done, all); });
  progress.clear();
  std::vector<bench_row> rows;
  rows.reserve(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i)
    rows.push_back({.command = options.commands[i], .runs = std::move(runs[i])});
  const std::vector<measuring_doubt> doubts = doubts_of(rows, machine);
  if (options.json) {
    write_json(out, rows, doubts);
  } else {
    write_bench(out, rows, doubts);
  }
  return exit_code::success;
}

}  // namespace tutti::app
