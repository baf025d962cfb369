// bcast: rank 0 knows a number, then all do.
// Teaches: a collective is one call that all ranks make; the root's value is what counts.
//   mpirun -n 10 build/examples/mpi/bcast
#include <tutti/mpi/mpi.hpp>

#include "print_in_order.hpp"

#include <string>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const int shared = world.bcast(world.rank() == 0 ? 100 : 0);
  print_in_order(world,
                 "process = " + std::to_string(world.rank()) + ", variable shared = " + std::to_string(shared) + '\n');
  return shared == 100 ? 0 : 1;
}
