// native: the C API's own handles, for programs that include <mpi.h> and call it besides.
#pragma once
#include <tutti/mpi/communicator.hpp>

#include <string>
#include <utility>

namespace tutti::mpi {

namespace detail {
std::uintptr_t native_number(const communicator& of);
communicator adopt_number(std::uintptr_t handle, std::string name);
}  // namespace detail

/// The communicator's handle in the C API, `native<MPI_Comm>(all)`; it stays the communicator's. Its errors are return
/// codes. The deadlock watch knows nothing of this communicator from then on.
template <class Handle>
Handle native(const communicator& of) noexcept {
  return detail::handle_of<Handle>(detail::native_number(of));
}

/// A communicator that was made with the C API, which stays its owner: `adopt(MPI_COMM_WORLD, "all")`. From now on its
/// errors are return codes.
template <class Handle>
communicator adopt(Handle comm, std::string name) {
  return detail::adopt_number(detail::number_of(comm), std::move(name));
}

}  // namespace tutti::mpi
