#include <tutti/mpi/communicator.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <vector>

namespace tutti::mpi {
namespace {

using namespace detail;

std::optional<communicator> owned(MPI_Comm comm, std::string name) {
  if (comm == MPI_COMM_NULL) return {};
  auto made = std::make_shared<comm_state>();
  adopt(*made, number_of(comm), std::move(name), true);
  return access::make(std::move(made));
}

}  // namespace

communicator communicator::dup(std::string_view name, place here) const {
  const together all(state(), {.call = "dup"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_dup(comm_of(state()), &made), state(), "dup", here);
  return *owned(made, name.empty() ? state().name + ".dup" : std::string(name));
}

std::optional<communicator> communicator::split(std::optional<int> color, int key, place here) const {
  if (color && *color < 0) {
    refuse(MPI_ERR_ARG, state(), "split", ": color " + std::to_string(*color) + " must not be negative", here);
  }
  const together all(state(), {.call = "split"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_of(state()), color ? *color : MPI_UNDEFINED, key, &made), state(), "split", here);
  return owned(made, state().name + ".split(" + (color ? std::to_string(*color) : "") + ")");
}

communicator communicator::split_shared(place here) const {
  const together all(state(), {.call = "split_shared"}, here);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split_type(comm_of(state()), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &made), state(), "split_shared",
        here);
  return *owned(made, state().name + ".split_shared");
}

std::optional<communicator> communicator::group(std::span<const int> ranks, place here) const {
  std::vector<bool> seen(static_cast<std::size_t>(state().size));
  for (const int rank : ranks) {
    if (rank < 0 || rank >= state().size) {
      refuse(MPI_ERR_RANK, state(), "group",
             ": rank " + std::to_string(rank) + " is not one of 0 to " + std::to_string(state().size - 1), here);
    }
    if (seen[static_cast<std::size_t>(rank)]) {
      refuse(MPI_ERR_RANK, state(), "group", ": rank " + std::to_string(rank) + " is given twice", here);
    }
    seen[static_cast<std::size_t>(rank)] = true;
  }
  const together waits(state(), {.call = "group"}, here);
  MPI_Group all = MPI_GROUP_NULL;
  MPI_Group some = MPI_GROUP_NULL;
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_group(comm_of(state()), &all), state(), "group", here);
  int failed = MPI_Group_incl(all, static_cast<int>(ranks.size()), ranks.data(), &some);
  if (failed == MPI_SUCCESS) failed = MPI_Comm_create(comm_of(state()), some, &made);
  MPI_Group_free(&all);
  if (some != MPI_GROUP_NULL && some != MPI_GROUP_EMPTY) MPI_Group_free(&some);
  check(failed, state(), "group", here);
  return owned(made, state().name + ".group");
}

}  // namespace tutti::mpi
