#include <apps/tutti/speedup_command.hpp>

#include <apps/tutti/interleaved.hpp>
#include <apps/tutti/running_tasks.hpp>
#include <apps/tutti/speedup_report.hpp>
#include <apps/tutti/terminal.hpp>
#include <tutti/base/json.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/trace/plot_svg.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace tutti::app {
namespace {

constexpr int most_workers = 1'000'000;
constexpr const char* placeholder = "{}";

constexpr const char* help = R"(Runs PROGRAM with each number of workers, in turn, and says how much faster it gets,
which laws of scaling fit, how fast it would be elsewhere, and where it stops
paying. Every {} in ARGS stands for the number of workers. Without {} it is set in
the variables that libraries read: TUTTI_WORKERS, OMP_NUM_THREADS,
OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, NUMEXPR_NUM_THREADS, RAYON_NUM_THREADS,
GOMAXPROCS, JULIA_NUM_THREADS, and those named by --env.

Every run must do the whole work again: not `make`, which finds all up to date, but
`make -B`. What PROGRAM writes is shown only when it fails. Ctrl-C ends it too.

Examples:
  tutti speedup -- ./solve --threads {}
  tutti speedup -w 1,2,4,8,16 -n 10 --svg solve.svg -- ./solve --threads={}
  tutti speedup -- ./openmp_program         by OMP_NUM_THREADS
  tutti speedup --json -- make -B -j {} | jq .fits.amdahl.serial

)";

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
}

bool is_there(const std::string& file) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(file, ignored));
}

// Why a file cannot be written, if so; leaves all as it was, as the runs before the writing may fail.
std::error_code why_not_written(const std::string& file) {
  const bool was_there = is_there(file);
  const unique_fd opened(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!opened) return {errno, std::generic_category()};
  std::error_code ignored;
  if (!was_there) std::filesystem::remove(file, ignored);
  return {};
}

bool write_file(const std::string& file, std::string_view content) {
  const bool was_there = is_there(file);
  std::ofstream out(file, std::ios::binary);
  out << content;
  out.close();
  std::error_code ignored;
  if (!out && !was_there) std::filesystem::remove(file, ignored);
  return !out.fail();
}

std::string workers_text(int workers) { return fmt::format("{} worker{}", workers, workers == 1 ? "" : "s"); }

program with_workers(const speedup_options& options, const std::vector<std::string>& variables, int workers) {
  program p{.words = options.program, .note = "with " + workers_text(workers)};
  const std::string number = std::to_string(workers);
  for (std::size_t i = 1; i < p.words.size(); ++i) replace_all(p.words[i], placeholder, number);
  for (const std::string& name : variables) p.environment.emplace_back(name, number);
  return p;
}

// An empty word is most often a variable of a script that was never set: not what was left out, so no default.
std::string not_empty(const std::string& word) { return word.empty() ? "\"\" is empty" : ""; }

}  // namespace

std::vector<int> default_worker_counts(int processors) {
  std::vector<int> counts;
  for (int n = 1; n < processors; n *= 2) counts.push_back(n);
  counts.push_back(processors);
  return counts;
}

std::vector<int> parse_worker_counts(const std::string& text) {
  std::vector<int> counts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string word = text.substr(from, comma - from);
    int n = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), n);
    if (error != std::errc() || end != word.data() + word.size() || n < 1 || n > most_workers) {
      throw std::invalid_argument(
          fmt::format("-w {}: \"{}\" is no number of workers from 1 to {}; write it as -w 1,2,4",
                      detail::redacted(text), detail::redacted(word), most_workers));
    }
    if (std::ranges::find(counts, n) != counts.end())
      throw std::invalid_argument(fmt::format("-w {}: {} is named twice; -n says how often each is run", text, n));
    counts.push_back(n);
    from = comma + 1;
  }
  std::ranges::sort(counts);
  return counts;
}

const std::vector<std::string>& worker_variables() {
  static const std::vector<std::string> names = {"TUTTI_WORKERS",   "OMP_NUM_THREADS",     "OPENBLAS_NUM_THREADS",
                                                 "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
                                                 "GOMAXPROCS",      "JULIA_NUM_THREADS"};
  return names;
}

void add_speedup_options(CLI::App& command, speedup_options& options) {
  command.add_option("-w,--workers", options.workers, "numbers of workers; default: 1,2,4,... up to the processors")
      ->type_name("N,N,...")
      ->check(not_empty);
  command.add_option("-n,--runs", options.runs, "measured runs of each number; default: 5")
      ->check(CLI::Range(1, 100'000));
  command.add_option("--env", options.variables, "a variable to set to the number of workers; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command.add_flag("--oversubscribe", options.oversubscribe, "fit counts above the usable processors too");
  command.add_option("--svg", options.svg, "draw the plot into a file too")->type_name("FILE")->check(not_empty);
  command.footer(help);
}

exit_code run_speedup(const speedup_options& options, std::ostream& out, std::ostream& err) {
  speedup_study study{
      .program = options.program, .runs = options.runs, .machine = {.processors = default_concurrency()}};
  const int processors = study.machine.processors;
  std::vector<int> counts;
  try {
    counts = options.workers.empty() ? default_worker_counts(processors) : parse_worker_counts(options.workers);
    for (const std::string& name : options.variables) {
      if (name.empty() || name.find('=') != std::string::npos)
        throw std::invalid_argument(fmt::format("--env \"{}\" is no name of a variable", detail::redacted(name)));
    }
  } catch (const std::invalid_argument& wrong) {
    err << "tutti: " << wrong.what() << '\n';
    return exit_code::usage;
  }
  // Before anything is measured: what cannot be written should not cost the minutes that the runs take.
  if (options.json) (void)encode_json(options.program);  // throws for words that are not UTF-8
  if (!options.svg.empty()) {
    if (const std::error_code why = why_not_written(options.svg)) {
      err << "tutti: --svg " << detail::redacted(options.svg) << ": the file cannot be written: " << why.message()
          << '\n';
      return exit_code::failure;
    }
  }
  const bool in_place = std::any_of(options.program.begin() + 1, options.program.end(),
                                    [](const std::string& word) { return word.find(placeholder) != word.npos; });
  if (!in_place) study.variables = worker_variables();
  study.variables.insert(study.variables.end(), options.variables.begin(), options.variables.end());

  study.machine.other_threads = other_running_tasks();
  std::vector<program> programs;
  programs.reserve(counts.size());
  for (const int n : counts) programs.push_back(with_workers(options, study.variables, n));
  run_counter progress(err, options.show_progress);
  const repetitions often{.runs = options.runs, .warmup = options.warmup, .timeout = options.timeout};
  std::vector<std::vector<program_run>> runs = run_interleaved(
      programs, often,
      [&](std::size_t which, int done, int all) { progress.show(workers_text(counts[which]), done, all); });
  progress.clear();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const bool fitted = options.oversubscribe || counts[i] <= processors;
    study.rows.push_back({.workers = counts[i], .fitted = fitted, .runs = std::move(runs[i])});
  }
  study.analyse();
  if (options.json) {
    write_study_json(out, study);
  } else {
    write_study(out, study, {.width = terminal_columns(), .utf8 = speaks_utf8()});
  }
  if (options.svg.empty() || write_file(options.svg, plot_svg(study.plot()))) return exit_code::success;
  err << "tutti: --svg " << detail::redacted(options.svg) << ": the picture could not be written: is the disk full?\n";
  return exit_code::failure;
}

}  // namespace tutti::app
