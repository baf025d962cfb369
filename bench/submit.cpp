// submit: what an empty task costs, in bursts and as a round trip to another thread, whose placement is stated.
#include <chrono>
#include <thread>

#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "submit/systems.hpp"

namespace {

using bench::submit::factory;
using bench::submit::system;

struct competitor {
  const char* name;
  factory make;
};

constexpr competitor pools[] = {{"tutti", bench::submit::make_tutti},
                                {"oneTBB", bench::submit::make_tbb},
                                {"asio", bench::submit::make_asio},
                                {"OpenMP", bench::submit::make_openmp},
                                {"std::async", bench::submit::make_async}};
constexpr competitor floors[] = {{"futex (floor)", bench::submit::make_futex},
                                 {"spinning (floor)", bench::submit::make_spin}};

struct burst {
  const char* name;
  bool (system::*run)(std::size_t);
  const char* python;  // the case of peer.py, or null
};

constexpr burst bursts[] = {{"post from outside", &system::post_outside, nullptr},
                            {"post from a worker", &system::post_inside, nullptr},
                            {"submit with a future", &system::futures, "submit"},
                            {"submit in bulk", &system::bulk, "bulk"}};

void burst_case(bench::session& session, bench::python& python, const burst& what, int threads) {
  if (!session.wanted(what.name)) return;
  std::size_t count = session.quick() ? 20'000 : 200'000;
  std::vector<bench::subject> subjects;
  for (const competitor& c : pools) {
    std::shared_ptr<system> s = c.make(threads);
    if (s == nullptr || !((*s).*what.run)(100)) continue;
    std::size_t n = std::string_view(c.name) == "std::async" ? 1000 : count;  // threads are too slow for more
    subjects.push_back(bench::single(
        c.name, [s, what, n] { return bench::time_ns([&] { ((*s).*what.run)(n); }) / static_cast<double>(n); }));
  }
  if (what.python != nullptr && python.available()) {
    std::string request = std::string(what.python) + " " + std::to_string(threads) + " 10000";
    subjects.push_back(bench::single("ThreadPoolExecutor", [&python, request] { return python.ask(request).at(0); }));
  }
  session.compare(bench::metric{what.name, "ns/task"}, threads, session.reps(7), std::move(subjects));
}

// Quantiles in microseconds of `count` round trips, each after a pause that lets both sides' spinning end.
std::vector<double> round_trips(system& s, int count, std::chrono::microseconds pause) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    times.push_back(bench::time_ns([&] { s.round_trip(); }) * 1e-3);
  }
  return {bench::quantile(times, 0.5), bench::quantile(times, 0.99)};
}

void round_trip_case(bench::session& session, bench::python& python, bool parked, bool same_core) {
  const std::vector<int>& cpus = bench::startup_cpus();
  if (!same_core && cpus.size() < 2) return;
  std::string name =
      std::string("round trip ") + (parked ? "parked" : "hot") + ", " + (same_core ? "same core" : "across cores");
  std::vector<bench::metric> metrics = {{name + ", p50", "us"}, {name + ", p99", "us"}};
  if (!session.wanted(metrics[0].name) && !session.wanted(metrics[1].name)) return;

  int main_cpu = cpus[0], worker_cpu = same_core ? cpus[0] : cpus[1];
  int count = parked ? (session.quick() ? 30 : 200) : (session.quick() ? 1000 : 5000);
  std::chrono::microseconds pause(parked ? 1000 : 0);
  std::vector<bench::subject> subjects;
  auto add = [&](const competitor& c) {
    std::shared_ptr<system> s = c.make(1);
    if (s == nullptr || !s->round_trip()) return;
    if (!s->pin_worker(worker_cpu)) {
      if (!same_core) return;  // a thread per task starts where its maker is: there is no across
    }
    bool slow = std::string_view(c.name) == "std::async";
    subjects.push_back({c.name, [=] {
                          bench::pin(main_cpu);
                          std::vector<double> result = round_trips(*s, slow ? std::min(count, 200) : count, pause);
                          bench::unpin();
                          return result;
                        }});
  };
  for (const competitor& c : pools) add(c);
  add(floors[0]);
  // A spinning partner would eat the time of every other system, so it is made and ended within its own turn.
  if (!parked && !same_core) {
    subjects.push_back({floors[1].name, [=] {
                          auto s = floors[1].make(1);
                          s->pin_worker(worker_cpu);
                          bench::pin(main_cpu);
                          std::vector<double> result = round_trips(*s, count, pause);
                          bench::unpin();
                          return result;
                        }});
  }
  if (python.available()) {
    std::string request = "round_trip " + std::to_string(parked ? count : count / 10) + " " +
                          std::to_string(pause.count()) + " " + std::to_string(main_cpu) + " " +
                          std::to_string(worker_cpu);
    subjects.push_back({"ThreadPoolExecutor", [&python, request] { return python.ask(request); }});
  }
  session.compare(metrics, 1, session.reps(7), std::move(subjects));
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("submit", argc, argv);
  bench::python python;
  for (int threads : bench::thread_counts()) {
    for (const burst& what : bursts) burst_case(session, python, what, threads);
  }
  for (bool parked : {false, true}) {
    for (bool same_core : {false, true}) round_trip_case(session, python, parked, same_core);
  }
  return session.finish();
}
