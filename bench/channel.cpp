// channel: numbers sent between threads and between coroutines, by shape and capacity; rings, select, memory.
#include <cstdio>
#include <string>
#include <string_view>

#include "channel/systems.hpp"
#include "harness/child.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"

namespace {

using bench::better;
using bench::placement;
using namespace bench::channel;

double seconds(const bench::session& session) { return session.quick() ? 0.01 : 0.1; }

std::string text(std::size_t capacity) {
  if (capacity == no_limit) return "room for all";
  return capacity == 0 ? "rendezvous" : "capacity " + std::to_string(capacity);
}

// --- shapes -----------------------------------------------------------------------------------------------------

std::string name(const traffic& t) {
  const char* by = t.by == sides::ends ? " ends, " : t.by == sides::coroutines ? " coroutines, " : " threads, ";
  return std::to_string(t.writers) + ":" + std::to_string(t.readers) + by + text(t.capacity) +
         (t.where == placement::one_core ? ", same core" : "");
}

void stream_case(bench::session& session, bench::python& python, const traffic& t) {
  if (!session.wanted(name(t))) return;
  std::vector<bench::subject> subjects;
  for (auto of : {of_tutti, of_tutti_coroutines, of_std, of_tbb, of_moodycamel, of_asio, of_lockfree}) {
    for (const stream& s : of()) {
      if (!s.has(t)) continue;
      subjects.push_back(bench::sized(s.system, seconds(session),
                                      [s, t](std::size_t count) { return std::vector<double>{s.run(t, count)}; }));
    }
  }
  if (python.available() && t.by != sides::coroutines && t.writers == 1 && t.readers == 1 && t.capacity > 0) {
    subjects.push_back(bench::sized("queue.Queue", seconds(session), [&python, t](std::size_t count) {
      return python.ask("queue_stream " + std::to_string(count) + (t.where == placement::one_core ? " 1 " : " 2 ") +
                        std::to_string(t.capacity == no_limit ? 0 : t.capacity));
    }));
  }
  const int threads = t.by == sides::coroutines ? 2 : t.writers + t.readers;
  session.compare({name(t), "million/s", better::more}, threads, session.reps(7), std::move(subjects));
}

void stream_cases(bench::session& session, bench::python& python) {
  constexpr std::size_t capacities[] = {0, 1, 64, 1024, no_limit};
  constexpr std::pair<int, int> shapes[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}};
  for (auto [writers, readers] : shapes) {
    for (std::size_t capacity : capacities) stream_case(session, python, {sides::threads, writers, readers, capacity});
  }
  for (std::size_t capacity : capacities) stream_case(session, python, {sides::ends, 1, 1, capacity});
  // Where each element needs a wake-up, it matters most where the other one is.
  for (std::size_t capacity : {0UL, 1UL})
    stream_case(session, python, {sides::threads, 1, 1, capacity, placement::one_core});
  for (auto [writers, readers] : shapes) {
    for (std::size_t capacity : {0UL, 1UL, 64UL, 1024UL})
      stream_case(session, python, {sides::coroutines, writers, readers, capacity});
  }
}

void commstime_case(bench::session& session, placement where) {
  std::string title = std::string("commstime, threads, ") + (where == placement::one_core ? "same core" : "2 cores");
  auto add = [&](const char* system, double (*run)(std::size_t, placement)) {
    return bench::sized(system, seconds(session),
                        [=](std::size_t count) { return std::vector<double>{run(count, where)}; });
  };
  session.compare({title, "ns/communication"}, 4, session.reps(7),
                  {add("tutti", tutti_commstime), add("std::mutex, condition_variable", std_commstime)});
}

// --- coroutines -------------------------------------------------------------------------------------------------

// `python` is the request, with the system last; empty: none.
void coroutine_case(bench::session& session, bench::python& python, const bench::metric& what,
                    const std::function<std::optional<double>(coroutines&, std::size_t)>& run,
                    const std::string& request = {}, const std::string& argument = {}) {
  if (!session.wanted(what.name)) return;
  std::vector<bench::subject> subjects;
  auto add = [&](const char* system, coroutines& all) {
    if (!run(all, 8)) return;
    subjects.push_back(bench::sized(system, seconds(session), [run, &all](std::size_t count) {
      return std::vector<double>{run(all, count).value()};
    }));
  };
  add("tutti", one_thread_of_tutti());
  add("asio channel", one_thread_of_asio());
  for (const char* loop : {"asyncio", "uvloop"}) {
    if (request.empty() || !python.available()) continue;
    std::string system = std::string("asyncio.Queue") + (std::string_view(loop) == "uvloop" ? ", uvloop" : "");
    subjects.push_back(bench::sized(system, seconds(session), [&python, request, argument, loop](std::size_t count) {
      return python.ask(request + " " + std::to_string(count) + " 1 " + argument + " " + loop);
    }));
  }
  session.compare(what, 1, session.reps(7), std::move(subjects));
}

