// hello: every rank says who it is.
// Teaches: one program runs as many ranks, and each asks the communicator which one it is. What ranks print for
// themselves comes in any order; an `ordered` stream is printed in the order of ranks.
//   mpirun -n 5 build/examples/mpi/hello
#include <tutti/mpi/mpi.hpp>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  mpi::ordered(world) << "hello from rank " << world.rank() << " of " << world.size() << " on " << mpi::processor_name()
                      << '\n';
}
