// trace: what a recording costs: tasks of 1 us, and fork_join, with and without one, in turns.
#include <algorithm>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/trace/recorder.hpp>
#include <vector>

#include "harness/clock.hpp"
#include "harness/harness.hpp"

namespace {

// A task's work: so many dependent steps, not a look at the clock, which would hide what is to be measured.
void work(int steps) {
  unsigned long x = 88172645463325252UL;
  for (int i = 0; i < steps; ++i) {
    x ^= x << 13U;
    x ^= x >> 7U;
    x ^= x << 17U;
  }
  bench::keep_register(x);
}

int steps_per_us() {
  constexpr int many = 1'000'000;
  work(many);
  double best = 1e300;
  for (int i = 0; i < 5; ++i) best = std::min(best, bench::time_ns([] { work(many); }));
  return static_cast<int>(many * 1000.0 / best);
}

long fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = tutti::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

// Nanoseconds of one run while a recorder records, or none does. One recorder for all: its memory is there already.
double timed(tutti::trace_recorder* recorder, const std::function<double()>& run) {
  if (recorder != nullptr) recorder->start();
  const double ns = run();
  if (recorder != nullptr) recorder->stop();
  return ns;
}

// A repetition is many short runs, recorded and not in turns; its value compares the quicker tenth of both: what
// disturbs a run only adds time.
void overhead_case(bench::session& session, const std::string& name, int threads, const std::function<double()>& run) {
  if (!session.wanted(name)) return;
  auto recorder = std::make_shared<tutti::trace_recorder>();
  session.compare(bench::metric{name + ", overhead", "%"}, threads, session.reps(9, 3),
                  {bench::single("tutti", [recorder, &run, pairs = session.quick() ? 100 : 500] {
                    std::vector<double> with, without;
                    for (int i = 0; i < pairs; ++i) {
                      with.push_back(timed(recorder.get(), run));
                      without.push_back(timed(nullptr, run));
                    }
                    return (bench::quantile(with, 0.1) / bench::quantile(without, 0.1) - 1) * 100;
                  })});
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("trace", argc, argv);
  const int steps = steps_per_us();
  for (const int threads : bench::thread_counts()) {
    tutti::thread_pool pool(threads);
    // Handed in by a worker, so that all of it is paid for on the cores that are measured.
    overhead_case(session, "tasks of 1 us", threads, [&] {
      return bench::time_ns([&] {
        std::latch done(500);
        pool.submit([&] {
              for (int i = 0; i < 500; ++i) {
                pool.post([&done, steps] {
                  work(steps);
                  done.count_down();
                });
              }
            })
            .get();
        done.wait();
      });
    });
    overhead_case(session, "fib, every call forks", threads,
                  [&] { return bench::time_ns([&] { pool.submit([] { bench::keep(fib(20)); }).get(); }); });
  }
  return session.finish();
}
