// process_pool: what calls in other processes cost, one by one and in numbers, with small and large arguments; messages
// and shared memory between processes; what a worker takes.
#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <tutti/base/init.hpp>
#include <vector>

#include "harness/child.hpp"
#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "process_pool/systems.hpp"

namespace {

using bench::better;
using bench::metric;
using bench::process_pool::partner;
using bench::process_pool::pool;

// A pool of Python, and its name in peer_process.py.
struct peer {
  const char* system;
  const char* kind;
};
constexpr peer peers[] = {{"ProcessPoolExecutor", "executor"}, {"multiprocessing.Pool", "pool"}, {"loky", "loky"}};

std::string operator+(std::string text, std::size_t number) { return std::move(text) + std::to_string(number); }

// Adds a subject for each pool of Python: `request`, the kind, `arguments`.
void add_peers(bench::python& python, std::vector<bench::subject>& subjects, const std::string& request,
               const std::string& arguments) {
  if (!python.available()) return;
  for (const peer& p : peers) {
    std::string line = request + " " + p.kind + " " + arguments;
    subjects.push_back({p.system, [&python, line] { return python.ask(line); }});
  }
}

void close(bench::python& python) {
  if (python.available()) python.ask("process_close");
}

// ---------------------------------------------------------------- starting

// The first pool of a program has a helper to start, which forks all later workers: a program of its own measures that.
void start_cases(bench::session& session, bench::python& python) {
  for (bool first : {true, false}) {
    std::string name = first ? "a program's first pool" : "another pool";
    std::vector<metric> metrics = {{name + ", until the first result", "ms"}, {name + ", its end", "ms"}};
    std::vector<bench::subject> subjects;
    subjects.push_back(
        {"tutti", [first] { return first ? bench::probe({"start", "2"}) : bench::process_pool::start_and_end(2); }});
    add_peers(python, subjects, "process_start", "2");
    session.compare(metrics, 2, session.reps(7), std::move(subjects));
  }
}

// ---------------------------------------------------------------- dying

// multiprocessing.Pool starts another worker and never tells of the call.
void death_case(bench::session& session, bench::python& python) {
  std::vector<metric> metrics = {{"a call kills its worker, until its error", "ms"},
                                 {"a call kills its worker, from its error to the next result", "ms"}};
  std::vector<bench::subject> subjects;
  subjects.push_back({"tutti", bench::process_pool::death_and_next});
  if (python.available()) {
    for (const char* kind : {"executor", "loky"}) {
      subjects.push_back({kind == std::string("loky") ? "loky" : "ProcessPoolExecutor",
                          [&python, kind] { return python.ask(std::string("process_death ") + kind); }});
    }
  }
  session.compare(metrics, 2, session.reps(7), std::move(subjects));
}

// ---------------------------------------------------------------- small calls

// Quantiles in microseconds of `count` round trips, each after a pause that lets both sides' spinning end.
template <class RoundTrip>
std::vector<double> round_trips(RoundTrip&& once, int main_cpu, int count, std::chrono::microseconds pause) {
  bench::pin(main_cpu);
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    times.push_back(bench::time_ns(once) * 1e-3);
  }
  bench::unpin();
  return {bench::quantile(times, 0.5), bench::quantile(times, 0.99)};
}

