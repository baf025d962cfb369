// oneTBB: blocked ranges, so that its inner loop is as tight as ours, with each partitioner.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

template <class Partitioner>
class tbb_system : public system_of<tbb_system<Partitioner>> {
 public:
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}

  template <class Body>
  void loop(std::size_t n, const Body& each) {
    arena_.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<std::size_t>(0, n),
          [&each](const tbb::blocked_range<std::size_t>& part) {
            Body body = each;
            for (std::size_t i = part.begin(), end = part.end(); i < end; ++i) body(i);
          },
          partitioner_);
    });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
  Partitioner partitioner_;  // the affinity partitioner remembers the last loop
};

}  // namespace

void add_tbb(contenders& to, int threads) {
  to.emplace_back("oneTBB auto", std::make_unique<tbb_system<tbb::auto_partitioner>>(threads));
  to.emplace_back("oneTBB static", std::make_unique<tbb_system<tbb::static_partitioner>>(threads));
  to.emplace_back("oneTBB affinity", std::make_unique<tbb_system<tbb::affinity_partitioner>>(threads));
}

}  // namespace bench::parallel_for
