// scan: running sums of arrays from 40 us to far beyond the caches, and of numbers whose addition is costly.
#include <algorithm>
#include <stdexcept>

#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/work.hpp"
#include "scan/systems.hpp"

namespace {

using namespace bench::scan;

contenders everyone(int threads) {
  contenders all;
  add_tutti(all, threads);
  add_serial(all);
  add_tbb(all, threads);
  add_openmp(all, threads);
  add_std_par(all, threads);
  return all;
}

// `once(system)` is one scan that takes about `serial_us`; `check()` looks at its result, once a repetition.
template <class Once, class Check>
void measure(bench::session& session, const contenders& all, const std::string& name, int threads, double serial_us,
             bool any_operation, Once once, Check check) {
  const int count = std::max(1, static_cast<int>((session.quick() ? 1e3 : 20e3) / serial_us));
  std::vector<bench::subject> subjects;
  for (const auto& [label, system] : all) {
    bench::scan::system* s = system.get();
    if (any_operation && !s->takes_any_operation()) continue;
    subjects.push_back(bench::single(label, [s, once, check, count] {
      double mean = 0;
      s->on_home_thread([&] { mean = bench::mean_ns(count, [&] { once(*s); }) * 1e-3; });
      if (!check()) throw std::runtime_error("a wrong sum");
      return mean;
    }));
  }
  session.compare({name, "us"}, threads, session.reps(7), std::move(subjects));
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("scan", argc, argv);
  const std::size_t most = session.quick() ? 1'000'000 : 8'000'000;
  std::vector<double> from(most), to(most);
  for (std::size_t i = 0; i < most; ++i) from[i] = static_cast<double>(i % 7);
  std::vector<std::uint64_t> numbers(200'000), sums(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;

  struct sum_case {
    const char* name;
    std::size_t n;
    double serial_us;
  };
  const sum_case cases[] = {{"sums of 32 k doubles", 32'768, 40},
                            {"sums of 256 k doubles (2 MB)", 262'144, 320},
                            {"sums of an array beyond the caches", most, session.quick() ? 1.5e3 : 15e3}};

  for (const int threads : bench::thread_counts()) {
    contenders all = everyone(threads);
    auto shown = [threads](double serial_us) { return threads > 1 || serial_us >= 1e3; };
    for (const sum_case& c : cases) {
      if (!session.wanted(c.name) || !shown(c.serial_us)) continue;
      const double right = [&] {
        double sum = 0;
        for (std::size_t i = 0; i < c.n; ++i) sum += from[i];
        return sum;
      }();
      measure(
          session, all, c.name, threads, c.serial_us, /*any_operation=*/false,
          [&, n = c.n](bench::scan::system& s) { s.sums(from.data(), to.data(), n); },
          [&, n = c.n, right] { return to[n - 1] == right && to[n / 2] == to[n / 2 - 1] + from[n / 2]; });
    }
    for (const double us : {200.0, 2e3, 20e3}) {
      auto text = std::to_string(static_cast<int>(us < 1e3 ? us : us / 1e3)) + (us < 1e3 ? " us" : " ms");
      const std::string name = "sums of 100 ns additions, " + text;
      if (!session.wanted(name) || !shown(us)) continue;
      const auto n = static_cast<std::size_t>(us * 10);
      const costly_plus op{bench::rounds_for(100)};
      measure(
          session, all, name, threads, us, /*any_operation=*/true,
          [&, n, op](bench::scan::system& s) { s.costly_sums(numbers.data(), sums.data(), n, op); },
          [&, n] { return sums[n - 1] == n * (n - 1) / 2; });
    }
  }
  return session.finish();
}
