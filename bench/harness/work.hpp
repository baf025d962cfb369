// work: bodies of a chosen length, the same for every system.
#pragma once

#include <cstdint>

namespace bench {

/// One step of a dependent chain of arithmetic: about 1 ns when steps overlap, about 2 ns when they cannot.
inline std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 29)) * 0x9E3779B97F4A7C15U;
  return x ^ (x >> 32);
}

/// A chain of `rounds` steps; not inlined, so that every system runs the same machine code.
std::uint64_t chain(std::uint64_t seed, int rounds);

/// How many rounds of `chain` take `nanoseconds` on this machine (calibrated once, at least 1).
int rounds_for(double nanoseconds);

}  // namespace bench
