#include <tutti/trace/scaling_doubts.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace tutti {
namespace {

constexpr double short_seconds = 0.010;  // starting a process takes about one millisecond
constexpr double same_share = 0.1;       // medians of few runs that differ by less may be the same
constexpr double most_same_share = 0.2;  // what differs by more is noise, of which nothing follows

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

template <class Get>
range_of range(std::span<const figures> all, Get get) {
  range_of r{get(all.front()), get(all.front())};
  for (const figures& f : all) r = {std::min(r.least, get(f)), std::max(r.most, get(f))};
  return r;
}

double spread(std::span<const figures> all) {
  return range(all, [](const figures& f) { return f.seconds.relative_spread(); }).most;
}

// Neither time nor the share of the processors in use depends on the number of workers.
bool ignores_workers(std::span<const figures> all, int processors) {
  // More workers than processors change nothing for a program that computes: judge by the others, where there are any.
  const auto beyond = std::ranges::find_if(all, [&](const figures& f) { return f.workers > processors; });
  const auto within = static_cast<std::size_t>(beyond - all.begin());
  if (within >= 2) all = all.first(within);
  if (all.size() < 2) return false;
  const range_of times = range(all, [](const figures& f) { return f.seconds.median; });
  const range_of busy = range(all, [](const figures& f) { return f.busy; });
  const bool same_time = times.width() <= std::clamp(spread(all), same_share, most_same_share) * times.most;
  const bool same_use = busy.width() <= std::max(0.1, 0.1 * busy.most);
  return same_time && same_use && busy.most < 0.9 * processors;
}

}  // namespace

std::vector<scaling_doubt> doubts_about(std::span<const scaling_count> counts, int processors, std::string_view passed,
                                        const std::optional<scaling_fit>& amdahl,
                                        const std::optional<scaling_fit>& usl) {
  std::vector<scaling_doubt> doubts;
  const auto doubt = [&](const char* code, std::string text) { doubts.push_back({code, std::move(text)}); };
  std::vector<figures> all;
  for (const scaling_count& count : counts) all.emplace_back(count);
  if (all.empty()) return doubts;
  const range_of times = range(all, [](const figures& f) { return f.seconds.median; });

  const bool ignored = ignores_workers(all, processors);
  if (ignored) {
    doubt("ignored",
          fmt::format("The program seems to ignore the number of workers, or does nothing in parallel: time and "
                      "CPU use are the same for all. It was passed {}.",
                      passed));
  }
  if (times.least < short_seconds) {
    doubt("short",
          fmt::format("The shortest runs take {:.1f} ms: starting the program is a good part of that. Give it more "
                      "work.",
                      times.least * 1e3));
  }
  if (std::ranges::any_of(all, [](const figures& f) { return f.seconds.count < 2; })) {
    doubt("one_run", "One run a worker count does not tell how much runs differ; use -n 5 or more.");
  } else if (const double noise = spread(all), effect = times.width() / times.most;
             !ignored && all.size() > 1 && noise > std::max(effect, 0.05)) {
    doubt("noise",
          fmt::format("Runs of one worker count differ by {:.1f} %, the worker counts only by {:.1f} %: the fits "
                      "mean nothing. More runs (-n), longer ones, or a quieter machine would help.",
                      noise * 100, effect * 100));
  }

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
  if (amdahl && !amdahl->has_ranges()) {
    doubt("few_counts",
          "Two worker counts fix the two parameters of Amdahl's and of Gustafson's law: nothing is left that "
          "could contradict them, so there are no intervals. Name more counts with -w.");
  } else if (!amdahl) {
    doubt("few_counts",
          "There are too few worker counts to fit any law, or the times of those that count fit none; name at "
          "least three with -w.");
  } else if (usl && !usl->has_ranges()) {
    doubt("few_counts",
          "Three worker counts fix the three parameters of Gunther's law: it has no intervals. Name four or "
          "more with -w.");
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
  if (amdahl && amdahl->has_ranges() && amdahl->serial.range->high - amdahl->serial.range->low > 0.5) {
    doubt("unsure",
          fmt::format("The serial fraction lies somewhere from {:.0f} to {:.0f} %: that says next to nothing.",
                      amdahl->serial.range->low * 100, amdahl->serial.range->high * 100));
  }
  if (amdahl && amdahl->law_p_value && *amdahl->law_p_value < 0.05 && amdahl->typical_error > 0.02) {
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
