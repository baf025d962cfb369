#include <tutti/mpi/window.hpp>

#include <tutti/mpi/inside/native_op.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi {
namespace detail {

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

namespace {

void begin(const window_state& window, const char* call, const place& here) {
  enter(window.where(), call, here);
  check_alive(window.where(), call, here);
}

[[noreturn]] void refuse_epoch(const window_state& window, const char* call, const std::string& why,
                               const place& here) {
  refuse(MPI_ERR_RMA_SYNC, window.where(), call, ": " + why, here);
}

void check_rank(const window_state& window, int rank, const char* call, const place& here) {
  const comm_state& where = window.where();
  if (static_cast<unsigned>(rank) < static_cast<unsigned>(where.size)) [[likely]]
    return;
  check_alive(where, call, here);
  refuse(MPI_ERR_RANK, where, call,
         ": rank " + std::to_string(rank) + " is not one of 0 to " + std::to_string(where.size - 1), here);
}

void check_range(const window_state& window, int rank, std::size_t offset, std::size_t count, const char* call,
                 const place& here) {
  begin(window, call, here);
  check_rank(window, rank, call, here);
  const std::uint64_t there = window.counts[static_cast<std::size_t>(rank)];
  if (offset <= there && count <= there - offset) [[likely]]
    return;
  refuse(MPI_ERR_RMA_RANGE, window.where(), call,
         ": " + std::to_string(count) + " elements from offset " + std::to_string(offset) + " on reach beyond the " +
             std::to_string(there) + " of rank " + std::to_string(rank),
         here);
}

void check_same(const window_state& window, const const_memory& what, const memory& before, const char* call,
                const place& here) {
  if (what.count == before.count) [[likely]]
    return;
  refuse(MPI_ERR_COUNT, window.where(), call,
         ": " + std::to_string(what.count) + " elements, and room for " + std::to_string(before.count) +
             " of what was there before",
         here);
}

MPI_Aint at(std::size_t offset) noexcept { return static_cast<MPI_Aint>(offset); }

MPI_Op native_op(const update& op) noexcept {
  switch (op.how) {
    case update_kind::replace: return MPI_REPLACE;
    case update_kind::leave: return MPI_NO_OP;
    case update_kind::reduce: break;
  }
  return detail::native_op(op.is);
}

// In the epoch that this rank is in; when it is in none, in one of its own, at the end of which it has happened.
template <class Call>
void in_epoch(window_state& window, int rank, const char* name, const place& here, Call call) {
  const comm_state& where = window.where();
  if (window.now != epoch::none || window.is_locked(rank)) {
    check(call(), where, name, here);
    return;
  }
  if (window.locks != 0) {
    refuse_epoch(window, name, "rank " + std::to_string(rank) + " is not locked, and others are", here);
  }
  check(MPI_Win_lock(MPI_LOCK_SHARED, rank, 0, window.handle), where, name, here);
  const int code = call();
  const int unlocked = MPI_Win_unlock(rank, window.handle);
  check(code, where, name, here);
  check(unlocked, where, name, here);
}

// The same; it has happened here when it returns.
template <class Call>
void in_epoch_now(window_state& window, int rank, const char* name, const place& here, Call call) {
  if (window.now != epoch::none) {
    refuse_epoch(window, name,
                 window.now == epoch::fenced
                     ? "between fences nothing has happened before the next one: use get_into or get_accumulate_into, "
                       "or end_fence and a lock"
                     : "between start and complete nothing has happened before complete: use get_into or "
                       "get_accumulate_into",
                 here);
  }
  const bool is_locked = window.is_locked(rank);
  in_epoch(window, rank, name, here, call);
  if (is_locked) check(MPI_Win_flush(rank, window.handle), window.where(), name, here);
}

// A value that may be gone soon: memory that stays until the end of the epoch.
const void* keep(window_state& window, int rank, const const_memory& what) {
  const bool ends_at_once = window.now == epoch::none && !window.is_locked(rank);
  if (ends_at_once) return what.data;
  const auto* const bytes = static_cast<const std::byte*>(what.data);
  return window.kept.emplace_back(bytes, bytes + what.bytes()).data();
}
// Under a lock it need not stay that long.
void let_go(window_state& window, int rank, const char* name, const place& here) {
  if (window.now != epoch::none || !window.is_locked(rank)) return;
  check(MPI_Win_flush_local(rank, window.handle), window.where(), name, here);
  window.kept.pop_back();
}

// What is longer than MPI counts is done in parts.
template <class Call>
int in_parts(std::size_t count, Call call) {
  constexpr std::size_t most = std::size_t{1} << 30;
  for (std::size_t first = 0;;) {
    const std::size_t part = std::min(count - first, most);
    const int code = call(first, static_cast<int>(part));
    first += part;
    if (code != MPI_SUCCESS || first == count) return code;
  }
}

const char* at_element(const const_memory& what, std::size_t i) noexcept {
  return static_cast<const char*>(what.data) + i * what.of.size;
}
char* at_element(const memory& what, std::size_t i) noexcept {
  return static_cast<char*>(what.data) + i * what.of.size;
}

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

window_handle new_window(const communicator& ranks, std::size_t count, element of) {
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

// ---------------------------------------------------------------- beginning and end

window_handle make_window(const communicator& ranks, std::size_t count, element of, const place& here) {
  constexpr auto call = "window";
  comm_state& where = state_of(ranks);
  const together waits(where, {.call = call, .element_size = of.size}, here);
  window_handle made = new_window(ranks, count, of);
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
  window_handle made = new_window(ranks, count, of);
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
  window_handle made = new_window(ranks, count, of);
  check(MPI_Win_allocate_shared(static_cast<MPI_Aint>(count * of.size), static_cast<int>(of.size), MPI_INFO_NULL,
                                comm_of(where), &made->base, &made->handle),
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

// ---------------------------------------------------------------- reading and writing

void put(window_state& window, const_memory what, int rank, std::size_t offset, origin from, const place& here) {
  check_range(window, rank, offset, what.count, "put", here);
  if (from == origin::goes) what.data = keep(window, rank, what);
  in_epoch(window, rank, "put", here, [&] {
    const byte_count length(what.bytes());
    return MPI_Put(what.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                   window.handle);
  });
  if (from == origin::goes) let_go(window, rank, "put", here);
}

void get(window_state& window, memory into, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, into.count, "get_into", here);
  in_epoch(window, rank, "get_into", here, [&] {
    const byte_count length(into.bytes());
    return MPI_Get(into.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                   window.handle);
  });
}

void get_now(window_state& window, memory into, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, into.count, "get", here);
  in_epoch_now(window, rank, "get", here, [&] {
    const byte_count length(into.bytes());
    return MPI_Get(into.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                   window.handle);
  });
}

namespace {
void check_locked(const window_state& window, int rank, const char* call, const place& here) {
  if (!window.is_locked(rank)) {
    refuse_epoch(window, call, "rank " + std::to_string(rank) + " is not locked: lock(rank) or lock_all first", here);
  }
}
// peer: nobody, as it ends without anything that another rank must do.
started begun(MPI_Request handle, const window_state& window, const char* call, const place& here) {
  return {.handle = number_of(handle), .where = &window.where(), .call = call, .here = here};
}
}  // namespace

started rput(window_state& window, const_memory what, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, what.count, "rput", here);
  check_locked(window, rank, "rput", here);
  const byte_count length(what.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Rput(what.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                 window.handle, &handle),
        window.where(), "rput", here);
  return begun(handle, window, "rput", here);
}

started rget(window_state& window, memory into, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, into.count, "rget", here);
  check_locked(window, rank, "rget", here);
  const byte_count length(into.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Rget(into.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                 window.handle, &handle),
        window.where(), "rget", here);
  return begun(handle, window, "rget", here);
}

// ---------------------------------------------------------------- atomic

void accumulate(window_state& window, const_memory what, int rank, std::size_t offset, update op, origin from,
                const place& here) {
  check_range(window, rank, offset, what.count, "accumulate", here);
  if (from == origin::goes) what.data = keep(window, rank, what);
  const MPI_Datatype type = type_of(what.of);
  in_epoch(window, rank, "accumulate", here, [&] {
    return in_parts(what.count, [&](std::size_t first, int count) {
      return MPI_Accumulate(at_element(what, first), count, type, rank, at(offset + first), count, type, native_op(op),
                            window.handle);
    });
  });
  if (from == origin::goes) let_go(window, rank, "accumulate", here);
}

void get_accumulate(window_state& window, const_memory what, memory before, int rank, std::size_t offset, update op,
                    const place& here) {
  constexpr auto call = "get_accumulate_into";
  check_range(window, rank, offset, what.count, call, here);
  check_same(window, what, before, call, here);
  const MPI_Datatype type = type_of(what.of);
  in_epoch(window, rank, call, here, [&] {
    return in_parts(what.count, [&](std::size_t first, int count) {
      return MPI_Get_accumulate(at_element(what, first), count, type, at_element(before, first), count, type, rank,
                                at(offset + first), count, type, native_op(op), window.handle);
    });
  });
}

void fetch_and_op(window_state& window, const_memory what, memory before, int rank, std::size_t offset, update op,
                  const place& here) {
  check_range(window, rank, offset, 1, "fetch_and_op", here);
  in_epoch_now(window, rank, "fetch_and_op", here, [&] {
    return MPI_Fetch_and_op(what.data, before.data, type_of(what.of), rank, at(offset), native_op(op), window.handle);
  });
}

void compare_and_swap(window_state& window, const_memory expected, const_memory desired, memory before, int rank,
                      std::size_t offset, const place& here) {
  check_range(window, rank, offset, 1, "compare_and_swap", here);
  in_epoch_now(window, rank, "compare_and_swap", here, [&] {
    return MPI_Compare_and_swap(desired.data, expected.data, before.data, type_of(expected.of), rank, at(offset),
                                window.handle);
  });
}

// ---------------------------------------------------------------- epochs

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
