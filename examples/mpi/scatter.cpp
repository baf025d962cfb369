// scatter: rank 0 deals the numbers 1 to 10 out.
// Teaches: `scatter` gives each rank one element, and refuses anything else on all ranks, so that none is left waiting;
// `scatter_blocks` gives each rank its share of any number.
//   mpirun -n 10 build/examples/mpi/scatter
//   mpirun -n 3 build/examples/mpi/scatter
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <numeric>
#include <string>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

std::string text_of(const std::vector<int>& numbers) {
  std::string text;
  for (const int n : numbers) text += ' ' + std::to_string(n);
  return text;
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  std::vector<int> numbers(world.rank() == 0 ? 10 : 0);
  std::iota(numbers.begin(), numbers.end(), 1);

  bool right = true;
  try {
    const int mine = world.scatter(numbers);
    mpi::ordered(world) << "process " << world.rank() << ": one each: " << mine << '\n';
    right = world.size() == 10 && mine == world.rank() + 1;
  } catch (const mpi::error& e) {
    std::cerr << e.what() << '\n';
    mpi::ordered(world) << "process " << world.rank() << ": one each: refused\n";
    right = world.size() != 10;
  }

  const std::vector<int> mine = world.scatter_blocks(numbers);
  mpi::ordered(world) << "process " << world.rank() << ": a share:" << text_of(mine) << '\n';
  const int sum = world.allreduce(std::accumulate(mine.begin(), mine.end(), 0), mpi::sum);
  return right && sum == 55 ? 0 : 1;
}
