// Windows: reading and writing, and what is atomic.
#include <tutti/mpi/inside/begun.hpp>
#include <tutti/mpi/inside/native_op.hpp>
#include <tutti/mpi/inside/window_state.hpp>
#include <tutti/mpi/window.hpp>

#include <algorithm>
#include <string>

namespace tutti::mpi::detail {
namespace {

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

}  // namespace

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

started rput(window_state& window, const_memory what, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, what.count, "rput", here);
  check_locked(window, rank, "rput", here);
  const byte_count length(what.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Rput(what.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                 window.handle, &handle),
        window.where(), "rput", here);
  return begun(handle, window.where(), "rput", false, here);
}

started rget(window_state& window, memory into, int rank, std::size_t offset, const place& here) {
  check_range(window, rank, offset, into.count, "rget", here);
  check_locked(window, rank, "rget", here);
  const byte_count length(into.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Rget(into.data, length.count(), length.type(), rank, at(offset), length.count(), length.type(),
                 window.handle, &handle),
        window.where(), "rget", here);
  return begun(handle, window.where(), "rget", false, here);
}

// ---------------------------------------------------------------- atomic

void accumulate(window_state& window, const_memory what, int rank, std::size_t offset, update op, origin from,
                const place& here) {
  check_range(window, rank, offset, what.count, "accumulate", here);
  if (from == origin::goes) what.data = keep(window, rank, what);
  MPI_Datatype type = type_of(what.of);
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
  MPI_Datatype type = type_of(what.of);
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

}  // namespace tutti::mpi::detail
