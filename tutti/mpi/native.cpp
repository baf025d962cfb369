#include <tutti/mpi/native.hpp>

#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>

#include <utility>

namespace tutti::mpi {

MPI_Comm native(const communicator& of) noexcept {
  detail::note_native(*detail::access::state(of));
  return detail::comm_of(*detail::access::state(of));
}

communicator adopt(MPI_Comm comm, std::string name) {
  auto made = std::make_shared<detail::comm_state>();
  detail::adopt(*made, detail::number_of(comm), std::move(name), false);
  return detail::access::make(std::move(made));
}

}  // namespace tutti::mpi
