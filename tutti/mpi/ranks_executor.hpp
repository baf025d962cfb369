// ranks_executor: make_executor("ranks"): MPI from its beginning to its end for a program that does not mention it.
#pragma once
#include <tutti/core/executor.hpp>

#include <memory>

namespace tutti::mpi {

/// A rank_pool over world(), for make_executor("ranks"). Begins MPI where nobody has, and then ends it when the process
/// exits. On ranks other than 0 it does not return: they run calls until the pool is shut down, end MPI, and exit with
/// code 0 (1 when rank 0 died). All handles are to one pool: throws `closed` when an earlier one was shut down, as its
/// ranks have gone.
std::unique_ptr<executor> make_ranks_executor();

}  // namespace tutti::mpi
