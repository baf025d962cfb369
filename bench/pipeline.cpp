// pipeline: items per second through one or three parallel stages into a serial one.
#include "pipeline/systems.hpp"

#include "harness/clock.hpp"
#include "harness/harness.hpp"
#include "harness/work.hpp"

namespace {

using namespace bench::pipeline;

contenders everyone(int threads) {
  contenders all;
  add_tutti(all, threads);
  add_serial(all);
  add_tbb(all, threads);
  add_openmp(all, threads);
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  bench::session session("pipeline", argc, argv);

  struct stream_case {
    const char* name;
    double stage_ns;
    int stages;
    bool in_order;
  };
  const stream_case cases[] = {
      {"empty stage, in order", 0, 1, true},       {"empty stage, any order", 0, 1, false},
      {"3 empty stages, in order", 0, 3, true},    {"stage of 1 us, in order", 1e3, 1, true},
      {"stage of 1 us, any order", 1e3, 1, false}, {"3 stages of 1 us, in order", 1e3, 3, true},
      {"stage of 20 us, in order", 20e3, 1, true}};

  for (const int threads : bench::thread_counts()) {
    contenders all = everyone(threads);
    for (const stream_case& c : cases) {
      if (!session.wanted(c.name)) continue;
      stream_spec stream;
      stream.parallel_stages = c.stages;
      stream.rounds = c.stage_ns > 0 ? bench::rounds_for(c.stage_ns) : 0;
      stream.in_order = c.in_order;
      const double item_ns = c.stage_ns * c.stages + 200;
      stream.items = static_cast<std::size_t>((session.quick() ? 2e6 : 100e6) / item_ns);
      std::vector<bench::subject> subjects;
      for (const auto& [label, system] : all) {
        bench::pipeline::system* s = system.get();
        subjects.push_back(bench::single(label, [s, stream] {
          double ns = 0;
          s->on_home_thread([&] { ns = bench::time_ns([&] { s->run(stream); }); });
          return static_cast<double>(stream.items) / ns * 1e6;
        }));
      }
      session.compare({c.name, "k items/s", bench::better::more}, threads, session.reps(7), std::move(subjects));
    }
  }
  return session.finish();
}
