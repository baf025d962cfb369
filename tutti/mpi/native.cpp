#include <tutti/mpi/native.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>

#include <utility>

namespace tutti::mpi::detail {

std::uintptr_t native_number(const communicator& of) {
  note_native(state_of(of));
  return state_of(of).handle;
}

communicator adopt_number(std::uintptr_t handle, std::string name) {
  auto made = std::make_shared<comm_state>();
  adopt(*made, handle, std::move(name), false);
  return access::make(std::move(made));
}

}  // namespace tutti::mpi::detail
