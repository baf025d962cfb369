// comm_state: one communicator of this rank, shared by all handles to it.
#pragma once
#include <tutti/base/place.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace tutti::mpi::detail {

// The C API's handles are pointers in Open MPI and ints in MPICH; numbers in our headers, which do without <mpi.h>.
template <class Handle>
std::uintptr_t number_of(Handle handle) noexcept {
  if constexpr (std::is_pointer_v<Handle>) {
    return reinterpret_cast<std::uintptr_t>(handle);
  } else {
    return static_cast<std::uintptr_t>(handle);
  }
}
template <class Handle>
Handle handle_of(std::uintptr_t number) noexcept {
  if constexpr (std::is_pointer_v<Handle>) {
    return reinterpret_cast<Handle>(number);
  } else {
    return static_cast<Handle>(number);
  }
}

/// Lives as long as somebody has a handle. After the end of MPI it has size 0, so that every rank is out of range, and
/// is refused by name.
struct comm_state {
  comm_state() = default;
  ~comm_state();
  comm_state(const comm_state&) = delete;
  comm_state& operator=(const comm_state&) = delete;

  std::uintptr_t handle = 0;  // MPI_Comm; see inside/native_handle.hpp
  int rank = -1;
  int size = 0;
  std::string name;
  bool owned = false;  // freed with the last handle
  // Its twin for messages of our own: of collectives over values that are encoded. Made by the first of them.
  std::shared_ptr<comm_state> shadow;
  // Of each rank here the one in world, for who watches.
  std::vector<int> world_ranks;
  std::uint64_t watch_id = 0;    // the same on all ranks; 0: not watched
  std::uintptr_t agreement = 0;  // MPI_Comm, a twin in which the ranks compare their collectives
};

/// Bits of `attention`.
inline constexpr unsigned threads_are_limited = 1;  // not every thread may call MPI at any time
inline constexpr unsigned mpi_is_over = 4;          // its environment was destroyed
inline constexpr unsigned is_watched = 2;           // TUTTI_WATCH=deadlock
/// Not 0: calls have something to do besides.
inline constinit std::atomic<unsigned> attention{0};

/// Whether this is the thread that began MPI.
inline constinit thread_local bool began_here = false;
/// Whether a call has nothing to do but its own.
inline bool is_undisturbed() noexcept {
  const unsigned bits = attention.load(std::memory_order_relaxed);
  return bits == 0 || (bits == threads_are_limited && began_here);
}
/// Throws when this thread may not call MPI, or MPI is not there (any more).
void check_thread(const comm_state& where, const char* call, const place& here);
inline void enter(const comm_state& where, const char* call, const place& here) {
  const unsigned bits = attention.load(std::memory_order_relaxed);
  if ((bits & mpi_is_over) != 0 || ((bits & threads_are_limited) != 0 && !began_here)) [[unlikely]]
    check_thread(where, call, here);
}

}  // namespace tutti::mpi::detail
