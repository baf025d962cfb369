// parallel_for: loops from 20 us to 1 s with bodies from 1 ns to 1 ms, back to back and after a pause.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "harness/harness.hpp"
#include "parallel_for/systems.hpp"

namespace {

using namespace bench::parallel_for;

struct cell {
  const char* name;  // of the body
  loop_spec loop;
  double loop_us;       // what the loop takes serially, about
  bool parked = false;  // pause before each loop, so that workers have gone to sleep
};

std::string text(double us) {
  char out[32];
  if (us < 1e3) {
    std::snprintf(out, sizeof out, "%g us", us);
  } else if (us < 1e6) {
    std::snprintf(out, sizeof out, "%g ms", us / 1e3);
  } else {
    std::snprintf(out, sizeof out, "%g s", us / 1e6);
  }
  return out;
}

// What a loop over three arrays far beyond the caches moves, in the way of STREAM: two reads and a write an element.
void measure_bandwidth(bench::session& session, const contenders& all, const loop_spec& triad, int threads) {
  const std::string name = "triad over arrays beyond the caches";
  if (!session.wanted(name)) return;
  const double bytes = 3.0 * sizeof(double) * static_cast<double>(triad.iterations);
  std::vector<bench::subject> subjects;
  for (const auto& [label, system] : all) {
    bench::parallel_for::system* s = system.get();
    subjects.push_back(bench::single(label, [s, triad, bytes] {
      double ns = 0;
      s->on_home_thread([&] { ns = bench::mean_ns(3, [&] { s->run(triad); }); });
      return bytes / ns;
    }));
  }
  session.compare({name, "GB/s", bench::better::more}, threads, session.reps(9), std::move(subjects));
}

// Iterations with which `loop` takes `target_us` serially.
loop_spec sized(loop_spec loop, double target_us, std::size_t probe_iterations) {
  contenders serial;
  add_serial(serial);
  loop.iterations = probe_iterations;
  double best = 1e18;
  for (int i = 0; i < 20; ++i) best = std::min(best, bench::time_ns([&] { serial[0].second->run(loop); }));
  double per_iteration = best / static_cast<double>(probe_iterations);
  loop.iterations = std::max<std::size_t>(2, static_cast<std::size_t>(target_us * 1e3 / per_iteration));
  return loop;
}

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

void measure(bench::session& session, const contenders& all, const cell& c, int threads) {
  std::string name = text(c.loop_us) + " loop of " + c.name + " bodies" + (c.parked ? ", after a pause" : "");
  if (!session.wanted(name)) return;
  double repetition_us = session.quick() ? 1e3 : 20e3;
  int count = std::max(1, static_cast<int>(repetition_us / c.loop_us));
  if (c.parked) count = session.quick() ? 3 : 7;
  std::vector<bench::subject> subjects;
  for (const auto& [label, system] : all) {
    bench::parallel_for::system* s = system.get();
    if (c.loop.kind == body::nested && !s->nests()) continue;
    subjects.push_back(bench::single(label, [s, c, count] {
      if (!c.parked) {
        double mean = 0;
        s->on_home_thread([&] { mean = bench::mean_ns(count, [&] { s->run(c.loop); }) * 1e-3; });
        return mean;
      }
      std::vector<double> times;
      for (int i = 0; i < count; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));  // longer than any of them spins
        times.push_back(bench::time_ns([&] { s->run(c.loop); }) * 1e-3);
      }
      return bench::quantile(times);
    }));
  }
  bool long_loop = c.loop_us >= 1e5;
  session.compare({name, "us"}, threads, session.reps(long_loop ? 3 : 7), std::move(subjects), !long_loop);
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("parallel_for", argc, argv);
  bool quick = session.quick();

  constexpr std::size_t elements = 8'000'000;  // three arrays of 64 MB: far beyond any L2
  std::vector<double> out(quick ? elements / 8 : elements, 1.0), left(out), right(out);
  loop_spec tiny{.kind = body::tiny};
  loop_spec triad{.kind = body::triad, .out = out.data(), .left = left.data(), .right = right.data()};
  auto chained = [](double ns) { return loop_spec{.kind = body::chained, .rounds = bench::rounds_for(ns)}; };
  loop_spec uneven{.kind = body::uneven, .rounds = bench::rounds_for(2e3)};

  auto calibrate_uneven = [&](double us) {
    loop_spec loop = uneven;
    loop.iterations = static_cast<std::size_t>(us);  // the mean is half of the last: 1 us
    return loop;
  };

  for (int threads : bench::thread_counts()) {
    contenders all = everyone(threads);
    std::vector<cell> cells;
    auto add = [&](const char* name, const loop_spec& loop, std::initializer_list<double> lengths_us,
                   std::size_t probe_iterations, bool parked = false) {
      for (double us : lengths_us) cells.push_back({name, sized(loop, us, probe_iterations), us, parked});
    };
    if (threads == 1) {  // what the machinery costs when there is nothing to share
      add("1 ns", tiny, {2e3}, 20'000);
      add("100 ns", chained(100), {2e3}, 1000);
    } else {
      add("1 ns", tiny, {20, 200, 2e3, 20e3}, 20'000);
      add("100 ns", chained(100), {20, 200, 2e3}, 1000);
      add("10 us", chained(10e3), {200, 2e3, 20e3}, 10);
      add("1 ms", chained(1e6), {20e3}, 1);
      add("triad", triad, {20, 200}, 20'000);
      cells.push_back({"uneven 1 us", calibrate_uneven(2e3), 2e3});
      cells.push_back({"uneven 1 us", calibrate_uneven(20e3), 20e3});
      // Inner loops of about 1 us and 100 us.
      cells.push_back({"nested 1 us", {.kind = body::nested, .iterations = 2000, .rounds = 1000}, 2e3});
      cells.push_back({"nested 100 us", {.kind = body::nested, .iterations = 20, .rounds = 100'000}, 2e3});
      add("1 ns", tiny, {20, 200, 2e3}, 20'000, true);
      if (!quick) {
        add("1 ns", tiny, {1e6}, 20'000);
        add("1 ms", chained(1e6), {1e6}, 1);
      }
    }
    for (const cell& c : cells) measure(session, all, c, threads);
    triad.iterations = out.size();
    measure_bandwidth(session, all, triad, threads);
  }
  return session.finish();
}
