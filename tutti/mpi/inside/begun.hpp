// begun: a request of MPI's that is nobody's message, as requests of ours are told of it.
#pragma once
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>
#include <tutti/mpi/request.hpp>

namespace tutti::mpi::detail {

/// `is_collective`: other ranks must do the same before it can end.
inline started begun(MPI_Request handle, comm_state& where, const char* call, bool is_collective, const place& here) {
  return {.where = &where,
          .call = call,
          .file = here.file,
          .line = here.line,
          .is_collective = is_collective,
          .handle = number_of(handle),
          .watched = is_collective ? begin_collective(where, call, here) : 0};
}

}  // namespace tutti::mpi::detail
