// idle: what a pool costs while it has nothing to do, and whether its memory stays flat over many tasks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "harness/child.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "idle/systems.hpp"

namespace {

using bench::idle::system;

struct competitor {
  const char* name;
  bench::idle::factory make;
};

constexpr competitor competitors[] = {{"tutti", bench::idle::make_tutti},
                                      {"oneTBB", bench::idle::make_tbb},
                                      {"OpenMP", bench::idle::make_openmp},
                                      {"asio", bench::idle::make_asio}};

std::unique_ptr<system> make(const std::string& name, int threads) {
  for (const competitor& c : competitors) {
    if (name == c.name) return c.make(threads);
  }
  return nullptr;
}

using milliseconds = std::chrono::milliseconds;

// A wake-up of an idle thread shows as a voluntary context switch: it ran, found nothing and slept again.
int wakeups_probe(const std::string& name, int threads, int watch_ms) {
  std::unique_ptr<system> pool = make(name, threads);  // none: the empty program
  if (pool != nullptr) pool->run(10'000);
  std::this_thread::sleep_for(milliseconds(300));  // spinning and other after-effects end
  long before = bench::context_switches().voluntary;
  double cpu = bench::own_cpu_seconds();
  std::this_thread::sleep_for(milliseconds(watch_ms));
  double used = bench::own_cpu_seconds() - cpu;
  long own = 1;  // this thread's sleep
  long woken = std::max(0L, bench::context_switches().voluntary - before - own);
  std::printf("%.9g\n%.9g\n", static_cast<double>(woken) * 1e3 / watch_ms, used * 1e6 * 1e3 / watch_ms);
  return 0;
}

// Growth between a tenth of the tasks and all of them, in batches that are waited for.
int memory_probe(const std::string& name, int threads, long tasks) {
  std::unique_ptr<system> pool = make(name, threads);
  constexpr long batch = 10'000;
  long early = 0;
  for (long done = 0; done < tasks; done += batch) {
    pool->run(batch);
    if (done + batch == tasks / 10) early = bench::resident_kib();
  }
  std::printf("%ld\n", bench::resident_kib() - early);
  return 0;
}

// The interpreter's own threads do not count: it has none when idle but the one that reads the next request.
std::vector<double> python_wakeups(bench::python& python, int threads, int watch_ms) {
  python.ask("idle " + std::to_string(threads));
  std::this_thread::sleep_for(milliseconds(300));
  long before = bench::context_switches(python.pid()).voluntary;
  std::this_thread::sleep_for(milliseconds(watch_ms));
  return {static_cast<double>(bench::context_switches(python.pid()).voluntary - before) * 1e3 / watch_ms};
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 4) {
    return args[0] == "wakeups" ? wakeups_probe(args[1], std::stoi(args[2]), std::stoi(args[3]))
                                : memory_probe(args[1], std::stoi(args[2]), std::stol(args[3]));
  }
  bench::session session("idle", argc, argv);
  int watch_ms = session.quick() ? 500 : 1000;
  for (int threads : {2, 8}) {
    std::vector<bench::subject> subjects;
    auto probe = [&](const std::string& name) {
      subjects.push_back(
          {name, [=] { return bench::probe({"wakeups", name, std::to_string(threads), std::to_string(watch_ms)}); }});
    };
    for (const competitor& c : competitors) {
      if (c.make(1) != nullptr) probe(c.name);
    }
    probe("empty program (floor)");
    std::shared_ptr<bench::python> python = std::make_shared<bench::python>();
    if (python->available()) {
      subjects.push_back({"ThreadPoolExecutor", [=] { return python_wakeups(*python, threads, watch_ms); }});
    }
    session.compare(std::vector<bench::metric>{{"wake-ups of an idle pool", "1/s"}, {"CPU of an idle pool", "us/s"}},
                    threads, session.reps(2, 1), std::move(subjects), false);
  }
  long tasks = session.quick() ? 1'000'000 : 10'000'000;
  std::string name = "memory growth over 10^" + std::string(session.quick() ? "6" : "7") + " tasks";
  if (session.wanted(name)) {
    std::vector<bench::subject> subjects;
    for (const competitor& c : competitors) {
      if (c.make(1) == nullptr) continue;
      subjects.push_back({c.name, [=] { return bench::probe({"memory", c.name, "2", std::to_string(tasks)}); }});
    }
    session.compare(bench::metric{name, "KiB"}, 2, 3, std::move(subjects), false);
  }
  return session.finish();
}
