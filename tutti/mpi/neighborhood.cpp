#include <tutti/mpi/neighborhood.hpp>

#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <limits>
#include <string>

namespace tutti::mpi::detail {
namespace {

started begun(MPI_Request handle, comm_state& where, const char* call, const place& here) {
  return {.handle = number_of(handle), .where = &where, .call = call, .is_collective = true, .here = here};
}

// The bytes of each of so many blocks.
std::size_t block_size(const comm_state& where, const char* call, const char* name, const memory& all,
                       std::size_t blocks, const place& here) {
  if (blocks == 0 ? all.count == 0 : all.count % blocks == 0) [[likely]]
    return blocks == 0 ? 0 : all.bytes() / blocks;
  refuse(MPI_ERR_COUNT, where, call,
         std::string(": ") + name + " has " + std::to_string(all.count) + " elements, which are not the same number for " +
             std::to_string(blocks) + " neighbours",
         here);
}

void check_blocks(const comm_state& where, const char* call, const const_memory& in, const memory& out,
                  std::size_t blocks, const place& here) {
  if (out.bytes() == in.bytes() * blocks) [[likely]]
    return;
  refuse(MPI_ERR_COUNT, where, call,
         ": out has " + std::to_string(out.bytes()) + " bytes, and must have " + std::to_string(blocks) + " times " +
             std::to_string(in.bytes()) + ", one block for each neighbour",
         here);
}

std::vector<int> offsets_of(const comm_state& where, const char* call, std::span<const int> counts, std::size_t blocks,
                            std::size_t elements, const place& here) {
  if (counts.size() != blocks) {
    refuse(MPI_ERR_COUNT, where, call,
           ": " + std::to_string(counts.size()) + " counts for " + std::to_string(blocks) + " neighbours", here);
  }
  std::vector<int> offsets;
  std::size_t all = 0;
  for (const int count : counts) {
    if (count < 0) refuse(MPI_ERR_COUNT, where, call, ": count " + std::to_string(count) + " is negative", here);
    offsets.push_back(static_cast<int>(all));
    all += static_cast<std::size_t>(count);
    if (all > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
      refuse(MPI_ERR_COUNT, where, call, ": the counts are of more elements than MPI can number", here);
    }
  }
  if (all > elements) {
    refuse(MPI_ERR_COUNT, where, call,
           ": the counts are of " + std::to_string(all) + " elements, and the memory has " + std::to_string(elements),
           here);
  }
  return offsets;
}

// What alltoall checks: the bytes of a block.
std::size_t alltoall_block(const comm_state& where, const neighbors& who, const char* call, const const_memory& in,
                           const memory& out, const place& here) {
  const memory sent{const_cast<void*>(in.data), in.count, in.of};
  const std::size_t to_each = block_size(where, call, "in", sent, who.destinations.size(), here);
  const std::size_t from_each = block_size(where, call, "out", out, who.sources.size(), here);
  if (to_each != from_each && !who.destinations.empty() && !who.sources.empty()) {
    refuse(MPI_ERR_COUNT, where, call,
           ": blocks of " + std::to_string(to_each) + " bytes go out, and there is room for blocks of " +
               std::to_string(from_each),
           here);
  }
  return who.destinations.empty() ? from_each : to_each;
}

MPI_Datatype unit_of(element of) { return type_of({.size = of.size}); }

}  // namespace

void neighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "neighbor_allgather";
  check_blocks(where, call, in, out, who.sources.size(), here);
  const together waits(where, {.call = call, .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  check(MPI_Neighbor_allgather(in.data, length.count(), length.type(), out.data, length.count(), length.type(),
                               comm_of(where)),
        where, call, here);
}

started ineighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "ineighbor_allgather";
  check_blocks(where, call, in, out, who.sources.size(), here);
  begin_together(where, {.call = call, .bytes = in.bytes()}, here);
  const byte_count length(in.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ineighbor_allgather(in.data, length.count(), length.type(), out.data, length.count(), length.type(),
                                comm_of(where), &handle),
        where, call, here);
  return begun(handle, where, call, here);
}

void neighbor_allgatherv(comm_state& where, const neighbors& who, const_memory in, memory out,
                         std::span<const int> counts, const place& here) {
  constexpr auto call = "neighbor_allgather";
  const std::vector<int> offsets = offsets_of(where, call, counts, who.sources.size(), out.count, here);
  if (in.count > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    refuse(MPI_ERR_COUNT, where, call, ": " + std::to_string(in.count) + " elements are more than MPI counts", here);
  }
  const together waits(where, {.call = call, .element_size = in.of.size}, here);
  const MPI_Datatype type = unit_of(in.of);
  check(MPI_Neighbor_allgatherv(in.data, static_cast<int>(in.count), type, out.data, counts.data(), offsets.data(),
                                type, comm_of(where)),
        where, call, here);
}

void neighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "neighbor_alltoall";
  const std::size_t part = alltoall_block(where, who, call, in, out, here);
  const together waits(where, {.call = call}, here);
  const byte_count length(part);
  check(MPI_Neighbor_alltoall(in.data, length.count(), length.type(), out.data, length.count(), length.type(),
                              comm_of(where)),
        where, call, here);
}

started ineighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "ineighbor_alltoall";
  const std::size_t part = alltoall_block(where, who, call, in, out, here);
  begin_together(where, {.call = call}, here);
  const byte_count length(part);
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ineighbor_alltoall(in.data, length.count(), length.type(), out.data, length.count(), length.type(),
                               comm_of(where), &handle),
        where, call, here);
  return begun(handle, where, call, here);
}

void neighbor_alltoallv(comm_state& where, const neighbors& who, const_memory in, std::span<const int> out_counts,
                        memory out, std::span<const int> in_counts, const place& here) {
  constexpr auto call = "neighbor_alltoall";
  const std::vector<int> out_offsets = offsets_of(where, call, out_counts, who.destinations.size(), in.count, here);
  const std::vector<int> in_offsets = offsets_of(where, call, in_counts, who.sources.size(), out.count, here);
  const together waits(where, {.call = call, .element_size = in.of.size}, here);
  const MPI_Datatype type = unit_of(in.of);
  check(MPI_Neighbor_alltoallv(in.data, out_counts.data(), out_offsets.data(), type, out.data, in_counts.data(),
                               in_offsets.data(), type, comm_of(where)),
        where, call, here);
}

// Messages in the twin of the communicator. In a grid, the tag is the number that the message has among what the
// receiver gets: two ranks may be neighbours on both sides.
neighbor_pieces exchange_with_neighbors(comm_state& where, const neighbors& who, const pieces& out, const char* call,
                                        const place& here) {
  if (out.size() != who.destinations.size()) {
    check_alive(where, call, here);
    refuse(MPI_ERR_COUNT, where, call,
           ": " + std::to_string(out.size()) + " values for " + std::to_string(who.destinations.size()) + " neighbours",
           here);
  }
  begin_values(where, call, -1, here);
  comm_state& own = shadow_of(where, here);
  std::vector<request> sent;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int to = who.destinations[i];
    if (to == no_rank) continue;
    const int tag = who.is_grid ? static_cast<int>(i ^ 1) : 0;
    sent.emplace_back(isend(own, out.at(i), to, tag, send_mode::standard, here));
  }
  neighbor_pieces came(who.sources.size());
  for (std::size_t i = 0; i < came.size(); ++i) {
    const int from = who.sources[i];
    if (from == no_rank) continue;
    found_message found = mprobe(own, from, who.is_grid ? static_cast<int>(i) : 0, call, here);
    std::string& piece = came[i].emplace(found.about.bytes, '\0');
    mrecv(own, found, piece.data(), call, here);
  }
  wait_all(sent, here);
  return came;
}

}  // namespace tutti::mpi::detail
