// reduce: ten numbers of every rank, added element by element at rank 0; and who has the largest first one.
// Teaches: `reduce` gives the root the result, and the others nothing, where a plain MPI program is left with whatever
// was in its array. Vectors are reduced element by element; `located` values remember whose they are.
//   mpirun -n 10 build/examples/mpi/reduce
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

std::vector<int> multiples(int step) {
  std::vector<int> all(10);
  std::iota(all.begin(), all.end(), 0);
  for (int& n : all) n *= step;
  return all;
}

std::string text_of(const std::vector<int>& numbers) {
  std::string text = "[";
  for (const int n : numbers) text += (text.size() > 1 ? " " : "") + std::to_string(n);
  return text + "]";
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const std::vector<int> sent = multiples(world.rank() + 1);
  const std::optional<std::vector<int>> sum = world.reduce(sent, mpi::sum);
  const mpi::located<int> largest = world.allreduce(mpi::located{sent.back(), world.rank()}, mpi::maxloc);

  mpi::ordered(world) << "process " << world.rank() << " sending " << text_of(sent) << '\n';
  if (sum) {
    std::cout << "sum at process 0: " << text_of(*sum) << "\nlargest: " << largest.value << " of process "
              << largest.where << '\n';
  }

  const int n = world.size();
  const bool right = sum.has_value() == (world.rank() == 0) && (!sum || *sum == multiples(n * (n + 1) / 2)) &&
                     largest == mpi::located{9 * n, n - 1};
  return right ? 0 : 1;
}
