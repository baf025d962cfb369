// mesh_torus: who is beside whom in a grid of ranks, with edges and without.
// Teaches: a cartesian communicator knows its neighbours: `shift` says from whom a rank receives and to whom it sends
// when all send one step along a dimension. Beyond an edge is no_rank, -1; a periodic dimension has no edge.
//   mpirun -n 4 build/examples/mpi/mesh_torus
#include <tutti/mpi/cartesian.hpp>
#include <tutti/mpi/mpi.hpp>

#include "print_in_order.hpp"

#include <string>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

std::string neighbours(const mpi::cartesian& grid) {
  const auto vertical = grid.shift(0);
  const auto horizontal = grid.shift(1);
  const auto named = [](const char* name, int rank) { return std::string(name) + std::to_string(rank); };
  return named("P", grid.rank()) + named(" row ", grid.coords()[0]) + named(" column ", grid.coords()[1]) +
         named(": UP ", vertical.source) + named(" DOWN ", vertical.dest) + named(" LEFT ", horizontal.source) +
         named(" RIGHT ", horizontal.dest) + '\n';
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
    const std::string title = std::string(wraps ? "torus" : "mesh") + " of " + std::to_string(dims[0]) + " x " +
                              std::to_string(dims[1]) + '\n';
    print_in_order(grid, (grid.rank() == 0 ? title : "") + neighbours(grid));
    right = all_reachable(grid) && right;
  }
  return right ? 0 : 1;
}
