// std::execution::par_unseq: reduce over the array and transform_reduce over stored indices, its only ways.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <execution>
#include <numeric>

#include "systems.hpp"

namespace bench::reduce {

namespace {

class std_par : public system {
 public:
  explicit std_par(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}
  double sum_all(const double* data, std::size_t n) override {
    return arena_.execute([&] { return std::reduce(std::execution::par_unseq, data, data + n, 0.0); });
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    if (indices_.size() < n) {
      indices_.resize(n);
      std::iota(indices_.begin(), indices_.end(), std::size_t{0});
    }
    return arena_.execute([&] {
      return std::transform_reduce(
          std::execution::par_unseq, indices_.data(), indices_.data() + n, std::uint64_t{0},
          [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); },
          [rounds](std::size_t i) { return largest(i, 1, rounds); });
    });
  }

 private:
  tbb::global_control limit_;
  tbb::task_arena arena_;
  std::vector<std::size_t> indices_;
};

}  // namespace

void add_std_par(contenders& to, int threads) { to.emplace_back("std::par", std::make_unique<std_par>(threads)); }

}  // namespace bench::reduce
