// end_of_mpi: what the environment and communicators tell each other.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>

#include <cstdint>
#include <string>

namespace tutti::mpi::detail {

/// Makes `state` stand for the communicator; errors of its calls become return codes.
void adopt(comm_state& state, std::uintptr_t handle, std::string name, bool owned);
void fill_world_ranks(comm_state& state);
/// Throws std::logic_error when MPI has ended.
void check_alive(const comm_state& where, const char* call, const place& here);
bool is_on() noexcept;

}  // namespace tutti::mpi::detail
