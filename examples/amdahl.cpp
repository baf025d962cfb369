// amdahl: a program of which a known share is serial, and Amdahl's law, which finds that share again from its times
// alone. Teaches: measure with several numbers of workers before buying more of them: one tenth that stays serial is
// enough for no number of workers to be more than ten times as fast. Usage: amdahl, which checks itself, or amdahl
// [--work wait|compute] [--serial SHARE] [--workers N], as `tutti speedup -- amdahl --serial 0.1 --workers {}` does.
#include <tutti/tutti.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using seconds = std::chrono::duration<double>;

enum class work_kind {
  wait,    // as for a disk or a server: overlaps on any machine, with more workers than processors too
  compute  // as fast as the processors are
};

struct job {
  work_kind kind = work_kind::wait;
  double serial = 0.1;
  int workers = 1;
  seconds wait{0.4};
  std::uint64_t steps = 400'000'000;
};

// A share of the whole work; the result keeps the compiler from leaving it out.
std::uint64_t do_share(const job& j, double share) {
  if (j.kind == work_kind::wait) {
    std::this_thread::sleep_for(j.wait * share);
    return 0;
  }
  std::uint64_t x = 1;
  const auto steps = static_cast<std::uint64_t>(static_cast<double>(j.steps) * share);
  for (std::uint64_t i = 0; i < steps; ++i) x = x * 6364136223846793005 + 1442695040888963407;
  return x;
}

std::uint64_t run(const job& j, tutti::thread_pool& pool) {
  std::uint64_t x = do_share(j, j.serial);
  std::vector<tutti::future<std::uint64_t>> parts;
  parts.reserve(static_cast<std::size_t>(j.workers));
  const double share = (1 - j.serial) / j.workers;
  for (int i = 0; i < j.workers; ++i) parts.push_back(pool.submit([&j, share] { return do_share(j, share); }));
  for (auto& part : parts) x ^= part.get();
  return x;
}

// The fastest of several runs with each number of workers: other programs can only make a run longer.
using fastest = std::map<int, double>;

void measure_once(double serial, fastest& times) {
  for (const int workers : {1, 2, 4, 8}) {
    const job j{.serial = serial, .workers = workers, .wait = seconds(0.12)};
    tutti::thread_pool pool(workers);
    const auto start = std::chrono::steady_clock::now();
    run(j, pool);
    const double took = seconds(std::chrono::steady_clock::now() - start).count();
    const auto best = times.try_emplace(workers, took).first;
    best->second = std::min(best->second, took);
  }
}

double fitted_share(const fastest& times) {
  std::vector<tutti::scaling_run> runs;
  for (const auto& [workers, took] : times) runs.push_back({.workers = workers, .seconds = took});
  const auto fit = tutti::fit_scaling(tutti::scaling_law::amdahl, runs);
  return fit ? fit->serial.value : std::numeric_limits<double>::quiet_NaN();
}

// Whether the law finds each share again. On a machine that is busy with something else, more runs come closer.
bool check() {
  bool found_all = true;
  for (const double serial : {0.0, 0.1, 0.5}) {
    constexpr int enough = 2, most = 20;
    fastest times;
    double found = 0;
    for (int runs = 1; runs <= most; ++runs) {
      measure_once(serial, times);
      found = fitted_share(times);
      if (runs >= enough && std::abs(found - serial) <= 0.05) break;
    }
    const bool right = std::abs(found - serial) <= 0.05;
    std::cout << "serial share " << serial << ": fitted " << found << (right ? "" : ", which is wrong") << '\n';
    found_all = found_all && right;
  }
  return found_all;
}

template <class Number>
bool is_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

int wrong_usage(std::string_view what) {
  std::cerr << "amdahl: " << what << "\nusage: amdahl [--work wait|compute] [--serial 0..1] [--workers 1..4096]\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  if (argc == 1) return check() ? 0 : 1;
  job j;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i], value = argv[i + 1];
    if (option == "--work" && (value == "wait" || value == "compute")) {
      j.kind = value == "wait" ? work_kind::wait : work_kind::compute;
    } else if (option == "--serial" && is_number(value, j.serial)) {
    } else if (option == "--workers" && is_number(value, j.workers)) {
    } else {
      return wrong_usage("unknown option or value");
    }
  }
  if (argc % 2 == 0) return wrong_usage("an option without a value");
  if (!(j.serial >= 0 && j.serial <= 1)) return wrong_usage("the serial share lies between 0 and 1");
  if (j.workers < 1 || j.workers > 4096) return wrong_usage("from 1 to 4096 workers");
  tutti::thread_pool pool(j.workers);
  std::cout << run(j, pool) << '\n';
}
