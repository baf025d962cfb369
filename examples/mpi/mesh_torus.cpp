// mesh_torus: who is beside whom in a grid of ranks, with edges and without.
// Teaches: a cartesian communicator knows its neighbours: `shift` says from whom a rank receives and to whom it sends
// when all send one step along a dimension. Beyond an edge is no_rank, -1; a periodic dimension has no edge.
//   mpirun -n 4 build/examples/mpi/mesh_torus
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

void print_neighbours(const mpi::cartesian& grid) {
  const auto vertical = grid.shift(0);
  const auto horizontal = grid.shift(1);
  mpi::ordered(grid) << 'P' << grid.rank() << " row " << grid.coords()[0] << " column " << grid.coords()[1] << ": UP "
                     << vertical.source << " DOWN " << vertical.dest << " LEFT " << horizontal.source << " RIGHT "
                     << horizontal.dest << '\n';
}

// Whether a message to each neighbour that there is arrives from the opposite side.
bool all_reachable(const mpi::cartesian& grid) {
  for (const int dimension : {0, 1}) {
    for (const int step : {-1, 1}) {
      const auto [source, dest] = grid.shift(dimension, step);
      int came = mpi::no_rank;  // nobody sends from there: stays as it is
      grid.sendrecv_into(grid.rank(), dest, came, source);
      if (came != source) return false;
    }
  }
  return true;
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const std::vector<int> dims = mpi::dims_create(world.size(), 2);

  bool right = true;
  for (const bool wraps : {false, true}) {
    const mpi::cartesian grid(world, dims, {wraps, wraps});
    if (grid.rank() == 0) std::cout << (wraps ? "torus" : "mesh") << " of " << dims[0] << " x " << dims[1] << '\n';
    print_neighbours(grid);
    right = all_reachable(grid) && right;
  }
  return right ? 0 : 1;
}
