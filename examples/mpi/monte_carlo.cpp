// monte_carlo: pi from random points, with the same digits on any number of ranks.
// Teaches: random streams belong to blocks of work, not to ranks: who computes a block makes no difference. Streams
// seeded by rank, or one seed on all ranks, change the answer with the machine, or compute the same points n times.
//   mpirun -n 4 build/examples/mpi/monte_carlo
#include <tutti/mpi/mpi.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <numbers>
#include <random>

namespace mpi = tutti::mpi;

namespace {

constexpr std::uint32_t seed = 2024;
constexpr std::size_t blocks = 64;
constexpr std::size_t points_per_block = 50'000;

std::uint64_t hits_in(std::size_t block) {
  std::seed_seq stream{seed, static_cast<std::uint32_t>(block)};
  std::mt19937_64 random(stream);
  const auto coordinate = [&random] { return static_cast<double>(random() >> 11) * 0x1p-53; };  // 0 to below 1
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i < points_per_block; ++i) {
    const double x = coordinate();
    const double y = coordinate();
    hits += x * x + y * y < 1 ? 1 : 0;
  }
  return hits;
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();

  const mpi::block mine = mpi::block_of(blocks, world.rank(), world.size());
  std::uint64_t hits = 0;
  for (std::size_t b = mine.first; b < mine.end(); ++b) hits += hits_in(b);
  hits = world.allreduce(hits, mpi::sum);

  constexpr double points = blocks * points_per_block;
  const double share = static_cast<double>(hits) / points;
  const double bound = 4 * 4 * std::sqrt(share * (1 - share) / points);  // four standard deviations of 4 x share
  if (world.rank() == 0) {
    std::cout << hits << " of " << blocks * points_per_block << " points: pi = " << std::fixed << std::setprecision(5)
              << 4 * share << " +- " << bound << '\n';
  }
  return std::abs(4 * share - std::numbers::pi) <= bound ? 0 : 1;
}
