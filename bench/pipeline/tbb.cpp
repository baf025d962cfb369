// oneTBB: parallel_pipeline.
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include "systems.hpp"

namespace bench::pipeline {

namespace {

class tbb_system : public system {
 public:
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}

  void run(const stream_spec& stream) override {
    adder last(stream);
    std::uint64_t next = 0;
    auto source = tbb::make_filter<void, std::uint64_t>(
        tbb::filter_mode::serial_in_order, [&next, n = stream.items](tbb::flow_control& flow) -> std::uint64_t {
          if (next < n) return next++;
          flow.stop();
          return 0;
        });
    auto middle = tbb::make_filter<std::uint64_t, std::uint64_t>(
        tbb::filter_mode::parallel, [rounds = stream.rounds](std::uint64_t x) { return stage(x, rounds); });
    auto add = tbb::make_filter<std::uint64_t, void>(
        stream.in_order ? tbb::filter_mode::serial_in_order : tbb::filter_mode::serial_out_of_order,
        [&last](std::uint64_t x) { last.add(x); });
    arena_.execute([&] {
      if (stream.parallel_stages == 1) {
        tbb::parallel_pipeline(stream.tokens, source & middle & add);
      } else {
        tbb::parallel_pipeline(stream.tokens, source & middle & middle & middle & add);
      }
    });
    last.check();
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

void add_tbb(contenders& to, int threads) { to.emplace_back("oneTBB", std::make_unique<tbb_system>(threads)); }

}  // namespace bench::pipeline
