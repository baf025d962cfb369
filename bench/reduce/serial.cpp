// serial: the kernels themselves, and the plain calls that parallel ones must not lose against.
#include <algorithm>

#include "../harness/work.hpp"
#include "systems.hpp"

namespace bench::reduce {

__attribute__((noinline)) double sum(const double* first, std::size_t n) {
  // Eight sums side by side: what the compiler may not do by itself, since it changes the rounding.
  double lanes[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) lanes[lane] += first[i + lane];
  }
  double rest = 0;
  for (; i < n; ++i) rest += first[i];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7])) + rest;
}

__attribute__((noinline)) std::uint64_t largest(std::size_t first, std::size_t n, int rounds) {
  std::uint64_t best = 0;
  for (std::size_t i = first; i < first + n; ++i) best = std::max(best, chain(i, rounds));
  return best;
}

namespace {

class serial : public system {
 public:
  double sum_all(const double* data, std::size_t n) override { return sum(data, n); }
  std::uint64_t largest_of(std::size_t n, int rounds) override { return largest(0, n, rounds); }
};

}  // namespace

void add_serial(contenders& to) { to.emplace_back("serial", std::make_unique<serial>()); }

}  // namespace bench::reduce
