// native_op: an operation as the C API has it.
#pragma once
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/op.hpp>

namespace tutti::mpi::detail {

/// `made` counts for operations of the program's own alone.
inline MPI_Op native_op(op_kind op, std::uintptr_t made = 0) noexcept {
  switch (op) {
    case op_kind::own: return handle_of<MPI_Op>(made);
    case op_kind::sum: return MPI_SUM;
    case op_kind::prod: return MPI_PROD;
    case op_kind::min: return MPI_MIN;
    case op_kind::max: return MPI_MAX;
    case op_kind::land: return MPI_LAND;
    case op_kind::lor: return MPI_LOR;
    case op_kind::lxor: return MPI_LXOR;
    case op_kind::band: return MPI_BAND;
    case op_kind::bor: return MPI_BOR;
    case op_kind::bxor: return MPI_BXOR;
  }
  return MPI_OP_NULL;
}

}  // namespace tutti::mpi::detail
