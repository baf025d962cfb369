#include "harness.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>

#include "clock.hpp"
#include "machine.hpp"

namespace bench {

namespace {

[[noreturn]] void usage(std::string_view bench, int status) {
  std::fprintf(status == 0 ? stdout : stderr,
               "usage: %.*s [--quick] [--json FILE] [--filter TEXT]\n"
               "  --quick        fewer repetitions and smaller inputs: seconds instead of minutes\n"
               "  --json FILE    write the rows to FILE\n"
               "  --filter TEXT  only cases whose name contains TEXT\n",
               static_cast<int>(bench.size()), bench.data());
  std::exit(status);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return std::isfinite(value) ? text : "null";
}

}  // namespace

struct session::samples {
  std::vector<std::vector<std::vector<double>>> values;
  double foreign_load = 0;  // cores that other programs used meanwhile
};

session::session(std::string_view bench, int argc, char** argv) : bench_(bench) {
  for (int i = 1; i < argc; ++i) {
    std::string_view arg = argv[i];
    auto value = [&](std::string_view flag) -> const char* {
      if (arg.starts_with(flag) && arg.size() > flag.size() && arg[flag.size()] == '=')
        return argv[i] + flag.size() + 1;
      if (arg != flag) return nullptr;
      if (i + 1 == argc) {
        std::fprintf(stderr, "%.*s needs a value\n", static_cast<int>(flag.size()), flag.data());
        usage(bench_, 2);
      }
      return argv[++i];
    };
    if (arg == "--quick") {
      options_.quick = true;
    } else if (arg == "--help" || arg == "-h") {
      usage(bench_, 0);
    } else if (const char* file = value("--json")) {
      options_.json = file;
    } else if (const char* text = value("--filter")) {
      options_.filter = text;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      usage(bench_, 2);
    }
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("%s on %s, %d cpus%s\n", bench_.c_str(), cpu_name().c_str(), cpus(), quick() ? ", quick" : "");
}

bool session::wanted(std::string_view name) const {
  return options_.filter.empty() || name.find(options_.filter) != std::string_view::npos;
}

std::vector<double> session::run_once(subject& who) {
  if (who.run == nullptr) return {};  // has failed before
  try {
    return who.run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s failed and leaves this case: %s\n", who.system.c_str(), e.what());
    who.run = nullptr;
    failed_ |= who.system == "tutti";
    return {};
  }
}

session::samples session::measure(const std::vector<metric>& metrics, int repetitions, std::vector<subject>& subjects) {
  samples taken;
  taken.values.assign(subjects.size(), std::vector<std::vector<double>>(metrics.size()));
  load_meter others;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    for (std::size_t turn = 0; turn < subjects.size(); ++turn) {
      // Another one starts each time, so that none always runs in the wake of the same neighbor.
      std::size_t who = (turn + static_cast<std::size_t>(repetition)) % subjects.size();
      settle();
      std::vector<double> values = run_once(subjects[who]);
      values.resize(metrics.size(), std::nan(""));
      for (std::size_t m = 0; m < metrics.size(); ++m) taken.values[who][m].push_back(values[m]);
    }
  }
  taken.foreign_load = others.foreign_cores();
  return taken;
}

void session::compare(const std::vector<metric>& metrics, int threads, int repetitions, std::vector<subject> subjects,
                      bool warm_up) {
  bool any = std::any_of(metrics.begin(), metrics.end(), [&](const metric& m) { return wanted(m.name); });
  if (!any || subjects.empty()) return;
  if (warm_up) {
    for (subject& s : subjects) run_once(s);
  }
  constexpr double quiet_enough = 0.15;
  samples taken = measure(metrics, repetitions, subjects);
  if (!quick() && taken.foreign_load > quiet_enough) {
    samples again = measure(metrics, repetitions, subjects);
    if (again.foreign_load < taken.foreign_load) taken = std::move(again);
  }
  if (taken.foreign_load > quiet_enough) ++disturbed_;
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    if (wanted(metrics[m].name)) report(metrics[m], m, threads, subjects, taken);
  }
  if (taken.foreign_load > quiet_enough) {
    std::printf("  (other programs used %.2f cores meanwhile)\n", taken.foreign_load);
  }
}

