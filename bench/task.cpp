// task: what coroutines cost: starting, awaiting and switching them, timers, generators, memory while they sleep.
#include <cstdio>
#include <stdexcept>

#include "harness/child.hpp"
#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "task/systems.hpp"

namespace {

using bench::task::factory;
using bench::task::system;

struct competitor {
  const char* name;
  factory make;
};

constexpr competitor competitors[] = {{"tutti", bench::task::make_tutti},
                                      {"asio", bench::task::make_asio},
                                      {"raw coroutines (floor)", bench::task::make_raw}};

struct task_case {
  const char* name;
  const char* unit;
  bench::task::sum (system::*run)(std::size_t);
  std::size_t count, quick_count;
  int repetitions;
  const char* python;                // the case of peer.py
  std::vector<const char*> pythons;  // the systems there
};

const std::vector<const char*> loops = {"asyncio", "uvloop"};

const task_case cases[] = {
    {"spawn and await", "ns/task", &system::spawn, 100'000, 10'000, 7, "spawn", loops},
    {"await a child", "ns/await", &system::await_child, 1'000'000, 100'000, 7, "await_child", {"asyncio"}},
    {"switch between two tasks", "ns/switch", &system::take_turns, 200'000, 20'000, 7, "take_turns", loops},
    {"when_all of 10^5", "ns/task", &system::when_all, 100'000, 100'000, 7, "when_all", loops},
    {"timer insert and cancel", "ns/timer", &system::timers, 1'000'000, 100'000, 3, "timers", loops},
    {"generator step", "ns/step", &system::generate, 10'000'000, 1'000'000, 7, "generate", {"Python"}}};

double time_per_operation(system& s, const task_case& what, std::size_t count) {
  bench::task::sum total;
  double ns = bench::time_ns([&] { total = (s.*what.run)(count); });
  if (total != count * (count - 1) / 2) throw std::runtime_error("its sum is wrong");
  return ns / static_cast<double>(count);
}

void run_case(bench::session& session, bench::python& python, const task_case& what, int threads) {
  if (!session.wanted(what.name)) return;
  std::size_t count = session.quick() ? what.quick_count : what.count;
  std::vector<bench::subject> subjects;
  for (const competitor& c : competitors) {
    std::shared_ptr<system> s = c.make(threads);
    if (!((*s).*what.run)(10)) continue;
    subjects.push_back(bench::single(c.name, [s, &what, count] { return time_per_operation(*s, what, count); }));
  }
  for (const char* name : what.pythons) {
    if (threads > 1 || !python.available()) continue;
    std::string request = std::string(what.python) + " " + std::to_string(count) + " " + name;
    subjects.push_back(bench::single(name, [&python, request] { return python.ask(request).at(0); }));
  }
  session.compare(bench::metric{what.name, what.unit}, threads, session.reps(what.repetitions), std::move(subjects));
}

// In a fresh process: bytes by which resident memory grows per task, after a few that set up what is shared.
int memory_probe(const std::string& name, std::size_t count) {
  for (const competitor& c : competitors) {
    if (name != c.name) continue;
    std::unique_ptr<system> s = c.make(1);
    s->sleepers(10, [] {});
    long before = bench::resident_kib(), after = before;
    if (s->sleepers(count, [&] { after = bench::resident_kib(); }) != count) return 1;
    std::printf("%.9g\n", static_cast<double>(after - before) * 1024 / static_cast<double>(count));
    return 0;
  }
  return 1;
}

void memory_case(bench::session& session, const bench::python& python) {
  const bench::metric what = {"memory per suspended task", "bytes"};
  if (!session.wanted(what.name)) return;
  const std::string count = "100000";
  std::vector<bench::subject> subjects;
  for (const competitor& c : competitors) {
    if (c.make(1)->sleepers(1, [] {}) == 0) continue;
    subjects.push_back({c.name, [=] { return bench::probe({"sleepers", c.name, count}); }});
  }
  for (const char* name : loops) {
    if (!python.available()) continue;
    subjects.push_back({name, [=] {
                          bench::python fresh;
                          return fresh.ask("sleepers " + count + " " + name);
                        }});
  }
  session.compare(what, 1, session.reps(3, 1), std::move(subjects), false);
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 3)
    return memory_probe(args[1], std::stoul(args[2]));
  bench::session session("task", argc, argv);
  bench::python python;
  for (const task_case& what : cases) {
    run_case(session, python, what, 1);
    if (what.run == &system::when_all) run_case(session, python, what, 2);
  }
  memory_case(session, python);
  return session.finish();
}
