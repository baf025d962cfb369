// sample_sort_c: sample_sort.cpp with MPI's C API.
// Teaches: what the C API leaves to its caller: counts and offsets of everything, beforehand, in ints, and the type of
// every element once more. Return codes are not looked at: by default an error ends the job.
//   mpirun -n 4 build/examples/mpi/sample_sort_c
#include "random_block.hpp"

#include <mpi.h>
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <limits>
#include <numeric>
#include <vector>

namespace {

// Every rank's numbers are sorted, and not smaller than those of the rank before. (Shi, Schaeffer: Parallel Sorting by
// Regular Sampling, 1992)
std::vector<double> sample_sort(MPI_Comm ranks, std::vector<double> mine) {
  int size = 0;
  MPI_Comm_size(ranks, &size);
  const auto n = static_cast<std::size_t>(size);
  std::ranges::sort(mine);

  // Every rank offers some of its numbers, evenly spaced; the evenly spaced ones of all those divide the ranks.
  std::vector<double> offered;
  for (std::size_t i = 0; i < n && !mine.empty(); ++i) offered.push_back(mine[i * mine.size() / n]);
  const int offers = static_cast<int>(offered.size());
  std::vector<int> counts(n);
  MPI_Allgather(&offers, 1, MPI_INT, counts.data(), 1, MPI_INT, ranks);
  std::vector<int> offsets(n);
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  std::vector<double> samples(static_cast<std::size_t>(offsets.back() + counts.back()));
  MPI_Allgatherv(offered.data(), offers, MPI_DOUBLE, samples.data(), counts.data(), offsets.data(), MPI_DOUBLE, ranks);
  std::ranges::sort(samples);

  std::vector<int> send_counts;
  std::vector<int> send_offsets;
  auto from = mine.begin();
  for (std::size_t i = 1; i <= n; ++i) {
    const auto to =
        i < n && !samples.empty() ? std::upper_bound(from, mine.end(), samples[i * samples.size() / n]) : mine.end();
    send_counts.push_back(static_cast<int>(to - from));
    send_offsets.push_back(static_cast<int>(from - mine.begin()));
    from = to;
  }

  std::vector<int> receive_counts(n);
  MPI_Alltoall(send_counts.data(), 1, MPI_INT, receive_counts.data(), 1, MPI_INT, ranks);
  std::vector<int> receive_offsets(n);
  std::exclusive_scan(receive_counts.begin(), receive_counts.end(), receive_offsets.begin(), 0);
  std::vector<double> received(static_cast<std::size_t>(receive_offsets.back() + receive_counts.back()));
  MPI_Alltoallv(mine.data(), send_counts.data(), send_offsets.data(), MPI_DOUBLE, received.data(),
                receive_counts.data(), receive_offsets.data(), MPI_DOUBLE, ranks);
  std::ranges::sort(received);
  return received;
}

// The same for all permutations, and for nothing else in practice.
std::uint64_t checksum(const std::vector<double>& numbers) {
  std::uint64_t sum = 0;
  for (const double x : numbers) sum += mixed(std::bit_cast<std::uint64_t>(x));
  return sum;
}

bool in_order(MPI_Comm ranks, const std::vector<double>& mine) {
  int rank = 0;
  MPI_Comm_rank(ranks, &rank);
  const double largest = mine.empty() ? 0 : mine.back();
  double smallest_possible = 0;
  MPI_Exscan(&largest, &smallest_possible, 1, MPI_DOUBLE, MPI_MAX, ranks);
  if (rank == 0) smallest_possible = 0;  // undefined there
  const int here = std::ranges::is_sorted(mine) && (mine.empty() || smallest_possible <= mine.front()) ? 1 : 0;
  int everywhere = 0;
  MPI_Allreduce(&here, &everywhere, 1, MPI_INT, MPI_LAND, ranks);
  return everywhere != 0;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  constexpr std::size_t count = 100'000;
  const auto r = static_cast<std::size_t>(rank);
  const auto n = static_cast<std::size_t>(size);
  const std::size_t first = r * (count / n) + std::min(r, count % n);
  const std::size_t share = count / n + (r < count % n ? 1 : 0);
  const std::vector<double> before = random_block(2024, first, share);
  const std::vector<double> after = sample_sort(MPI_COMM_WORLD, before);

  const bool sorted = in_order(MPI_COMM_WORLD, after);
  const std::uint64_t difference[] = {after.size(), checksum(before) - checksum(after)};
  std::uint64_t differences[] = {0, 0};
  MPI_Allreduce(difference, differences, 2, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
  const bool same = differences[0] == count && differences[1] == 0;
  const double first_number = after.empty() ? 1 : after.front();
  const double last_number = after.empty() ? 0 : after.back();
  double smallest = 0;
  double largest = 0;
  MPI_Allreduce(&first_number, &smallest, 1, MPI_DOUBLE, MPI_MIN, MPI_COMM_WORLD);
  MPI_Allreduce(&last_number, &largest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0) {
    std::cout << count << " numbers from " << std::setprecision(std::numeric_limits<double>::max_digits10) << smallest
              << " to " << largest << ": " << (sorted ? "sorted" : "NOT SORTED") << ", "
              << (same ? "none lost" : "NOT THE SAME") << '\n';
  }
  MPI_Finalize();
  return sorted && same ? 0 : 1;
}
