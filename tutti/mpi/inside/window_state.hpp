// window_state: a window, and what this rank has begun in it.
#pragma once
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>
#include <tutti/mpi/window_calls.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <string>
#include <vector>

namespace tutti::mpi::detail {

// What this rank has begun to reach into.
enum class epoch : std::uint8_t { none, fenced, started };

struct window_state {
  communicator ranks;
  MPI_Win handle = MPI_WIN_NULL;
  void* base = nullptr;
  std::vector<std::uint64_t> counts{};  // of all ranks
  element of{};
  int exceptions = std::uncaught_exceptions();

  epoch now = epoch::none;
  bool posted = false;
  std::vector<bool> locked{};  // of all ranks
  int locks = 0;
  bool all_locked = false;
  // Values that MPI reads until the end of the epoch.
  std::deque<std::vector<std::byte>> kept{};

  [[nodiscard]] comm_state& where() const noexcept { return state_of(ranks); }
  [[nodiscard]] bool is_locked(int rank) const { return all_locked || locked[static_cast<std::size_t>(rank)]; }
};

inline void begin(const window_state& window, const char* call, const place& here) {
  enter(window.where(), call, here);
  check_alive(window.where(), call, here);
}

[[noreturn]] inline void refuse_epoch(const window_state& window, const char* call, const std::string& why,
                                      const place& here) {
  refuse(MPI_ERR_RMA_SYNC, window.where(), call, ": " + why, here);
}

inline void check_rank(const window_state& window, int rank, const char* call, const place& here) {
  const comm_state& where = window.where();
  if (static_cast<unsigned>(rank) < static_cast<unsigned>(where.size)) [[likely]]
    return;
  check_alive(where, call, here);
  refuse(MPI_ERR_RANK, where, call,
         ": rank " + std::to_string(rank) + " is not one of 0 to " + std::to_string(where.size - 1), here);
}

inline void check_locked(const window_state& window, int rank, const char* call, const place& here) {
  if (!window.is_locked(rank)) {
    refuse_epoch(window, call, "rank " + std::to_string(rank) + " is not locked: lock(rank) or lock_all first", here);
  }
}

}  // namespace tutti::mpi::detail
