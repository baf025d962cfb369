// sync: what locks, semaphores, events and barriers cost, free and fought for, between threads and between coroutines.
#include <cstdio>
#include <latch>
#include <string>
#include <thread>

#include "harness/child.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "sync/systems.hpp"

namespace {

using bench::better;
using bench::metric;
using bench::placement;
using bench::sync::offer;
using bench::sync::offers;
using bench::sync::what;

// A case of peer_sync.py: it is asked `request`, the number of operations and `argument`.
struct python_peer {
  const char* system;
  const char* request;
  const char* argument;
};

struct sync_case {
  what which;
  int threads;
  std::vector<metric> metrics;
  std::vector<python_peer> pythons;
  bool pinned = false;  // measured across cores and on one
};

const sync_case cases[] = {
    {what::mutex, 1, {{"mutex, uncontended", "ns/lock"}}, {{"threading.Lock", "lock", "Lock"}}},
    {what::recursive, 1, {{"recursive_mutex, uncontended", "ns/lock"}}, {{"threading.RLock", "lock", "RLock"}}},
    {what::exclusive, 1, {{"shared_mutex, uncontended writer", "ns/lock"}}, {}},
    {what::shared, 1, {{"shared_mutex, uncontended reader", "ns/lock"}}, {}},
    {what::contended,
     2,
     {{"mutex, contended", "million/s", better::more}, {"mutex, contended, smaller share", "%", better::more}},
     {{"threading.Lock", "contend", "Lock"}}},
    {what::readers, 2, {{"9 reads to 1 write", "million/s", better::more}}, {}},
    {what::semaphore, 1, {{"semaphore, uncontended", "ns/permit"}}, {{"threading.Semaphore", "lock", "Semaphore"}}},
    {what::semaphore_turns,
     2,
     {{"semaphore round trip", "us"}},
     {{"threading.Semaphore", "signal_turns", "Semaphore"}},
     true},
    {what::event, 1, {{"event, set, waited for, cleared", "ns"}}, {{"threading.Event", "set_and_wait", ""}}},
    {what::event_turns, 2, {{"event round trip", "us"}}, {{"threading.Event", "signal_turns", "Event"}}, true},
    {what::barrier, 2, {{"barrier", "ns/phase"}}, {{"threading.Barrier", "meet", ""}}, true},
    {what::async_mutex,
     1,
     {{"mutex between coroutines, uncontended", "ns/lock"}},
     {{"asyncio.Lock", "lock_async", "asyncio"}, {"asyncio.Lock, uvloop", "lock_async", "uvloop"}}},
    {what::async_turns,
     1,
     {{"mutex between coroutines, handed over", "ns/lock"}},
     {{"asyncio.Lock", "hand_over", "asyncio"}, {"asyncio.Lock, uvloop", "hand_over", "uvloop"}}},
    {what::mutex_size, 1, {{"size of a mutex", "bytes"}}, {}},
    {what::shared_size, 1, {{"size of a shared_mutex", "bytes"}}, {}}};

const offers& all_offers() {
  static const offers all = [] {
    offers found;
    using namespace bench::sync;
    for (auto of : {of_tutti, of_watched_tutti, of_tutti_coroutines, of_std, of_absl, of_asio}) {
      for (const offer& o : of()) found.push_back(o);
    }
    return found;
  }();
  return all;
}

void run_case(bench::session& session, bench::python& python, const sync_case& one, placement where) {
  std::vector<metric> metrics = one.metrics;
  if (one.pinned) {
    for (metric& m : metrics) m.name += where == placement::one_core ? ", same core" : ", across cores";
  }
  const bool size = one.which == what::mutex_size || one.which == what::shared_size;
  const double seconds = session.quick() ? 0.01 : 0.1;
  std::vector<bench::subject> subjects;
  for (const offer& o : all_offers()) {
    if (o.which != one.which) continue;
    auto run = [o, where](std::size_t count) { return o.run(count, where); };
    subjects.push_back(size ? bench::subject{o.system, [run] { return run(1); }}
                            : bench::sized(o.system, seconds, run));
  }
  for (const python_peer& peer : one.pythons) {
    if (!python.available()) continue;
    subjects.push_back(bench::sized(peer.system, seconds, [&python, peer, where](std::size_t count) {
      return python.ask(std::string(peer.request) + " " + std::to_string(count) + " " +
                        (where == placement::one_core ? "1 " : "2 ") + peer.argument);
    }));
  }
  session.compare(metrics, one.threads, size ? 1 : session.reps(9), std::move(subjects), !size);
}

// In a fresh process: bytes by which resident memory grows per coroutine that waits.
int memory_probe(bool tutti, std::size_t count) {
  bench::sync::waiters wait = tutti ? bench::sync::tutti_waiters : bench::sync::asio_waiters;
  wait(10, [] {});  // sets up what is shared
  long before = bench::resident_kib(), after = before;
  if (wait(count, [&] { after = bench::resident_kib(); }) != count) return 1;
  std::printf("%.9g\n", static_cast<double>(after - before) * 1024 / static_cast<double>(count));
  return 0;
}

void memory_case(bench::session& session, const bench::python& python) {
  const metric bytes = {"memory per coroutine that waits for a mutex", "bytes"};
  if (!session.wanted(bytes.name)) return;
  const std::string count = "100000";
  std::vector<bench::subject> subjects;
  for (const char* name : {"tutti", "asio channel"}) {
    subjects.push_back({name, [=] { return bench::probe({"waiters", name, count}); }});
  }
  if (python.available()) {
    subjects.push_back({"asyncio.Lock", [=] {
                          bench::python fresh;
                          return fresh.ask("lock_waiters " + count + " asyncio");
                        }});
  }
  session.compare(bytes, 1, session.reps(3, 1), std::move(subjects), false);
}

}  // namespace

int main(int argc, char** argv) {
  if (auto args = bench::probe_arguments(argc, argv); args.size() == 3)
    return memory_probe(args[1] == "tutti", std::stoul(args[2]));
  bench::session session("sync", argc, argv);
  bench::python python;
  // The process has other threads, as have all that use locks: some locks are cheaper without.
  std::latch end(1);
  std::jthread other([&] { end.wait(); });
  for (const sync_case& one : cases) {
    run_case(session, python, one, placement::two_cores);
    if (one.pinned) run_case(session, python, one, placement::one_core);
  }
  memory_case(session, python);
  end.count_down();
  return session.finish();
}
