// native: the C API's own handles, for programs that call it besides. The one header of this module with <mpi.h>.
#pragma once
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <tutti/mpi/communicator.hpp>

#include <mpi.h>

#include <string>

namespace tutti::mpi {

/// The communicator's handle in the C API; it stays the communicator's. Its errors are return codes.
MPI_Comm native(const communicator& of) noexcept;
/// A communicator that was made with the C API, which stays its owner. From now on its errors are return codes.
communicator adopt(MPI_Comm comm, std::string name);

}  // namespace tutti::mpi
