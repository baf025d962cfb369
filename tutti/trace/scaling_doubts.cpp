#include <tutti/trace/scaling_doubts.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tutti {
namespace {

constexpr double short_seconds = 0.010;  // starting a process takes about one millisecond
constexpr double same_share = 0.1;       // medians of few runs that differ by less may be the same
constexpr double quiet_share = 0.05;     // runs that differ by less are not noisy, whatever follows from them

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

struct figures {
  int workers = 1;
  sample_summary seconds;
  double cpu_seconds = 0;  // of a run
  double busy = 0;         // processors in use, on average

  explicit figures(const scaling_count& count)
      : workers(count.workers),
        seconds(summarise(count.seconds)),
        cpu_seconds(sum(count.cpu_seconds) / static_cast<double>(count.cpu_seconds.size())),
        busy(sum(count.cpu_seconds) / sum(count.seconds)) {}
};

struct range_of {
  double least = 0;
  double most = 0;
  [[nodiscard]] double width() const { return most - least; }
};

template <class T, class Get>
range_of range(std::span<const T> all, Get get) {
  range_of r{get(all.front()), get(all.front())};
  for (const T& one : all) r = {std::min(r.least, get(one)), std::max(r.most, get(one))};
  return r;
}

double spread(std::span<const figures> all) {
  return range(all, [](const figures& f) { return f.seconds.relative_spread(); }).most;
}

// Neither time nor the share of the processors in use depends on the number of workers, as far as the noise lets that
// be seen.
bool ignores_workers(std::span<const figures> all, int processors) {
  // More workers than processors change nothing for a program that computes: judge by the others, where there are any.
  const auto beyond = std::ranges::find_if(all, [&](const figures& f) { return f.workers > processors; });
  const auto within = static_cast<std::size_t>(beyond - all.begin());
  if (within >= 2) all = all.first(within);
  if (all.size() < 2) return false;
  const range_of times = range(all, [](const figures& f) { return f.seconds.median; });
  const range_of busy = range(all, [](const figures& f) { return f.busy; });
  const bool same_time = times.width() <= same_share * times.most && spread(all) <= same_share;
  const bool same_use = busy.width() <= std::max(0.1, 0.1 * busy.most);
  return same_time && same_use && busy.most < 0.9 * processors;
}

// How to come by `wanted` counts in the fits.
std::string way_to_more(std::span<const scaling_count> counts, int processors, int wanted) {
  const bool oversubscribed =
      std::ranges::any_of(counts, [&](const scaling_count& c) { return c.fitted && c.workers > processors; });
  if (oversubscribed) return fmt::format("Name {} or more with -w.", wanted);
  if (processors >= wanted)
    return fmt::format("Name {} or more with -w, none above the {} usable processors.", wanted, processors);
  return fmt::format(
      "The usable processors ({}) allow no more: a program that computes needs a larger machine; for one that waits, "
      "name more with -w and let them into the fits with --oversubscribe.",
      processors);
}

bool has(std::span<const measuring_doubt> doubts, std::string_view code) {
  return std::ranges::find(doubts, code, &measuring_doubt::code) != doubts.end();
}

}  // namespace

std::vector<measuring_doubt> doubts_about_times(std::span<const sample_summary> samples,
                                                const measuring_machine& machine, std::string_view thing) {
  std::vector<measuring_doubt> doubts;
  const auto doubt = [&](const char* code, std::string text) { doubts.push_back({code, std::move(text)}); };
  if (samples.empty()) return doubts;
  if (2 * machine.other_threads > machine.processors) {
    doubt("busy", fmt::format("Other programs ran when the runs began, {} threads of them, with {} usable processors: "
                              "they take their share of the machine.",
                              machine.other_threads, machine.processors));
  }
  const range_of times = range(samples, [](const sample_summary& s) { return s.median; });
  if (times.least < short_seconds) {
    doubt("short",
          fmt::format("The shortest runs take {:.1f} ms: starting the program is a good part of that. Give it more "
                      "work.",
                      times.least * 1e3));
  }
  if (std::ranges::any_of(samples, [](const sample_summary& s) { return s.count < 2; })) {
    doubt("one_run", fmt::format("One run of each {} does not tell how much runs differ; use -n 5 or more.", thing));
    return doubts;
  }
  // How far medians may be off: about as far as runs differ, by the root of their number.
  const auto error_of_median = [](const sample_summary& s) {
    return s.relative_spread() / std::sqrt(static_cast<double>(s.count));
  };
  const double noise = range(samples, error_of_median).most;
  constexpr std::string_view way_out = "More runs (-n), longer ones, or a quieter machine would help.";
  if (samples.size() == 1) {
    if (noise > quiet_share) doubt("noise", fmt::format("The median is known to {:.1f} %. {}", noise * 100, way_out));
  } else if (const double effect = times.width() / times.most; noise > std::max(effect, quiet_share)) {
    doubt("noise", fmt::format("The median of a {0} is known to {1:.1f} %, but the {0}s differ only by {2:.1f} %. {3}",
                               thing, noise * 100, effect * 100, way_out));
  }
  return doubts;
}

