// oneTBB: parallel_scan over blocked ranges with the automatic and the simple partitioner, its only two.
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_scan.h>
#include <tbb/task_arena.h>

#include "systems.hpp"

namespace bench::scan {

namespace {

using range = tbb::blocked_range<std::size_t>;

template <class Partitioner>
class tbb_system : public system {
 public:
  // The simple partitioner divides down to the grain: 8192 numbers are 64 KiB.
  tbb_system(int threads, std::size_t grain)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)),
        arena_(threads),
        grain_(grain) {}

  void sums(const double* from, double* to, std::size_t n) override {
    scan_all(from, to, n, grain_, [](double a, double b) { return a + b; });
  }
  void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) override {
    scan_all(from, to, n, grain_ / 100 + 1, op);
  }

 private:
  template <class T, class Op>
  void scan_all(const T* from, T* to, std::size_t n, std::size_t grain, Op op) {
    arena_.execute([&] {
      tbb::parallel_scan(
          range(0, n, grain), T(),
          [from, to, op](const range& part, T sum, bool final) {
            if (final) {
              for (std::size_t i = part.begin(), end = part.end(); i < end; ++i) to[i] = sum = op(sum, from[i]);
            } else {
              for (std::size_t i = part.begin(), end = part.end(); i < end; ++i) sum = op(sum, from[i]);
            }
            return sum;
          },
          op, Partitioner{});
    });
  }

  tbb::global_control limit_;
  tbb::task_arena arena_;
  std::size_t grain_;
};

}  // namespace

void add_tbb(contenders& to, int threads) {
  to.emplace_back("oneTBB auto", std::make_unique<tbb_system<const tbb::auto_partitioner>>(threads, 1));
  to.emplace_back("oneTBB simple", std::make_unique<tbb_system<const tbb::simple_partitioner>>(threads, 8192));
}

}  // namespace bench::scan
