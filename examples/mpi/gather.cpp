// gather: every rank computes a square, rank 0 collects them.
// Teaches: `gather` gives the root the values in the order of ranks, and the others nothing.
//   mpirun -n 5 build/examples/mpi/gather
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <vector>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const int n = world.rank() + 1;
  const std::vector<int> squares = world.gather(n * n);

  bool right = squares.size() == static_cast<std::size_t>(world.rank() == 0 ? world.size() : 0);
  int from = 0;
  for (const int square : squares) {
    std::cout << "rank 0 has " << square << " of rank " << from << '\n';
    ++from;
    right = right && square == from * from;
  }
  return right ? 0 : 1;
}