bool fits_mean_something(std::span<const measuring_doubt> doubts) {
  return !has(doubts, "noise") && !has(doubts, "ignored");
}

std::vector<measuring_doubt> doubts_about(std::span<const scaling_count> counts, const measuring_machine& machine,
                                          std::string_view passed, const std::optional<scaling_fit>& amdahl,
                                          const std::optional<scaling_fit>& usl) {
  const int processors = machine.processors;
  std::vector<figures> all;
  std::vector<sample_summary> samples;
  for (const scaling_count& count : counts) samples.push_back(all.emplace_back(count).seconds);
  std::vector<measuring_doubt> doubts = doubts_about_times(samples, machine, "worker count");
  const auto doubt = [&](const char* code, std::string text) { doubts.push_back({code, std::move(text)}); };
  if (all.empty()) return doubts;

  // Where others take their share of the processors, more workers may gain nothing for that reason alone.
  if (!has(doubts, "busy") && ignores_workers(all, processors)) {
    std::erase_if(doubts, [](const measuring_doubt& d) { return d.code == "noise"; });  // it explains the small effect
    doubt("ignored",
          fmt::format("The program seems to ignore the number of workers, or does nothing in parallel: time and "
                      "CPU use are the same for all. It was passed {}.",
                      passed));
  }
  const auto noise = std::ranges::find(doubts, "noise", &measuring_doubt::code);
  if (noise != doubts.end() && amdahl) noise->text += " The fits mean nothing.";

  std::vector<int> beyond;
  for (const figures& f : all) {
    if (f.workers > processors) beyond.push_back(f.workers);
  }
  if (!beyond.empty()) {
    doubt("oversubscribed",
          fmt::format("There are fewer than {} processors to use, only {}: a program that computes cannot "
                      "gain there; only waiting overlaps.",
                      fmt::join(beyond, ", "), processors));
  }
  if (all.front().workers != 1) {
    doubt("no_single",
          fmt::format("No run had one worker: speedups are relative to {}, and the serial fraction is that of "
                      "the part beyond.",
                      all.front().workers));
  }
  const bool has_laws = fits_mean_something(doubts);
  const auto fitted = std::ranges::count_if(counts, &scaling_count::fitted);
  if (has_laws && amdahl && !amdahl->has_ranges()) {
    doubt("few_counts",
          "Two worker counts fix the two parameters of Amdahl's and of Gustafson's law: nothing is left that "
          "could contradict them, so there are no intervals. " +
              way_to_more(counts, processors, 3));
  } else if (has_laws && !amdahl && fitted < 3) {
    doubt("few_counts", "There are too few worker counts to fit any law. " + way_to_more(counts, processors, 3));
  } else if (has_laws && !amdahl) {
    doubt("few_counts", "The times of these worker counts fit no law of scaling.");
  } else if (has_laws && usl && !usl->has_ranges()) {
    doubt("few_counts", "Three worker counts fix the three parameters of Gunther's law: it has no intervals. " +
                            way_to_more(counts, processors, 4));
  }

  const auto superlinear = std::ranges::find_if(all, [&](const figures& f) {
    const double n = static_cast<double>(f.workers) / all.front().workers;
    const double factor = all.front().seconds.median / f.seconds.median;
    return n > 1 && factor > n * (1 + std::max(same_share, spread(all)));
  });
  if (superlinear != all.end()) {
    doubt("superlinear",
          fmt::format("{} workers are more than {:g} times as fast as {}: the serial fraction is below 0. The "
                      "parts fit into caches that the whole does not fit into, or fewer workers do more work.",
                      superlinear->workers, static_cast<double>(superlinear->workers) / all.front().workers,
                      all.front().workers));
  }
  const figures& first = all.front();
  const figures& last = all.back();
  if (last.cpu_seconds > 1.5 * first.cpu_seconds && last.cpu_seconds - first.cpu_seconds > 0.1 * last.seconds.median) {
    doubt("spinning",
          fmt::format("{} workers use {:.1f} times the CPU time of {}: they spin while they wait, do work twice, "
                      "or slow each other's memory down.",
                      last.workers, last.cpu_seconds / std::max(first.cpu_seconds, 1e-3), first.workers));
  }
  if (has_laws && amdahl && amdahl->has_ranges() && amdahl->serial.range->high - amdahl->serial.range->low > 0.5) {
    doubt("unsure",
          fmt::format("The serial fraction lies somewhere from {:.0f} to {:.0f} %: that says next to nothing.",
                      amdahl->serial.range->low * 100, amdahl->serial.range->high * 100));
  }
  if (has_laws && amdahl && amdahl->law_p_value && *amdahl->law_p_value < 0.05 && amdahl->typical_error > 0.02) {
    const bool better = usl && usl->law_p_value && *usl->law_p_value >= 0.05;
    doubt("other_law",
          fmt::format("The times do not follow Amdahl's law: they lie {:.0f} % from it, further than runs differ."
                      "{}",
                      amdahl->typical_error * 100,
                      better ? " Gunther's describes them." : " Its intervals are widened for that."));
  }
  return doubts;
}

}  // namespace tutti
