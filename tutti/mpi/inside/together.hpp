// together: what begins a call that all ranks of a communicator make.
#pragma once
#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>

namespace tutti::mpi::detail {

/// This thread may call MPI, and MPI is there.
inline void begin_together(comm_state& where, const collective_signature& what, const place& here) {
  enter(where, what.call, here);
  check_alive(where, what.call, here);
}

/// The same, and all ranks agree, if somebody watches; then waits for all, while it lives.
class together {
 public:
  together(comm_state& where, const collective_signature& what, const place& here)
      : begun_((begin_together(where, what, here), check_collective(where, what, here), true)),
        waits_(what.call, {.by = ended_by::everyone, .where = &where}, here) {}

 private:
  bool begun_;
  watched_call waits_;
};

}  // namespace tutti::mpi::detail
