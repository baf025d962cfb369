// dist_graph: ranks whose neighbours are whoever they say.
#pragma once
#include <tutti/mpi/neighborhood.hpp>

#include <vector>

namespace tutti::mpi {

/// A communicator in which each rank has named its neighbours: a mesh, a tree, any directed graph. Copies are handles
/// to the same one.
class dist_graph : public neighborhood {
 public:
  /// The same ranks; each gives its own neighbours. Who is the destination of another must have that one among its
  /// sources, as often. `reorder`: ranks may be numbered anew, so that neighbours are near each other. Collective.
  /// Throws mpi::error for ranks out of range.
  dist_graph(const communicator& ranks, std::vector<int> sources, std::vector<int> destinations, bool reorder = false,
             place here = place::current());
};

}  // namespace tutti::mpi
