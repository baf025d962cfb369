// reduce: sums of arrays from 20 us to far beyond the caches, and the maximum over costly elements.
#include <algorithm>
#include <stdexcept>

#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/work.hpp"
#include "reduce/systems.hpp"

namespace {

using namespace bench::reduce;

contenders everyone(int threads) {
  contenders all;
  add_tutti(all, threads);
  add_serial(all);
  add_tbb(all, threads);
  add_openmp(all, threads);
  add_std_par(all, threads);
  add_async(all, threads);
  add_asio(all, threads);
  return all;
}

// `once(system)` is one reduction that takes about `serial_us` and checks its result.
template <class Once>
void measure(bench::session& session, const contenders& all, const std::string& name, int threads, double serial_us,
             Once once) {
  int count = std::max(1, static_cast<int>((session.quick() ? 1e3 : 20e3) / serial_us));
  std::vector<bench::subject> subjects;
  for (const auto& [label, system] : all) {
    bench::reduce::system* s = system.get();
    subjects.push_back(bench::single(label, [s, once, count] {
      double mean = 0;
      s->on_home_thread([&] { mean = bench::mean_ns(count, [&] { once(*s); }) * 1e-3; });
      return mean;
    }));
  }
  session.compare({name, "us"}, threads, session.reps(7), std::move(subjects));
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("reduce", argc, argv);
  std::vector<double> data(session.quick() ? 1'000'000 : 8'000'000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<double>(i % 7);

  struct sum_case {
    const char* name;
    std::size_t n;
    double serial_us;
  };
  const sum_case sums[] = {{"sum of 64 k doubles", 65'536, 12},
                           {"sum of 256 k doubles (2 MB)", 262'144, 60},
                           {"sum of an array beyond the caches", data.size(), session.quick() ? 500.0 : 5e3}};

  for (int threads : bench::thread_counts()) {
    contenders all = everyone(threads);
    // One thread: what the machinery costs, on cases that are long beside entering a pool.
    auto shown = [threads](double serial_us) { return threads > 1 || serial_us >= 1e3; };
    for (const sum_case& c : sums) {
      if (!session.wanted(c.name) || !shown(c.serial_us)) continue;
      double right = sum(data.data(), c.n);  // whole numbers: the order of the additions cannot change the result
      measure(session, all, c.name, threads, c.serial_us, [&data, &c, right](bench::reduce::system& s) {
        if (s.sum_all(data.data(), c.n) != right) throw std::runtime_error("a wrong sum");
      });
    }
    for (double us : {20.0, 200.0, 2e3, 20e3}) {
      auto text = std::to_string(static_cast<int>(us < 1e3 ? us : us / 1e3)) + (us < 1e3 ? " us" : " ms");
      std::string name = "maximum of 100 ns elements, " + text;
      if (!session.wanted(name) || !shown(us)) continue;
      auto n = static_cast<std::size_t>(us * 10);
      int rounds = bench::rounds_for(100);
      std::uint64_t right = largest(0, n, rounds);
      measure(session, all, name, threads, us, [n, rounds, right](bench::reduce::system& s) {
        if (s.largest_of(n, rounds) != right) throw std::runtime_error("a wrong maximum");
      });
    }
  }
  return session.finish();
}
