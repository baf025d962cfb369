// oneTBB: a task_group in an arena.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "systems.hpp"

namespace bench::idle {

namespace {

class tbb_system : public system {
 public:
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}
  void run(std::size_t count) override {
    arena_.execute([&] {
      tbb::task_group group;
      for (std::size_t i = 0; i < count; ++i) group.run([] {});
      group.wait();
    });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

std::unique_ptr<system> make_tbb(int threads) { return std::make_unique<tbb_system>(threads); }

}  // namespace bench::idle
