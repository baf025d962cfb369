// sample_sort: numbers of all ranks, sorted across all ranks.
// Teaches: collectives over values whose sizes nobody has to know. sample_sort_c.cpp is the same program with the C
// API: compare the two.
//   mpirun -n 4 build/examples/mpi/sample_sort
#include <tutti/mpi/mpi.hpp>

#include "random_block.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <limits>
#include <span>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

// Every rank's numbers are sorted, and not smaller than those of the rank before. (Shi, Schaeffer: Parallel Sorting by
// Regular Sampling, 1992)
std::vector<double> sample_sort(const mpi::communicator& ranks, std::vector<double> mine) {
  const auto n = static_cast<std::size_t>(ranks.size());
  std::ranges::sort(mine);

  // Every rank offers some of its numbers, evenly spaced; the evenly spaced ones of all those divide the ranks.
  std::vector<double> offered;
  for (std::size_t i = 0; i < n && !mine.empty(); ++i) offered.push_back(mine[i * mine.size() / n]);
  std::vector<double> samples = ranks.allgather_blocks(offered);
  std::ranges::sort(samples);

  std::vector<std::span<const double>> parts;
  auto from = mine.begin();
  for (std::size_t i = 1; i <= n; ++i) {
    const auto to =
        i < n && !samples.empty() ? std::upper_bound(from, mine.end(), samples[i * samples.size() / n]) : mine.end();
    parts.emplace_back(from, to);
    from = to;
  }

  std::vector<double> received;
  for (const auto& part : ranks.alltoall(parts)) received.insert(received.end(), part.begin(), part.end());
  std::ranges::sort(received);
  return received;
}

// The same for all permutations, and for nothing else in practice.
std::uint64_t checksum(const std::vector<double>& numbers) {
  std::uint64_t sum = 0;
  for (const double x : numbers) sum += mixed(std::bit_cast<std::uint64_t>(x));
  return sum;
}

bool in_order(const mpi::communicator& ranks, const std::vector<double>& mine) {
  const double smallest_possible = ranks.exscan(mine.empty() ? 0 : mine.back(), mpi::max).value_or(0);
  const bool here = std::ranges::is_sorted(mine) && (mine.empty() || smallest_possible <= mine.front());
  return ranks.allreduce(here, mpi::land);
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();

  constexpr std::size_t count = 100'000;
  const mpi::block share = mpi::block_of(count, world.rank(), world.size());
  const std::vector<double> before = random_block(2024, share.first, share.count);
  const std::vector<double> after = sample_sort(world, before);

  const bool sorted = in_order(world, after);
  const bool same = world.allreduce(after.size(), mpi::sum) == count &&
                    world.allreduce(checksum(before) - checksum(after), mpi::sum) == 0;
  const double smallest = world.allreduce(after.empty() ? 1 : after.front(), mpi::min);
  const double largest = world.allreduce(after.empty() ? 0 : after.back(), mpi::max);
  if (world.rank() == 0) {
    std::cout << count << " numbers from " << std::setprecision(std::numeric_limits<double>::max_digits10) << smallest
              << " to " << largest << ": " << (sorted ? "sorted" : "NOT SORTED") << ", "
              << (same ? "none lost" : "NOT THE SAME") << '\n';
  }
  return sorted && same ? 0 : 1;
}
