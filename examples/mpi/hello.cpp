// hello: every rank says who it is.
// Teaches: one program runs as many ranks, and each asks the communicator which one it is. What ranks print for
// themselves comes in any order: print_in_order lets rank 0 print for all.
//   mpirun -n 5 build/examples/mpi/hello
#include <tutti/mpi/mpi.hpp>

#include "print_in_order.hpp"

#include <string>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  print_in_order(world, "hello from rank " + std::to_string(world.rank()) + " of " + std::to_string(world.size()) +
                            " on " + mpi::processor_name() + '\n');
}
