// random_block: the input of sample_sort and sample_sort_c.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

/// A good mixture of the bits of `x` (splitmix64's).
constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Numbers `first` to `first + count` of the random sequence of `seed`, from 0 to below 1: every rank makes its own
/// part of the same sequence, however many ranks there are.
inline std::vector<double> random_block(std::uint64_t seed, std::size_t first, std::size_t count) {
  std::vector<double> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<double>(mixed(mixed(seed) + first + i) >> 11) * 0x1p-53;
  }
  return numbers;
}
