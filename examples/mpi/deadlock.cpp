// deadlock: a ring in which all ranks receive first.
// Teaches: without the watch this hangs, and uses all processors; with it the job ends with exit code 86 and a report.
//   TUTTI_WATCH=deadlock mpirun -n 3 build/examples/mpi/deadlock
#include <tutti/mpi/mpi.hpp>

int main() {
  const tutti::mpi::environment mpi;
  const auto world = tutti::mpi::world();
  const int size = world.size();
  const int sum = world.recv<int>((world.rank() + size - 1) % size, 7) + world.rank();  // all receive first
  world.send(sum, (world.rank() + 1) % size, 7);
}
