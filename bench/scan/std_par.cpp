// std::execution::par: inclusive_scan.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <execution>
#include <numeric>

#include "systems.hpp"

namespace bench::scan {

namespace {

class std_par : public system {
 public:
  explicit std_par(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}
  void sums(const double* from, double* to, std::size_t n) override {
    arena_.execute([&] { std::inclusive_scan(std::execution::par, from, from + n, to); });
  }
  void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) override {
    arena_.execute([&] { std::inclusive_scan(std::execution::par, from, from + n, to, op, std::uint64_t{0}); });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

}  // namespace

void add_std_par(contenders& to, int threads) { to.emplace_back("std::par", std::make_unique<std_par>(threads)); }

}  // namespace bench::scan