void session::report(const metric& what, std::size_t index, int threads, const std::vector<subject>& subjects,
                     const samples& taken) {
  std::printf("\n%s, %d thread%s, %s (%s is better)\n", what.name.c_str(), threads, threads == 1 ? "" : "s",
              what.unit.c_str(), what.direction == better::less ? "less" : "more");
  double ours = std::nan("");
  for (std::size_t s = 0; s < subjects.size(); ++s) {
    if (subjects[s].system == "tutti") ours = quantile(taken.values[s][index]);
  }
  for (std::size_t s = 0; s < subjects.size(); ++s) {
    const std::vector<double>& values = taken.values[s][index];
    if (subjects[s].run == nullptr || values.empty() || std::isnan(values.front())) continue;
    row r{bench_,
          what.name,
          threads,
          subjects[s].system,
          what.unit,
          what.direction,
          quantile(values),
          quantile(values, 0),
          quantile(values, 1),
          static_cast<int>(values.size())};
    std::printf("  %-28s %12s [%s .. %s]", r.system.c_str(), number(r.value).c_str(), number(r.min).c_str(),
                number(r.max).c_str());
    if (std::isfinite(ours) && r.system != "tutti" && ours > 0 && r.value > 0) {
      std::printf("   tutti is %.2fx", what.direction == better::less ? r.value / ours : ours / r.value);
    }
    std::printf("\n");
    rows_.push_back(std::move(r));
  }
}

int session::finish() {
  if (disturbed_ > 0) std::printf("\n%d case(s) ran beside other load; treat them with care\n", disturbed_);
  if (options_.json.empty()) return failed_ ? 1 : 0;
  std::ofstream out(options_.json);
  char date[32];
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  out << "{\"machine\": " << quoted(cpu_name()) << ", \"cpus\": " << cpus() << ", \"kernel\": " << quoted(kernel_name())
      << ", \"compiler\": " << quoted(compiler_name()) << ", \"date\": " << quoted(date)
      << ", \"quick\": " << (quick() ? "true" : "false") << ", \"disturbed\": " << disturbed_ << ",\n \"rows\": [";
  const char* separator = "\n";
  for (const row& r : rows_) {
    out << separator << "  {\"bench\": " << quoted(r.bench) << ", \"case\": " << quoted(r.name)
        << ", \"threads\": " << r.threads << ", \"system\": " << quoted(r.system) << ", \"unit\": " << quoted(r.unit)
        << ", \"better\": " << (r.direction == better::less ? "\"less\"" : "\"more\"")
        << ", \"value\": " << number(r.value) << ", \"min\": " << number(r.min) << ", \"max\": " << number(r.max)
        << ", \"n\": " << r.n << "}";
    separator = ",\n";
  }
  out << "\n]}\n";
  out.close();
  if (!out) {
    std::fprintf(stderr, "cannot write %s\n", options_.json.c_str());
    return 1;
  }
  return failed_ ? 1 : 0;
}

subject single(std::string system, std::function<double()> run) {
  return {std::move(system), [run = std::move(run)] { return std::vector<double>{run()}; }};
}

subject sized(std::string system, double seconds, std::function<std::vector<double>(std::size_t)> run) {
  auto first_or_next = [seconds, run = std::move(run), count = std::size_t{0}]() mutable {
    if (count != 0) return run(count);
    run(8);  // sets up what lasts
    for (std::size_t tried = 64;; tried *= 4) {
      std::vector<double> values;
      const double took = time_ns([&] { values = run(tried); }) * 1e-9;
      if (took < seconds / 2) continue;  // too short to tell: starting threads is a part of it
      count = (static_cast<std::size_t>(seconds / took * static_cast<double>(tried)) / 8 + 1) * 8;
      return values;
    }
  };
  return {std::move(system), std::move(first_or_next)};
}

int cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

std::vector<int> thread_counts() {
  static const int all = cpus();  // counted once: latency cases pin the main thread
  std::set<int> counts{1, 2, std::max(2, all)};
  return {counts.begin(), counts.end()};
}

double quantile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  double position = p * static_cast<double>(values.size() - 1);
  auto below = static_cast<std::size_t>(position);
  std::size_t above = std::min(below + 1, values.size() - 1);
  double share = position - static_cast<double>(below);
  return values[below] * (1 - share) + values[above] * share;
}

}  // namespace bench