void round_trip_case(bench::session& session, bench::python& python, partner& floor, bool parked, bool same_core) {
  const std::vector<int>& cpus = bench::startup_cpus();
  if (!same_core && cpus.size() < 2) return;
  std::string name =
      std::string("round trip ") + (parked ? "parked" : "hot") + ", " + (same_core ? "same core" : "across cores");
  std::vector<metric> metrics = {{name + ", p50", "us"}, {name + ", p99", "us"}};
  if (!session.wanted(metrics[0].name) && !session.wanted(metrics[1].name)) return;

  int main_cpu = cpus[0], worker_cpu = same_core ? cpus[0] : cpus[1];
  int count = parked ? (session.quick() ? 50 : 300) : (session.quick() ? 2000 : 10'000);
  std::chrono::microseconds pause(parked ? 1000 : 0);
  bench::process_pool::make_tutti(1);  // the helper that forks workers starts with the first pool: not pinned
  bench::pin(main_cpu);                // the pool's threads begin where this one is
  std::shared_ptr<pool> ours = bench::process_pool::make_tutti(1, worker_cpu);
  bench::unpin();
  std::vector<bench::subject> subjects;
  subjects.push_back({"tutti", [=] { return round_trips([&] { ours->round_trip(); }, main_cpu, count, pause); }});
  auto add_floor = [&](const char* system, bool spins) {
    subjects.push_back({system, [=, &floor] {
                          floor.prepare(worker_cpu, spins);
                          auto times = round_trips([&] { floor.round_trip(); }, main_cpu, count, pause);
                          floor.prepare(worker_cpu, false);  // spinning it would eat the others' time
                          return times;
                        }});
  };
  add_floor("futex (floor)", false);
  if (!parked && !same_core) add_floor("spinning (floor)", true);
  add_peers(python, subjects, "process_round_trip",
            std::to_string(parked ? count : count / 10) + " " + std::to_string(pause.count()) + " " +
                std::to_string(main_cpu) + " " + std::to_string(worker_cpu));
  session.compare(metrics, 1, session.reps(7), std::move(subjects));
  close(python);
}

// Empty tasks per second. Python does fewer of them where each is a task: its rate does not depend on that.
void throughput_cases(bench::session& session, bench::python& python, int workers) {
  std::size_t count = session.quick() ? 10'000 : 100'000, slow = session.quick() ? 1000 : 5000;
  std::shared_ptr<pool> ours;
  auto run = [&](const char* name, const std::string& request, const std::string& arguments, auto work) {
    if (!session.wanted(name)) return;
    if (ours == nullptr) ours = bench::process_pool::make_tutti(workers);
    std::vector<bench::subject> subjects;
    subjects.push_back(bench::single("tutti", [ours, count, work] {
      return static_cast<double>(count) * 1e9 / bench::time_ns([&] { work(*ours, count); });
    }));
    add_peers(python, subjects, request, std::to_string(workers) + " " + arguments);
    session.compare(metric{name, "tasks/s", better::more}, workers, session.reps(5), std::move(subjects));
  };
  run("submit with a future", "process_each", std::to_string(slow), [](pool& p, std::size_t n) { p.submit_each(n); });
  run("map, a task per element", "process_map", std::to_string(slow) + " 1",
      [](pool& p, std::size_t n) { p.map(n, 1); });
  run("map, chunks of its own choice", "process_map", std::to_string(count) + " 0",
      [](pool& p, std::size_t n) { p.map(n, 0); });
  close(python);
}

// Random points in a circle, 10^4 of them, a task each or as the system likes.
void pi_case(bench::session& session, bench::python& python, int workers, bool chunked) {
  const char* name = chunked ? "pi of 10^4 points, chunks of its own choice" : "pi of 10^4 points, a task each";
  if (!session.wanted(name)) return;
  constexpr std::size_t count = 10'000;
  const std::size_t chunk = chunked ? 0 : 1;
  std::shared_ptr<pool> ours = bench::process_pool::make_tutti(workers);
  const std::int64_t expected = ours->hits(count, 0);
  if (std::abs(4.0 * static_cast<double>(expected) / count - 3.14159) > 0.1) throw std::runtime_error("pi is wrong");
  std::vector<bench::subject> subjects;
  subjects.push_back(bench::single("tutti", [=] {
    return bench::time_ns([&] {
             if (ours->hits(count, chunk) != expected) throw std::runtime_error("points were lost");
           }) *
           1e-6;
  }));
  add_peers(python, subjects, "process_hits",
            std::to_string(workers) + " " + std::to_string(count) + " " + std::to_string(chunk) + " " +
                std::to_string(expected));
  session.compare(metric{name, "ms"}, workers, session.reps(5), std::move(subjects));
  close(python);
}

// ---------------------------------------------------------------- arrays

constexpr std::size_t array_size = 12'500'000;  // doubles: 100 MB

void by_value_case(bench::session& session, bench::python& python) {
  const char* name = "100 MB there and back, by value";
  if (!session.wanted(name)) return;
  std::shared_ptr<pool> ours = bench::process_pool::make_tutti(1);
  auto array = std::make_shared<std::vector<double>>(array_size);
  for (std::size_t i = 0; i < array_size; ++i) (*array)[i] = static_cast<double>(i);
  std::vector<bench::subject> subjects;
  subjects.push_back(bench::single("tutti", [=] {
    const double ns = bench::time_ns([&] { *array = ours->by_value(std::move(*array)); });
    if (array->size() != array_size || array->front() != 0 || array->back() != array_size - 1)
      throw std::runtime_error("the array is wrong");
    return ns * 1e-6;
  }));
  add_peers(python, subjects, "process_by_value", std::to_string(array_size));
  if (python.available()) {
    std::string line = std::string("process_by_value joblib ") + array_size;
    subjects.push_back({"joblib.Parallel", [&python, line] { return python.ask(line); }});
  }
  session.compare(metric{name, "ms"}, 1, session.reps(5, 1), std::move(subjects));
  close(python);
}

void by_handle_case(bench::session& session, bench::python& python) {
  const char* name = "100 MB there and back, by handle";
  if (!session.wanted(name)) return;
  std::shared_ptr<bench::process_pool::shared_doubles> array = bench::process_pool::make_shared_doubles(array_size);
  std::shared_ptr<pool> ours = bench::process_pool::make_tutti(1);
  constexpr int count = 100;
  std::vector<bench::subject> subjects;
  subjects.push_back(bench::single("tutti", [=] {
    const double before = array->first_and_last();
    const double ns = bench::mean_ns(count, [&] { array->there_and_back(*ours); });
    if (array->first_and_last() != before + 2 * count) throw std::runtime_error("a write was lost");
    return ns * 1e-6;
  }));
  add_peers(python, subjects, "process_by_handle", std::to_string(array_size) + " " + std::to_string(count));
  session.compare(metric{name, "ms"}, 1, session.reps(5), std::move(subjects));
  close(python);
}

// ---------------------------------------------------------------- messages, counters

void message_case(bench::session& session, bench::python& python, bool blobs) {
  using bench::process_pool::by;
  const char* name = blobs ? "messages of 1 MB" : "small messages";
  if (!session.wanted(name)) return;
  const std::vector<int>& cpus = bench::startup_cpus();
  int main_cpu = cpus[0], sender_cpu = cpus[std::min<std::size_t>(1, cpus.size() - 1)];
  const double seconds = session.quick() ? 0.05 : 0.2;
  std::vector<bench::subject> subjects;
  auto add = [&](const char* system, by what) {
    std::shared_ptr<bench::process_pool::sender> ours = bench::process_pool::make_sender(what, sender_cpu);
    subjects.push_back(bench::sized(system, seconds, [=](std::size_t count) -> std::vector<double> {
      bench::pin(main_cpu);
      const double rate = blobs ? ours->blobs(count) : ours->numbers(count);
      bench::unpin();
      return {rate};
    }));
  };
  add("tutti", by::queue);
  add("tutti, process_channel", by::channel);
  if (python.available()) {
    for (const char* kind : {"Queue", "Pipe"}) {
      std::string rest = std::string(" ") + kind + (blobs ? " 1000000 " : " 0 ") + std::to_string(main_cpu) + " " +
                         std::to_string(sender_cpu);
      subjects.push_back(
          bench::sized(std::string("multiprocessing.") + kind, seconds, [&python, rest](std::size_t count) {
            return python.ask("process_messages " + std::to_string(count) + rest);
          }));
    }
  }
  session.compare(metric{name, blobs ? "GB/s" : "million/s", better::more}, 1, session.reps(5), std::move(subjects));
}

void counter_case(bench::session& session, bench::python& python) {
  const char* name = "additions to a shared number by 4 processes";
  if (!session.wanted(name)) return;
  constexpr int processes = 4;
  const double seconds = session.quick() ? 0.05 : 0.2;
  std::vector<bench::subject> subjects;
  std::shared_ptr<bench::process_pool::counter> ours = bench::process_pool::make_counter(processes);
  subjects.push_back(
      bench::sized("tutti", seconds, [ours](std::size_t count) { return std::vector<double>{ours->add(count)}; }));
  if (python.available()) {
    subjects.push_back(bench::sized("multiprocessing.Value", seconds, [&python](std::size_t count) {
      return python.ask("process_count " + std::to_string(count) + " " + std::to_string(processes));
    }));
  }
  session.compare(metric{name, "million/s", better::more}, processes, session.reps(5), std::move(subjects));
}

// ---------------------------------------------------------------- memory

// Means in KiB of processes that have nothing to do.
template <class Pids>
std::vector<double> memory_of(const Pids& pids) {
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  double alone = 0, share = 0;
  for (const auto pid : pids) {
    const bench::process_memory one = bench::memory_of(static_cast<pid_t>(pid));
    if (one.share_kib == 0) throw std::runtime_error("a worker has no memory: it is gone");
    alone += static_cast<double>(one.private_kib);
    share += static_cast<double>(one.share_kib);
  }
  const auto count = static_cast<double>(pids.size());
  return {alone / count, share / count};
}

void memory_case(bench::session& session) {
  constexpr int workers = 2;
  std::vector<metric> metrics = {{"memory of an idle worker, its own", "KiB"},
                                 {"memory of an idle worker, with its share of what others have too", "KiB"}};
  if (!session.wanted(metrics[0].name) && !session.wanted(metrics[1].name)) return;
  std::vector<bench::subject> subjects;
  subjects.push_back({"tutti", [] { return memory_of(bench::process_pool::make_tutti(workers)->pids()); }});
  for (const peer& p : peers) {
    std::string line = std::string("process_pids ") + p.kind + " " + std::to_string(workers);
    subjects.push_back({p.system, [line] {
                          bench::python fresh;  // what an interpreter has loaded for others, its children have, too
                          return memory_of(fresh.ask(line));
                        }});
  }
  session.compare(metrics, workers, session.reps(3, 1), std::move(subjects), false);
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);  // first: workers are this program, too
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 2) {
    for (double ms : bench::process_pool::start_and_end(std::stoi(args[1]))) std::printf("%.9g\n", ms);
    return 0;
  }
  bench::session session("process_pool", argc, argv);
  partner floor;  // before there are threads
  bench::python python;
  memory_case(session);
  start_cases(session, python);
  death_case(session, python);
  for (bool parked : {false, true}) {
    for (bool same_core : {false, true}) round_trip_case(session, python, floor, parked, same_core);
  }
  for (int workers : {1, 2}) throughput_cases(session, python, workers);
  for (bool chunked : {false, true}) pi_case(session, python, 2, chunked);
  by_value_case(session, python);
  by_handle_case(session, python);
  for (bool blobs : {false, true}) message_case(session, python, blobs);
  counter_case(session, python);
  return session.finish();
}
