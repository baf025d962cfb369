// oneTBB: parallel_reduce over blocked ranges with the automatic and the static partitioner.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_arena.h>

#include <algorithm>

#include "systems.hpp"

namespace bench::reduce {

namespace {

using range = tbb::blocked_range<std::size_t>;

template <class Partitioner>
class tbb_system : public system {
 public:
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}

  double sum_all(const double* data, std::size_t n) override {
    return arena_.execute([&] {
      return tbb::parallel_reduce(
          range(0, n), 0.0,
          [data](const range& part, double so_far) { return so_far + sum(data + part.begin(), part.size()); },
          [](double a, double b) { return a + b; }, Partitioner{});
    });
  }

  std::uint64_t largest_of(std::size_t n, int rounds) override {
    return arena_.execute([&] {
      return tbb::parallel_reduce(
          range(0, n), std::uint64_t{0},
          [rounds](const range& part, std::uint64_t so_far) {
            return std::max(so_far, largest(part.begin(), part.size(), rounds));
          },
          [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); }, Partitioner{});
    });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

void add_tbb(contenders& to, int threads) {
  to.emplace_back("oneTBB auto", std::make_unique<tbb_system<const tbb::auto_partitioner>>(threads));
  to.emplace_back("oneTBB static", std::make_unique<tbb_system<const tbb::static_partitioner>>(threads));
}

}  // namespace bench::reduce