void coroutine_cases(bench::session& session, bench::python& python) {
  for (std::size_t capacity : {0UL, 1UL, 64UL, 1024UL}) {
    coroutine_case(
        session, python, {"coroutines of one thread, " + text(capacity), "million/s", better::more},
        [capacity](coroutines& all, std::size_t count) { return all.send(capacity, count); },
        capacity == 0 ? "" : "async_stream", std::to_string(capacity));
  }
  coroutine_case(
      session, python, {"coroutines of one thread, ping-pong", "ns/round trip"},
      [](coroutines& all, std::size_t count) { return all.ping_pong(count); }, "async_turns");
  coroutine_case(session, python, {"commstime, coroutines of one thread", "ns/communication"},
                 [](coroutines& all, std::size_t count) { return all.commstime(count); });
  for (std::size_t channels : {2UL, 8UL, 64UL}) {
    coroutine_case(session, python,
                   {"select, coroutines of one thread, " + std::to_string(channels) + " channels", "ns/element"},
                   [channels](coroutines& all, std::size_t count) { return all.select(channels, count); });
  }
}

// --- memory -----------------------------------------------------------------------------------------------------

constexpr std::pair<const char*, idle> idles[] = {{"tutti", tutti_idle},
                                                  {"asio channel", asio_idle},
                                                  {"oneTBB concurrent_bounded_queue", tbb_idle},
                                                  {"std::mutex, condition_variable, deque", std_idle}};
constexpr std::pair<const char*, waiters> waits[] = {{"tutti", tutti_waiters}, {"asio channel", asio_waiters}};

// In a fresh process: bytes by which resident memory grows per channel or waiter, after a few that set up what is
// shared.
int memory_probe(const std::string& what, const std::string& system, std::size_t count, std::size_t capacity) {
  long before = 0, after = 0;
  for (auto [name, hold] : idles) {
    if (what != "idle" || system != name) continue;
    hold(10, capacity, [] {});
    before = bench::resident_kib();
    hold(count, capacity, [&] { after = bench::resident_kib(); });
  }
  for (auto [name, wait] : waits) {
    if (what != "waiters" || system != name) continue;
    wait(10, [] {});
    before = bench::resident_kib();
    if (wait(count, [&] { after = bench::resident_kib(); }) != count) return 1;
  }
  if (before == 0) return 1;
  std::printf("%.9g\n", static_cast<double>(after - before) * 1024 / static_cast<double>(count));
  return 0;
}

void idle_case(bench::session& session, const bench::python& python, std::size_t capacity) {
  const bench::metric what = {"memory per idle channel, " + text(capacity), "bytes"};
  if (!session.wanted(what.name)) return;
  const std::string count = "20000", room = std::to_string(capacity);
  std::vector<bench::subject> subjects;
  for (auto [name, hold] : idles) {
    // Without room the deque's class is another one, and oneTBB's needs some.
    if (capacity == 0 && (hold == tbb_idle || hold == std_idle)) continue;
    subjects.push_back({name, [=, system = name] { return bench::probe({"idle", system, count, room}); }});
  }
  for (const char* kind : {"queue.Queue", "asyncio.Queue"}) {
    if (!python.available() || capacity == 0) continue;
    subjects.push_back({kind, [=] {
                          bench::python fresh;
                          return fresh.ask("idle_queues " + count + " " + room + " " + kind);
                        }});
  }
  session.compare(what, 1, session.reps(3, 1), std::move(subjects), false);
}

void waiter_case(bench::session& session, const bench::python& python) {
  const bench::metric what = {"memory per coroutine that receives", "bytes"};
  if (!session.wanted(what.name)) return;
  const std::string count = "100000";
  std::vector<bench::subject> subjects;
  for (auto [name, wait] : waits)
    subjects.push_back({name, [=, system = name] { return bench::probe({"waiters", system, count, "0"}); }});
  if (python.available()) {
    subjects.push_back({"asyncio.Queue", [=] {
                          bench::python fresh;
                          return fresh.ask("queue_waiters " + count + " asyncio");
                        }});
  }
  session.compare(what, 1, session.reps(3, 1), std::move(subjects), false);
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 4)
    return memory_probe(args[0], args[1], std::stoul(args[2]), std::stoul(args[3]));
  bench::session session("channel", argc, argv);
  bench::python python;
  stream_cases(session, python);
  for (placement where : {placement::two_cores, placement::one_core}) commstime_case(session, where);
  coroutine_cases(session, python);
  for (std::size_t capacity : {0UL, 64UL}) idle_case(session, python, capacity);
  waiter_case(session, python);
  return session.finish();
}
