// monte_carlo_pi: pi from a million random points, once with a call for each point, once with a call for each 10,000.
// Teaches: calls may be tiny: map sends them out in pieces of its own choosing, so no program is rewritten around
// chunks. Numbers made from their index are the same however the work is divided. Usage: monte_carlo_pi [EXECUTOR]
#include <tutti/tutti.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <ranges>

namespace monte_carlo {

constexpr long samples = 1'000'000;
constexpr long chunk = 10'000;

// A number in [0, 1) that depends on `index` alone (splitmix64).
double random_number(std::uint64_t index) {
  std::uint64_t z = (index + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// Whether the point with this index lies within the quarter circle.
bool is_inside(long index) {
  const double x = random_number(2 * static_cast<std::uint64_t>(index));
  const double y = random_number(2 * static_cast<std::uint64_t>(index) + 1);
  return x * x + y * y < 1;
}

// How many points of one chunk do.
long count_inside(long number) {
  long inside = 0;
  for (long i = number * chunk; i < (number + 1) * chunk; ++i) inside += is_inside(i);
  return inside;
}

}  // namespace monte_carlo

int main(int argc, char** argv) {
  using namespace monte_carlo;
  using clock = std::chrono::steady_clock;
  tutti::init(argc, argv);
  auto pool = tutti::make_executor(argc > 1 ? argv[1] : "threads");

  const auto start = clock::now();
  long by_chunk = 0;
  for (const long inside : pool->map<count_inside>(std::views::iota(0L, samples / chunk))) by_chunk += inside;
  const auto middle = clock::now();
  long by_sample = 0;
  for (const bool inside : pool->map<is_inside>(std::views::iota(0L, samples))) by_sample += inside;
  const auto end = clock::now();

  const double pi = 4 * static_cast<double>(by_sample) / samples;
  using milliseconds = std::chrono::duration<double, std::milli>;
  std::cout << "pi is about " << pi << "; a call for each chunk took " << milliseconds(middle - start).count()
            << " ms, a call for each point " << milliseconds(end - middle).count() << " ms\n";
  return by_chunk == by_sample && std::abs(pi - 3.14159265) < 0.005 ? 0 : 1;
}
