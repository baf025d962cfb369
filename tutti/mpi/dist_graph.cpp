#include <tutti/mpi/dist_graph.hpp>

#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <memory>
#include <string>
#include <utility>

namespace tutti::mpi {
namespace {

using namespace detail;

void check_all(const comm_state& where, const char* what, const std::vector<int>& ranks, const place& here) {
  for (const int rank : ranks) {
    if (rank >= 0 && rank < where.size) continue;
    refuse(
        MPI_ERR_RANK, where, "dist_graph",
        std::string(": ") + what + " " + std::to_string(rank) + " is not one of 0 to " + std::to_string(where.size - 1),
        here);
  }
}

std::pair<communicator, neighbors> make_graph(comm_state& where, const std::vector<int>& sources,
                                              const std::vector<int>& destinations, bool reorder, const place& here) {
  check_alive(where, "dist_graph", here);
  check_all(where, "source", sources, here);
  check_all(where, "destination", destinations, here);
  const auto in = static_cast<int>(sources.size());
  const auto out = static_cast<int>(destinations.size());
  const together waits(where, {.call = "dist_graph"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Dist_graph_create_adjacent(comm_of(where), in, sources.data(), MPI_UNWEIGHTED, out, destinations.data(),
                                       MPI_UNWEIGHTED, MPI_INFO_NULL, reorder ? 1 : 0, &made),
        where, "dist_graph", here);
  auto state = std::make_shared<comm_state>();
  adopt(*state, number_of(made), where.name + ".dist_graph", true);
  // Numbered anew, this rank may have the neighbours of another.
  int in_now = 0;
  int out_now = 0;
  int weighted = 0;
  check(MPI_Dist_graph_neighbors_count(made, &in_now, &out_now, &weighted), where, "dist_graph", here);
  neighbors who;
  who.sources.resize(static_cast<std::size_t>(in_now));
  who.destinations.resize(static_cast<std::size_t>(out_now));
  std::vector<int> in_weights(who.sources.size() + 1);  // + 1: data() of none may be null, which MPI may refuse
  std::vector<int> out_weights(who.destinations.size() + 1);
  check(MPI_Dist_graph_neighbors(made, in_now, who.sources.data(), in_weights.data(), out_now, who.destinations.data(),
                                 out_weights.data()),
        where, "dist_graph", here);
  return {access::make(std::move(state)), std::move(who)};
}

}  // namespace

dist_graph::dist_graph(const communicator& ranks, std::vector<int> sources, std::vector<int> destinations, bool reorder,
                       place here)
    : neighborhood(make_graph(state_of(ranks), sources, destinations, reorder, here)) {}

}  // namespace tutti::mpi
