#include <tutti/mpi/collectives.hpp>

#include <tutti/mpi/inside/begun.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/native_op.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace tutti::mpi::detail {
namespace {

// `whole`, elements, must be `parts` times `part`.
void check_parts(const comm_state& where, const char* call, const char* name, std::size_t whole, std::size_t part,
                 const place& here) {
  const auto parts = static_cast<std::size_t>(where.size);
  if (whole == part * parts) [[likely]]
    return;
  check_alive(where, call, here);
  refuse(MPI_ERR_COUNT, where, call,
         std::string(": ") + name + " has " + std::to_string(whole) + " elements, and must have " +
             std::to_string(parts) + " times " + std::to_string(part),
         here);
}

void check_equal(const comm_state& where, const char* call, const const_memory& in, const const_memory& out,
                 const place& here) {
  if (in.count == out.count && in.of.size == out.of.size) [[likely]]
    return;
  refuse(MPI_ERR_COUNT, where, call,
         ": in has " + std::to_string(in.count) + " elements of " + std::to_string(in.of.size) +
             " bytes, and out has " + std::to_string(out.count) + " of " + std::to_string(out.of.size),
         here);
}

void check_counts(const comm_state& where, const char* call, std::span<const int> counts, std::size_t elements,
                  const place& here) {
  std::size_t all = 0;
  for (const int count : counts) {
    if (count < 0) refuse(MPI_ERR_COUNT, where, call, ": count " + std::to_string(count) + " is negative", here);
    all += static_cast<std::size_t>(count);
  }
  if (counts.size() != static_cast<std::size_t>(where.size)) {
    refuse(MPI_ERR_COUNT, where, call,
           ": " + std::to_string(counts.size()) + " counts for " + std::to_string(where.size) + " ranks", here);
  }
  if (all > elements) {
    refuse(MPI_ERR_COUNT, where, call,
           ": the counts are of " + std::to_string(all) + " elements, and the memory has " + std::to_string(elements),
           here);
  }
  if (all > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    refuse(MPI_ERR_COUNT, where, call,
           ": " + std::to_string(all) +
               " elements are more than MPI can number; give larger elements, or ranges of ranges",
           here);
  }
}

// This rank's own part.
void check_own_count(const comm_state& where, const char* call, std::span<const int> counts, std::size_t elements,
                     const place& here) {
  const int count = counts[static_cast<std::size_t>(where.rank)];
  if (static_cast<std::size_t>(count) == elements) return;
  refuse(MPI_ERR_COUNT, where, call,
         ": this rank's count is " + std::to_string(count) + ", and it gives " + std::to_string(elements) + " elements",
         here);
}

std::vector<int> offsets_of(std::span<const int> counts) {
  std::vector<int> offsets(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  return offsets;
}

int count_of(const comm_state& where, const char* call, std::size_t elements, const place& here) {
  if (elements <= static_cast<std::size_t>(std::numeric_limits<int>::max())) [[likely]]
    return static_cast<int>(elements);
  refuse(MPI_ERR_COUNT, where, call,
         ": " + std::to_string(elements) + " elements are more than MPI counts; do it in parts", here);
}

// Reductions are element by element, so what is longer than MPI counts is done in parts.
template <class Call>
int in_parts(const const_memory& in, const memory& out, Call call) {
  constexpr std::size_t most = std::size_t{1} << 30;
  for (std::size_t at = 0;;) {
    const std::size_t count = std::min(in.count - at, most);
    const int code = call(static_cast<const char*>(in.data) + at * in.of.size,
                          static_cast<char*>(out.data) + at * in.of.size, static_cast<int>(count));
    at += count;
    if (code != MPI_SUCCESS || at == in.count) return code;
  }
}

MPI_Op op_on(const op_handle& op, [[maybe_unused]] element of) {
#ifdef MPICH_VERSION  // 4.0 compares them as if they had a sign
  if (of.is == kind::uint64 && (op.is == op_kind::max || op.is == op_kind::min)) {
    static const std::uintptr_t largest = make_op(reduce_elements<max_op, std::uint64_t>, true);
    static const std::uintptr_t smallest = make_op(reduce_elements<min_op, std::uint64_t>, true);
    return handle_of<MPI_Op>(op.is == op_kind::max ? largest : smallest);
  }
#endif
  return native_op(op.is, op.made);
}

MPI_Datatype unit_of(element of) { return type_of({.size = of.size}); }

}  // namespace

std::uintptr_t make_op(reducer function, bool commutes) {
  MPI_Op made = MPI_OP_NULL;
  // The two types of functions differ in how the type's handle is spelled.
  auto* const native = reinterpret_cast<MPI_User_function*>(reinterpret_cast<void (*)()>(function));
  MPI_Op_create(native, commutes ? 1 : 0, &made);
  return number_of(made);
}

void barrier(comm_state& where, const place& here) {
  const together waits(where, {.call = "barrier"}, here);
  check(MPI_Barrier(comm_of(where)), where, "barrier", here);
}

started ibarrier(comm_state& where, const place& here) {
  begin_together(where, {.call = "ibarrier"}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(comm_of(where), &handle), where, "ibarrier", here);
  return begun(handle, where, "ibarrier", true, here);
}

// ---------------------------------------------------------------- from one to all

void bcast(comm_state& where, memory both, int root, const place& here) {
  check_root(where, root, "bcast", here);
  const together waits(where, {.call = "bcast", .root = root, .bytes = both.bytes()}, here);
  const byte_count length(both.bytes());
  check(MPI_Bcast(both.data, length.count(), length.type(), root, comm_of(where)), where, "bcast", here);
}

started ibcast(comm_state& where, memory both, int root, const place& here) {
  check_root(where, root, "ibcast", here);
  begin_together(where, {.call = "ibcast", .root = root, .bytes = both.bytes()}, here);
  const byte_count length(both.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ibcast(both.data, length.count(), length.type(), root, comm_of(where), &handle), where, "ibcast", here);
  return begun(handle, where, "ibcast", true, here);
}

std::size_t bcast_size(comm_state& where, std::size_t mine, int root, const place& here) {
  std::uint64_t size = mine;
  bcast(where, writable_memory_of(size), root, here);
  return size;
}

void scatter(comm_state& where, const_memory in, memory out, int root, const place& here) {
  check_root(where, root, "scatter", here);
  if (where.rank == root) check_parts(where, "scatter", "in", in.count, out.count, here);
  const together waits(where, {.call = "scatter", .root = root, .bytes = out.bytes()}, here);
  const byte_count length(out.bytes());
  check(MPI_Scatter(in.data, length.count(), length.type(), out.data, length.count(), length.type(), root,
                    comm_of(where)),
        where, "scatter", here);
}

started iscatter(comm_state& where, const_memory in, memory out, int root, const place& here) {
  check_root(where, root, "iscatter", here);
  if (where.rank == root) check_parts(where, "iscatter", "in", in.count, out.count, here);
  begin_together(where, {.call = "iscatter", .root = root, .bytes = out.bytes()}, here);
  const byte_count length(out.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Iscatter(in.data, length.count(), length.type(), out.data, length.count(), length.type(), root,
                     comm_of(where), &handle),
        where, "iscatter", here);
  return begun(handle, where, "iscatter", true, here);
}

void scatterv(comm_state& where, const_memory in, std::span<const int> counts, memory out, int root,
              const place& here) {
  check_root(where, root, "scatter", here);
  std::vector<int> offsets;
  if (where.rank == root) {
    check_counts(where, "scatter", counts, in.count, here);
    offsets = offsets_of(counts);
  }
  const together waits(where, {.call = "scatter", .root = root, .element_size = out.of.size}, here);
  MPI_Datatype type = unit_of(out.of);
  check(MPI_Scatterv(in.data, counts.data(), offsets.data(), type, out.data,
                     count_of(where, "scatter", out.count, here), type, root, comm_of(where)),
        where, "scatter", here);
}

// ---------------------------------------------------------------- from all

void gather(comm_state& where, const_memory in, memory out, int root, const place& here) {
  check_root(where, root, "gather", here);
  if (where.rank == root) check_parts(where, "gather", "out", out.count, in.count, here);
  const together waits(where, {.call = "gather", .root = root, .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  check(
      MPI_Gather(in.data, length.count(), length.type(), out.data, length.count(), length.type(), root, comm_of(where)),
      where, "gather", here);
}

started igather(comm_state& where, const_memory in, memory out, int root, const place& here) {
  check_root(where, root, "igather", here);
  if (where.rank == root) check_parts(where, "igather", "out", out.count, in.count, here);
  begin_together(where, {.call = "igather", .root = root, .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Igather(in.data, length.count(), length.type(), out.data, length.count(), length.type(), root,
                    comm_of(where), &handle),
        where, "igather", here);
  return begun(handle, where, "igather", true, here);
}

void gatherv(comm_state& where, const_memory in, memory out, std::span<const int> counts, int root, const place& here) {
  check_root(where, root, "gather", here);
  std::vector<int> offsets;
  if (where.rank == root) {
    check_counts(where, "gather", counts, out.count, here);
    offsets = offsets_of(counts);
  }
  if (where.rank == root) check_own_count(where, "gather", counts, in.count, here);
  const together waits(where, {.call = "gather", .root = root, .element_size = in.of.size}, here);
  MPI_Datatype type = unit_of(in.of);
  check(MPI_Gatherv(in.data, count_of(where, "gather", in.count, here), type, out.data, counts.data(), offsets.data(),
                    type, root, comm_of(where)),
        where, "gather", here);
}

void allgather(comm_state& where, const_memory in, memory out, const place& here) {
  check_parts(where, "allgather", "out", out.count, in.count, here);
  const together waits(where, {.call = "allgather", .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  check(MPI_Allgather(in.data, length.count(), length.type(), out.data, length.count(), length.type(), comm_of(where)),
        where, "allgather", here);
}

started iallgather(comm_state& where, const_memory in, memory out, const place& here) {
  check_parts(where, "iallgather", "out", out.count, in.count, here);
  begin_together(where, {.call = "iallgather", .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Iallgather(in.data, length.count(), length.type(), out.data, length.count(), length.type(), comm_of(where),
                       &handle),
        where, "iallgather", here);
  return begun(handle, where, "iallgather", true, here);
}

void allgatherv(comm_state& where, const_memory in, memory out, std::span<const int> counts, const place& here) {
  check_counts(where, "allgather", counts, out.count, here);
  check_own_count(where, "allgather", counts, in.count, here);
  const std::vector<int> offsets = offsets_of(counts);
  const together waits(where, {.call = "allgather", .element_size = in.of.size}, here);
  MPI_Datatype type = unit_of(in.of);
  check(MPI_Allgatherv(in.data, count_of(where, "allgather", in.count, here), type, out.data, counts.data(),
                       offsets.data(), type, comm_of(where)),
        where, "allgather", here);
}

void alltoall(comm_state& where, const_memory in, memory out, const place& here) {
  const std::size_t part = in.count / static_cast<std::size_t>(where.size == 0 ? 1 : where.size);
  check_parts(where, "alltoall", "in", in.count, part, here);
  check_parts(where, "alltoall", "out", out.count, part, here);
  const together waits(where, {.call = "alltoall", .bytes = in.bytes()}, here);
  const byte_count length(part * in.of.size);
  check(MPI_Alltoall(in.data, length.count(), length.type(), out.data, length.count(), length.type(), comm_of(where)),
        where, "alltoall", here);
}

started ialltoall(comm_state& where, const_memory in, memory out, const place& here) {
  const std::size_t part = in.count / static_cast<std::size_t>(where.size == 0 ? 1 : where.size);
  check_parts(where, "ialltoall", "in", in.count, part, here);
  check_parts(where, "ialltoall", "out", out.count, part, here);
  begin_together(where, {.call = "ialltoall", .bytes = in.bytes()}, here);
  const byte_count length(part * in.of.size);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ialltoall(in.data, length.count(), length.type(), out.data, length.count(), length.type(), comm_of(where),
                      &handle),
        where, "ialltoall", here);
  return begun(handle, where, "ialltoall", true, here);
}

void alltoallv(comm_state& where, const_memory in, std::span<const int> out_counts, memory out,
               std::span<const int> in_counts, const place& here) {
  check_counts(where, "alltoall", out_counts, in.count, here);
  check_counts(where, "alltoall", in_counts, out.count, here);
  const std::vector<int> out_offsets = offsets_of(out_counts);
  const std::vector<int> in_offsets = offsets_of(in_counts);
  const together waits(where, {.call = "alltoall", .element_size = in.of.size}, here);
  MPI_Datatype type = unit_of(in.of);
  check(MPI_Alltoallv(in.data, out_counts.data(), out_offsets.data(), type, out.data, in_counts.data(),
                      in_offsets.data(), type, comm_of(where)),
        where, "alltoall", here);
}

// ---------------------------------------------------------------- reductions

void reduce(comm_state& where, const_memory in, memory out, const op_handle& op, int root, const place& here) {
  check_root(where, root, "reduce", here);
  if (where.rank == root) check_equal(where, "reduce", in, out, here);
  const together waits(
      where, {.call = "reduce", .root = root, .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Datatype type = type_of(in.of);
  check(in_parts(in, out,
                 [&](const void* from, void* to, int count) {
                   return MPI_Reduce(from, where.rank == root ? to : nullptr, count, type, op_on(op, in.of), root,
                                     comm_of(where));
                 }),
        where, "reduce", here);
}

started ireduce(comm_state& where, const_memory in, memory out, const op_handle& op, int root, const place& here) {
  check_root(where, root, "ireduce", here);
  if (where.rank == root) check_equal(where, "ireduce", in, out, here);
  begin_together(
      where, {.call = "ireduce", .root = root, .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ireduce(in.data, out.data, count_of(where, "ireduce", in.count, here), type_of(in.of), op_on(op, in.of),
                    root, comm_of(where), &handle),
        where, "ireduce", here);
  return begun(handle, where, "ireduce", true, here);
}

void allreduce(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "allreduce", in, out, here);
  const together waits(where, {.call = "allreduce", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name},
                       here);
  MPI_Datatype type = type_of(in.of);
  check(in_parts(in, out,
                 [&](const void* from, void* to, int count) {
                   return MPI_Allreduce(from, to, count, type, op_on(op, in.of), comm_of(where));
                 }),
        where, "allreduce", here);
}

started iallreduce(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "iallreduce", in, out, here);
  begin_together(where, {.call = "iallreduce", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Iallreduce(in.data, out.data, count_of(where, "iallreduce", in.count, here), type_of(in.of),
                       op_on(op, in.of), comm_of(where), &handle),
        where, "iallreduce", here);
  return begun(handle, where, "iallreduce", true, here);
}

void reduce_scatter(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  static_cast<void>(count_of(where, "reduce_scatter", in.count, here));  // MPI adds the blocks up in an int
  std::vector<int> counts(static_cast<std::size_t>(where.size));
  for (int r = 0; r < where.size; ++r) {
    counts[static_cast<std::size_t>(r)] =
        count_of(where, "reduce_scatter", block_of(in.count, r, where.size).count, here);
  }
  const together waits(
      where, {.call = "reduce_scatter", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  check(MPI_Reduce_scatter(in.data, out.data, counts.data(), type_of(in.of), op_on(op, in.of), comm_of(where)), where,
        "reduce_scatter", here);
}

void reduce_scatter_block(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_parts(where, "reduce_scatter", "in", in.count, out.count, here);
  const together waits(
      where, {.call = "reduce_scatter", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  check(MPI_Reduce_scatter_block(in.data, out.data, count_of(where, "reduce_scatter", out.count, here), type_of(in.of),
                                 op_on(op, in.of), comm_of(where)),
        where, "reduce_scatter", here);
}

started ireduce_scatter_block(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_parts(where, "ireduce_scatter", "in", in.count, out.count, here);
  begin_together(where, {.call = "ireduce_scatter", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name},
                 here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ireduce_scatter_block(in.data, out.data, count_of(where, "ireduce_scatter", out.count, here),
                                  type_of(in.of), op_on(op, in.of), comm_of(where), &handle),
        where, "ireduce_scatter", here);
  return begun(handle, where, "ireduce_scatter", true, here);
}

void scan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "scan", in, out, here);
  const together waits(where, {.call = "scan", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Datatype type = type_of(in.of);
  check(in_parts(in, out,
                 [&](const void* from, void* to, int count) {
                   return MPI_Scan(from, to, count, type, op_on(op, in.of), comm_of(where));
                 }),
        where, "scan", here);
}

void exscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "exscan", in, out, here);
  const together waits(where, {.call = "exscan", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Datatype type = type_of(in.of);
  check(in_parts(in, out,
                 [&](const void* from, void* to, int count) {
                   return MPI_Exscan(from, to, count, type, op_on(op, in.of), comm_of(where));
                 }),
        where, "exscan", here);
}

started iscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "iscan", in, out, here);
  begin_together(where, {.call = "iscan", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Iscan(in.data, out.data, count_of(where, "iscan", in.count, here), type_of(in.of), op_on(op, in.of),
                  comm_of(where), &handle),
        where, "iscan", here);
  return begun(handle, where, "iscan", true, here);
}

started iexscan(comm_state& where, const_memory in, memory out, const op_handle& op, const place& here) {
  check_equal(where, "iexscan", in, out, here);
  begin_together(where, {.call = "iexscan", .bytes = in.bytes(), .element_size = in.of.size, .op = op.name}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Iexscan(in.data, out.data, count_of(where, "iexscan", in.count, here), type_of(in.of), op_on(op, in.of),
                    comm_of(where), &handle),
        where, "iexscan", here);
  return begun(handle, where, "iexscan", true, here);
}

}  // namespace tutti::mpi::detail
