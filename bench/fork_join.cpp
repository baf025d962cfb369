// fork_join: the cost of a fork, of a huge tree of tiny tasks, and how well few long tasks spread over the workers.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "fork_join/systems.hpp"
#include "harness/child.hpp"
#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "harness/work.hpp"

namespace {

using bench::fork_join::factory;
using bench::fork_join::system;

struct competitor {
  const char* name;
  factory make;
};

constexpr competitor tutti_{"tutti", bench::fork_join::make_tutti};
constexpr competitor tbb_{"oneTBB", bench::fork_join::make_tbb};
constexpr competitor openmp_{"OpenMP", bench::fork_join::make_openmp};
constexpr competitor async_{"std::async", bench::fork_join::make_async};
constexpr competitor asio_{"asio", bench::fork_join::make_asio};

using systems = std::vector<std::pair<const char*, std::shared_ptr<system>>>;

systems make(std::initializer_list<competitor> wanted, int threads) {
  systems made;
  for (const competitor& c : wanted) {
    if (std::shared_ptr<system> s = c.make(threads)) made.emplace_back(c.name, std::move(s));
  }
  return made;
}

void expect(std::uint64_t got, std::uint64_t right, const char* who) {
  if (got != right) throw std::runtime_error(std::string(who) + " computed a wrong result");
}

// Core-nanoseconds per call: what the fork costs, whatever the number of threads.
void fib_case(bench::session& session, int n, int threads, int repetitions, std::initializer_list<competitor> who) {
  std::string name = "fib(" + std::to_string(n) + ")";
  if (!session.wanted(name)) return;
  std::vector<bench::subject> subjects;
  for (auto& [label, s] : make(who, threads)) {
    subjects.push_back(bench::single(label, [n, threads, label, s] {
      std::uint64_t result = 0;
      double ns = bench::time_ns([&] { result = s->fib(n); });
      expect(result, bench::fork_join::fib_value(n), label);
      return ns * threads / static_cast<double>(bench::fork_join::fib_calls(n));
    }));
  }
  session.compare({name, "core-ns/call"}, threads, repetitions, std::move(subjects), n < 35);
}

std::uint64_t skynet_value(int depth) {
  std::uint64_t size = 1;
  for (int i = 0; i < depth; ++i) size *= 10;
  return size * (size - 1) / 2;
}

// Each repetition is a fresh process, so that peak memory is its own: {seconds, KiB}.
int skynet_probe(const std::string& who, int depth, int threads) {
  double seconds = 0;
  for (const competitor& c : {tutti_, tbb_, openmp_}) {
    if (who != c.name) continue;
    std::unique_ptr<system> s = c.make(threads);
    std::uint64_t result = 0;
    seconds = bench::time_ns([&] { result = s->skynet(depth); }) * 1e-9;
    expect(result, skynet_value(depth), c.name);
    std::printf("%.9g\n%ld\n", seconds, bench::peak_kib());
    return 0;
  }
  std::printf("0\n%ld\n", bench::peak_kib());  // the empty program
  return 0;
}

void skynet_case(bench::session& session, int depth, int threads, int repetitions,
                 std::initializer_list<competitor> who) {
  std::string name = "skynet 10^" + std::to_string(depth);
  if (!session.wanted(name)) return;
  auto run = [=](std::string system) {
    return bench::probe({"skynet", std::move(system), std::to_string(depth), std::to_string(threads)});
  };
  std::vector<double> empty;
  for (int i = 0; i < 5; ++i) empty.push_back(run("empty").at(1));
  double floor_kib = bench::quantile(empty);
  std::vector<bench::subject> subjects;
  for (const competitor& c : who) {
    if (c.make(1) == nullptr) continue;
    subjects.push_back({c.name, [=, name = std::string(c.name)] {
                          std::vector<double> got = run(name);
                          return std::vector<double>{got.at(0) * 1e3, (got.at(1) - floor_kib) / 1024 / threads};
                        }});
  }
  session.compare({{name, "ms"}, {name + ", memory above an empty program", "MiB/worker"}}, threads, repetitions,
                  std::move(subjects), false);
}

// N leaves of 10 ms on N workers take 10 ms when the tree spreads at once.
void tree_case(bench::session& session, bench::python& python, bool busy, int workers, int repetitions) {
  std::string name = std::string("tree of 10 ms leaves, ") + (busy ? "busy" : "sleeping");
  if (!session.wanted(name)) return;
  std::function<void()> leaf;
  if (busy) {
    leaf = [rounds = bench::rounds_for(10e6)] { bench::keep(bench::chain(1, rounds)); };
  } else {
    leaf = [] { std::this_thread::sleep_for(std::chrono::milliseconds(10)); };
  }
  std::vector<bench::subject> subjects;
  for (auto& [label, s] : make({tutti_, tbb_, openmp_, async_, asio_}, workers)) {
    subjects.push_back(
        bench::single(label, [s, workers, leaf] { return bench::time_ns([&] { s->tree(workers, leaf); }) * 1e-6; }));
  }
  if (!busy && python.available()) {
    subjects.push_back(bench::single("ThreadPoolExecutor", [&python, workers] {
      return python.ask("sleep_tree " + std::to_string(workers) + " " + std::to_string(workers) + " 10").at(0);
    }));
  }
  subjects.push_back(bench::single("one leaf alone (ideal)", [leaf] { return bench::time_ns(leaf) * 1e-6; }));
  session.compare({name, "ms"}, workers, repetitions, std::move(subjects));
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 4) {
    return skynet_probe(args[1], std::stoi(args[2]), std::stoi(args[3]));
  }
  bench::session session("fork_join", argc, argv);
  bool quick = session.quick();
  for (int threads : bench::thread_counts()) {
    if (quick) {
      fib_case(session, 30, threads, 3, {tutti_, tbb_});
    } else {
      fib_case(session, 38, threads, 3, {tutti_, tbb_});
    }
    // The slower forks, on trees that they can stand.
    fib_case(session, quick ? 22 : 27, threads, session.reps(5), {tutti_, tbb_, openmp_});
    fib_case(session, quick ? 14 : 18, threads, session.reps(5), {tutti_, tbb_, openmp_, async_});
  }
  for (int threads : bench::thread_counts()) {
    skynet_case(session, quick ? 5 : 6, threads, session.reps(5), {tutti_, tbb_, openmp_});
    skynet_case(session, quick ? 6 : 8, threads, session.reps(3), {tutti_, tbb_});
  }
  bench::python python;
  for (bool busy : {true, false}) {
    for (int workers : bench::thread_counts()) {
      if (workers > 1) tree_case(session, python, busy, workers, session.reps(15, 5));
    }
  }
  for (int workers : {8, 32}) tree_case(session, python, false, workers, session.reps(15, 5));
  return session.finish();
}
