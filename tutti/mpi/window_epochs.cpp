// Windows: fences, locks, and post, start, complete, wait.
#include <tutti/mpi/inside/window_state.hpp>
#include <tutti/mpi/window.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>

namespace tutti::mpi {
namespace detail {

namespace {
void check_free(const window_state& window, const char* call, const place& here) {
  begin(window, call, here);
  if (window.now == epoch::fenced) refuse_epoch(window, call, "between fences: end_fence first", here);
  if (window.now == epoch::started) refuse_epoch(window, call, "between start and complete: complete first", here);
  if (window.all_locked) refuse_epoch(window, call, "all ranks are locked already", here);
}

class group {
 public:
  group(const window_state& window, std::span<const int> ranks, const char* call, const place& here) {
    for (const int rank : ranks) check_rank(window, rank, call, here);
    MPI_Group all = MPI_GROUP_NULL;
    check(MPI_Win_get_group(window.handle, &all), window.where(), call, here);
    const int code = MPI_Group_incl(all, static_cast<int>(ranks.size()), ranks.data(), &some_);
    MPI_Group_free(&all);
    check(code, window.where(), call, here);
  }
  ~group() {
    if (some_ != MPI_GROUP_EMPTY && some_ != MPI_GROUP_NULL) MPI_Group_free(&some_);
  }
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  [[nodiscard]] MPI_Group handle() const noexcept { return some_; }

 private:
  MPI_Group some_ = MPI_GROUP_NULL;
};
}  // namespace

void fence(window_state& window, bool ends, const place& here) {
  const char* const call = ends ? "end_fence" : "fence";
  begin(window, call, here);
  if (window.locks != 0 || window.all_locked) refuse_epoch(window, call, "a lock is held: unlock first", here);
  if (window.now == epoch::started) refuse_epoch(window, call, "between start and complete: complete first", here);
  if (window.posted) refuse_epoch(window, call, "between post and wait: wait first", here);
  const together waits(window.where(), {.call = call}, here);
  check(MPI_Win_fence(ends ? MPI_MODE_NOSUCCEED : 0, window.handle), window.where(), call, here);
  window.now = ends ? epoch::none : epoch::fenced;
  window.kept.clear();
}

void lock(window_state& window, int rank, bool alone, const place& here) {
  check_free(window, "lock", here);
  check_rank(window, rank, "lock", here);
  const auto r = static_cast<std::size_t>(rank);
  if (window.locked[r]) refuse_epoch(window, "lock", "rank " + std::to_string(rank) + " is locked already", here);
  check(MPI_Win_lock(alone ? MPI_LOCK_EXCLUSIVE : MPI_LOCK_SHARED, rank, 0, window.handle), window.where(), "lock",
        here);
  window.locked[r] = true;
  ++window.locks;
}

void lock_all(window_state& window, const place& here) {
  check_free(window, "lock_all", here);
  if (window.locks != 0) refuse_epoch(window, "lock_all", "a rank is locked already", here);
  check(MPI_Win_lock_all(0, window.handle), window.where(), "lock_all", here);
  window.all_locked = true;
}

void unlock(window_state& window, int rank, const place& here) {
  begin(window, "unlock", here);
  if (rank < 0) {
    window.all_locked = false;
  } else {
    window.locked[static_cast<std::size_t>(rank)] = false;
    --window.locks;
  }
  const int code = rank < 0 ? MPI_Win_unlock_all(window.handle) : MPI_Win_unlock(rank, window.handle);
  check(code, window.where(), "unlock", here);
}

void flush(window_state& window, int rank, const place& here) {
  begin(window, "flush", here);
  if (rank < 0) {
    if (window.locks == 0 && !window.all_locked) {
      refuse_epoch(window, "flush", "no rank is locked: lock(rank) or lock_all first", here);
    }
    check(MPI_Win_flush_all(window.handle), window.where(), "flush", here);
  } else {
    check_locked(window, rank, "flush", here);
    check(MPI_Win_flush(rank, window.handle), window.where(), "flush", here);
  }
}

void post(window_state& window, std::span<const int> ranks, const place& here) {
  begin(window, "post", here);
  if (window.posted) refuse_epoch(window, "post", "it was called already: wait first", here);
  if (window.now == epoch::fenced) refuse_epoch(window, "post", "between fences: end_fence first", here);
  if (window.locks != 0 || window.all_locked) refuse_epoch(window, "post", "a lock is held: unlock first", here);
  const group who(window, ranks, "post", here);
  check(MPI_Win_post(who.handle(), 0, window.handle), window.where(), "post", here);
  window.posted = true;
}

void start(window_state& window, std::span<const int> ranks, const place& here) {
  check_free(window, "start", here);
  if (window.locks != 0) refuse_epoch(window, "start", "a rank is locked: unlock first", here);
  const group who(window, ranks, "start", here);
  check(MPI_Win_start(who.handle(), 0, window.handle), window.where(), "start", here);
  window.now = epoch::started;
}

void complete(window_state& window, const place& here) {
  begin(window, "complete", here);
  if (window.now != epoch::started) refuse_epoch(window, "complete", "start was not called", here);
  check(MPI_Win_complete(window.handle), window.where(), "complete", here);
  window.now = epoch::none;
  window.kept.clear();
}

void wait(window_state& window, const place& here) {
  begin(window, "wait", here);
  if (!window.posted) refuse_epoch(window, "wait", "post was not called", here);
  check(MPI_Win_wait(window.handle), window.where(), "wait", here);
  window.posted = false;
}

}  // namespace detail

window_lock::~window_lock() {
  if (of_ == nullptr) return;
  try {
    detail::unlock(*of_, rank_, {});
  } catch (const std::exception& failed) {
    // Nobody would hear of it: what was written may not have arrived.
    std::fprintf(stderr, "tutti: %s\n", failed.what());
  }
}

void window_lock::unlock(place here) {
  if (of_ == nullptr) return;
  detail::unlock(*std::exchange(of_, nullptr), rank_, here);
}

}  // namespace tutti::mpi
