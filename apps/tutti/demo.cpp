#include <apps/tutti/demo.hpp>

#include <apps/tutti/count_words.hpp>
#include <apps/tutti/demo_fleet.hpp>
#include <apps/tutti/executor_list.hpp>
#include <apps/tutti/memory.hpp>
#include <apps/tutti/progress.hpp>
#include <apps/tutti/report.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/trace/span.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

// A run is repeated while it is short, and the fastest counts: the first pays for memory that the kernel has to clear.
constexpr int most_runs = 3;
constexpr double enough_seconds = 2;

using counting = std::function<text_counter(std::atomic<std::uint64_t>* progress)>;

struct measured {
  double seconds = 0;
  std::uint64_t memory = 0;
  text_counter counts;
};

measured measure(const counting& count, progress_bar& bar) {
  measured best;
  double spent = 0;
  for (int run = 0; run < most_runs && (run == 0 || spent < enough_seconds); ++run) {
    bar.done() = 0;
    best.counts = text_counter();
    forget_peak();
    const std::uint64_t before = memory_in_use();
    const auto start = std::chrono::steady_clock::now();
    best.counts = count(&bar.done());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const std::uint64_t peak = peak_memory();
    best.memory = std::max(best.memory, peak - std::min(peak, before));
    best.seconds = run == 0 ? took.count() : std::min(best.seconds, took.count());
    spent += took.count();
  }
  return best;
}

std::vector<fs::path> default_roots() {
  std::vector<fs::path> roots;
  for (const char* root : {"/usr/include", "/usr/share/doc"}) {
    if (fs::is_directory(root)) roots.emplace_back(root);
  }
  if (roots.empty()) roots = {fs::current_path()};
  return roots;
}

// Whether this process is one of several ranks, by the variables of Open MPI, MPICH and Slurm.
bool is_a_rank() {
  return std::ranges::any_of(std::array{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_PROCID"},
                             [](const char* name) { return std::getenv(name) != nullptr; });
}

// The executors that can be used as they are: linked, nothing missing, and no address to be named ("redis://host").
// "ranks" only where there are some: one rank alone would be one more row of one thread.
std::vector<std::string> default_specs() {
  std::vector<std::string> specs;
  for (const executor_kind& kind : executor_kinds()) {
    const std::string_view behind = kind.usage.substr(std::min(kind.scheme.size(), kind.usage.size()));
    const bool complete = behind.empty() || behind.starts_with('[');
    if (kind.module == "tutti::cluster") continue;  // these come from a demo_fleet
    if (kind.scheme == "ranks" && !is_a_rank()) continue;
    if (complete && kind.make != nullptr && missing_for(kind).empty()) specs.emplace_back(kind.scheme);
  }
  return specs;
}

// Reads everything once, so that the first measured run finds the files in memory as all others do; not where they
// cannot all stay there. Returns the bytes of text, or what the directory promises.
std::uint64_t warm_up(const text_files& all, std::ostream& err, bool show_progress) {
  if (all.bytes > memory_of_machine() / 2) return all.bytes;
  progress_bar bar(err, show_progress, "reading", all.bytes);
  return count_serially(all, &bar.done()).files.bytes;
}

}  // namespace

exit_code run_demo(const demo_options& options, std::ostream& out, std::ostream& err) {
  // All executors first: a wrong name should not cost a minute of counting.
  std::vector<demo_fleet::place> places;
  for (const std::string& spec : options.on.empty() ? default_specs() : options.on) places.push_back({spec, spec});
  demo_fleet fleet;
  std::vector<std::unique_ptr<executor>> executors;
  std::string on;  // what is being made
  try {
    for (const demo_fleet::place& where : places) {
      on = where.spec;
      executors.push_back(make_executor(on));
    }
    // Brokers last: what "ranks" makes of all ranks but one serves there, and does not return.
    if (options.on.empty()) {
      for (demo_fleet::place& where : fleet.start()) {
        on = where.spec;
        executors.push_back(make_executor(on));
        places.push_back(std::move(where));
      }
    }
  } catch (const std::exception& error) {
    err << "tutti: --on " << detail::redacted(on) << ": " << error.what() << '\n';
    const bool misnamed =
        dynamic_cast<const bad_spec*>(&error) != nullptr || dynamic_cast<const not_registered*>(&error) != nullptr;
    return misnamed ? exit_code::usage : exit_code::failure;
  }

  const std::vector<fs::path> roots = options.roots.empty() ? default_roots() : options.roots;
  text_files all;
  std::string names;
  for (const fs::path& root : roots) {
    names += ' ' + root.string();
    try {
      list_files(root, all);
    } catch (const fs::filesystem_error& failed) {
      const bool special = failed.code() == std::errc::not_supported;
      err << "tutti: " << detail::redacted(root.string()) << ": "
          << (special ? "neither a directory nor a file" : failed.code().message()) << '\n';
      return exit_code::no_text;
    }
  }
  out << "The words of all files below" << names << std::endl;

  const std::uint64_t bytes = warm_up(all, err, options.show_progress);
  std::vector<run_row> rows;
  const auto run = [&](const std::string& where, int workers, const counting& count) {
    measured m;
    const trace_span shown{trace_name(where)};
    {
      progress_bar bar(err, options.show_progress, where, bytes);
      m = measure(count, bar);
    }
    rows.push_back(
        {.where = where, .workers = workers, .seconds = m.seconds, .bytes = m.counts.files.bytes, .memory = m.memory});
    return std::move(m.counts);
  };

  const text_counter serial = run("serial", 1, [&](auto* progress) { return count_serially(all, progress); });
  write_files(out, all, serial.files);
  if (serial.files.bytes == 0 || serial.words().distinct() == 0) {
    err << "tutti: no words to count\n";
    return exit_code::no_text;
  }

  bool failed = false;
  for (std::size_t i = 0; i < places.size(); ++i) {
    executor& where = *executors[i];
    try {
      const text_counter counts =
          run(places[i].label, where.concurrency(), [&](auto* progress) { return count_on(where, all, progress); });
      rows.back().agrees = counts.words() == serial.words() && counts.files == serial.files;
    } catch (const std::exception& error) {
      rows.push_back({.where = places[i].label, .workers = where.concurrency(), .failure = error.what()});
    }
    failed = failed || !rows.back().agrees || !rows.back().failure.empty();
    executors[i].reset();  // its threads or processes go before the next one is measured
  }

  out << '\n';
  write_runs(out, rows);
  out << "\nThe commonest words:\n";
  write_commonest(out, serial.words(), 20);
  out << '\n' << grouped(serial.words().total()) << " words, " << grouped(serial.words().distinct()) << " different. ";
  if (failed) {
    out << "Not all executors agree with the serial count.\n";
    const bool changed = !(count_serially(all).words() == serial.words());
    err << "tutti: executors disagree or failed" << (changed ? "; the files have changed meanwhile" : "") << '\n';
    return exit_code::failure;
  }
  out << "All " << rows.size() << " runs agree to the word.\n";
  return exit_code::success;
}

}  // namespace tutti::app
