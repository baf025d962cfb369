// Windows: how they begin and end, and shared ones.
#include <tutti/mpi/window.hpp>

#include <tutti/mpi/inside/window_state.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace tutti::mpi::detail {
namespace {

window_handle announce(window_handle window, const char* call, const place& here) {
  comm_state& where = window->where();
  MPI_Win_set_errhandler(window->handle, MPI_ERRORS_RETURN);
  const std::uint64_t mine = window->counts.front();
  window->counts.resize(static_cast<std::size_t>(where.size));
  window->locked.resize(window->counts.size());
  check(MPI_Allgather(&mine, 1, MPI_UINT64_T, window->counts.data(), 1, MPI_UINT64_T, comm_of(where)), where, call,
        here);
  return window;
}

window_handle new_window(const communicator& ranks, std::size_t count, element of, const char* call,
                         const place& here) {
  if (count > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / of.size) {
    refuse(MPI_ERR_SIZE, state_of(ranks), call,
           ": " + std::to_string(count) + " elements of " + std::to_string(of.size) + " bytes are more than memory has",
           here);
  }
  window_handle made(new window_state{.ranks = ranks});
  made->of = of;
  made->counts = {count};
  return made;
}

// Zero on all ranks before any of them goes on.
void clear(const window_state& window, const char* call, const place& here) {
  const std::size_t own = window.counts[static_cast<std::size_t>(window.where().rank)];
  if (own != 0) std::memset(window.base, 0, own * window.of.size);
  check(MPI_Barrier(comm_of(window.where())), window.where(), call, here);
}

}  // namespace

window_handle make_window(const communicator& ranks, std::size_t count, element of, const place& here) {
  constexpr auto call = "window";
  comm_state& where = state_of(ranks);
  const together waits(where, {.call = call, .element_size = of.size}, here);
  window_handle made = new_window(ranks, count, of, call, here);
  const auto bytes = static_cast<MPI_Aint>(count * of.size);
  const auto unit = static_cast<int>(of.size);
  // Each rank's part begins on a page of its own: nobody looks at them side by side, and ranks do not share cache
  // lines. With parts side by side, MPICH 4.0 over UCX reaches the wrong ones.
  MPI_Info info = MPI_INFO_NULL;
  MPI_Info_create(&info);
  MPI_Info_set(info, "alloc_shared_noncontig", "true");
  const int code = MPI_Win_allocate(bytes, unit, info, comm_of(where), static_cast<void*>(&made->base), &made->handle);
  MPI_Info_free(&info);
  check(code, where, call, here);
  made = announce(std::move(made), call, here);
  clear(*made, call, here);
  return made;
}

window_handle make_window_over(const communicator& ranks, std::size_t count, element of, void* given,
                               const place& here) {
  constexpr auto call = "window";
  comm_state& where = state_of(ranks);
  const together waits(where, {.call = call, .element_size = of.size}, here);
  window_handle made = new_window(ranks, count, of, call, here);
  made->base = given;
  const int code = MPI_Win_create(given, static_cast<MPI_Aint>(count * of.size), static_cast<int>(of.size),
                                  MPI_INFO_NULL, comm_of(where), &made->handle);
  if (code != MPI_SUCCESS) {
    made->handle = MPI_WIN_NULL;
    fail(code, where, call,
         ": over memory that is given, which this MPI cannot do here; let the window allocate its own", here);
  }
  made = announce(std::move(made), call, here);
  check(MPI_Barrier(comm_of(where)), where, call, here);
  return made;
}

window_handle make_shared_window(const communicator& ranks, std::size_t count, element of, const place& here) {
  constexpr auto call = "shared_window";
  comm_state& where = state_of(ranks);
  const together waits(where, {.call = call, .element_size = of.size}, here);
  MPI_Comm machine = MPI_COMM_NULL;
  int together_here = 0;
  check(MPI_Comm_split_type(comm_of(where), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine), where, call, here);
  MPI_Comm_size(machine, &together_here);
  MPI_Comm_free(&machine);
  if (together_here != where.size) {
    refuse(MPI_ERR_RMA_SHARED, where, call,
           ": only " + std::to_string(together_here) + " of " + std::to_string(where.size) +
               " ranks are on this machine; split_shared gives a communicator of them",
           here);
  }
  window_handle made = new_window(ranks, count, of, call, here);
  check(MPI_Win_allocate_shared(static_cast<MPI_Aint>(count * of.size), static_cast<int>(of.size), MPI_INFO_NULL,
                                comm_of(where), static_cast<void*>(&made->base), &made->handle),
        where, call, here);
  made = announce(std::move(made), call, here);
  // MPI_Win_sync is allowed inside an epoch alone.
  check(MPI_Win_lock_all(MPI_MODE_NOCHECK, made->handle), where, call, here);
  made->all_locked = true;
  clear(*made, call, here);
  return made;
}

void free_window::operator()(window_state* window) const noexcept {
  const std::unique_ptr<window_state> gone(window);
  const comm_state& where = window->where();
  if (where.size == 0 || window->handle == MPI_WIN_NULL) return;  // MPI has ended, or it was never made
  // The other ranks are not here, and would be waited for in vain.
  if (std::uncaught_exceptions() > window->exceptions) return;
  const watched_call waits("~window", {.by = ended_by::everyone, .where = &where}, {});
  if (window->all_locked) MPI_Win_unlock_all(window->handle);
  if (window->now == epoch::fenced) MPI_Win_fence(MPI_MODE_NOSUCCEED, window->handle);
  MPI_Win_free(&window->handle);
}

void* base_of(const window_state& window) noexcept { return window.base; }
const communicator& ranks_of(const window_state& window) noexcept { return window.ranks; }

std::size_t count_at(const window_state& window, int rank, const char* call, const place& here) {
  check_rank(window, rank, call, here);
  return window.counts[static_cast<std::size_t>(rank)];
}

void* shared_base(const window_state& window, int rank, const place& here) {
  MPI_Aint bytes = 0;
  int unit = 0;
  void* base = nullptr;
  check(MPI_Win_shared_query(window.handle, rank, &bytes, &unit, static_cast<void*>(&base)), window.where(), "of",
        here);
  return base;
}

void sync(window_state& window, const place& here) {
  const together waits(window.where(), {.call = "sync"}, here);
  check(MPI_Win_sync(window.handle), window.where(), "sync", here);
  check(MPI_Barrier(comm_of(window.where())), window.where(), "sync", here);
  check(MPI_Win_sync(window.handle), window.where(), "sync", here);
}

}  // namespace tutti::mpi::detail
