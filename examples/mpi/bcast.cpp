// bcast: rank 0 knows a number, then all do.
// Teaches: a collective is one call that all ranks make; the root's value is what counts.
//   mpirun -n 10 build/examples/mpi/bcast
#include <tutti/mpi/mpi.hpp>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const int shared = world.bcast(world.rank() == 0 ? 100 : 0);
  mpi::ordered(world) << "process = " << world.rank() << ", variable shared = " << shared << '\n';
  return shared == 100 ? 0 : 1;
}
