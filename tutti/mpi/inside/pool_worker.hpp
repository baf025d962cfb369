// pool_worker: what ranks other than 0 do in a rank_pool.
#pragma once
#include <tutti/mpi/inside/pool_wire.hpp>

namespace tutti::mpi::detail {

/// Runs the calls that come, until rank 0 says that it is over. Throws worker_lost when rank 0 dies.
void serve_rank_pool(rank_link link);

}  // namespace tutti::mpi::detail
