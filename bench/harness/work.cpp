#include "work.hpp"

#include <algorithm>

#include "clock.hpp"

namespace bench {

// Unrolled, so that the loop's end is foreseen: else whether the branch predictor learns it, and successive chains
// overlap, differs by a quarter from process to process.
__attribute__((noinline)) std::uint64_t chain(std::uint64_t seed, int rounds) {
#pragma GCC unroll 16
  for (int i = 0; i < rounds; ++i) seed = mix(seed);
  return seed;
}

int rounds_for(double nanoseconds) {
  static const double per_round = [] {
    double best = 1e9;
    for (int i = 0; i < 50; ++i) best = std::min(best, time_ns([] { keep(chain(1, 100'000)); }) / 100'000);
    return best;
  }();
  return std::max(1, static_cast<int>(nanoseconds / per_round));
}

}  // namespace bench
