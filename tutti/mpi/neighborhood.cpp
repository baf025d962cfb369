#include <tutti/mpi/neighborhood.hpp>

#include <tutti/mpi/inside/begun.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

namespace tutti::mpi::detail {
namespace {

// The bytes of each of so many blocks.
std::size_t block_size(const comm_state& where, const char* call, const char* name, const memory& all,
                       std::size_t blocks, const place& here) {
  if (blocks == 0 ? all.count == 0 : all.count % blocks == 0) [[likely]]
    return blocks == 0 ? 0 : all.bytes() / blocks;
  refuse(MPI_ERR_COUNT, where, call,
         std::string(": ") + name + " has " + std::to_string(all.count) +
             " elements, which are not the same number for " + std::to_string(blocks) + " neighbours",
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
  offsets.reserve(counts.size() + 1);  // MPI wants an address also where there are none
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

// MPICH wants an address also where nothing is.
void* address_of(const memory& what) noexcept {
  static std::max_align_t nothing;
  return what.data == nullptr ? &nothing : what.data;
}
const void* address_of(const const_memory& what) noexcept {
  return address_of(memory{const_cast<void*>(what.data), what.count, what.of});
}

// Where one rank is the neighbour on two sides, of a ring of two or one, what goes left must come from the right. Open
// MPI 4.1 mixes that up in MPI_Ineighbor_alltoall, MPICH 4.0 in MPI_Neighbor_alltoallv. So all blocks for one neighbour
// are one message: the sender's blocks in the order of their numbers, i, which are i ^ 1 at the receiver.
class merged {
 public:
  merged(const neighbors& who, const const_memory& in, std::span<const int> out_counts, const memory& out,
         std::span<const int> in_counts)
      : peers_(unique_of(who.destinations)),
        // What MPI reads until the end: offsets, the types of what goes out and of what comes in, counts.
        kept_(std::make_unique<owned_value<std::string>>(
            std::string(peers_.size() * (2 * sizeof(MPI_Datatype) + sizeof(MPI_Aint) + sizeof(int)), '\0'))) {
    const std::size_t n = peers_.size();
    offsets_ = reinterpret_cast<MPI_Aint*>(kept_->value.data());  // all 0; first, as it needs the most alignment
    out_types_ = reinterpret_cast<MPI_Datatype*>(offsets_ + n);
    in_types_ = out_types_ + n;
    counts_ = reinterpret_cast<int*>(in_types_ + n);
    std::fill_n(counts_, n, 1);
    for (std::size_t p = 0; p < n; ++p) {
      out_types_[p] = type_for(who.destinations, peers_[p], out_counts, in.of, 0);
      in_types_[p] = type_for(who.sources, peers_[p], in_counts, out.of, 1);
      made_.insert(made_.end(), {out_types_[p], in_types_[p]});
    }
  }
  ~merged() {
    for (MPI_Datatype& type : made_) MPI_Type_free(&type);  // MPI keeps what is in use
  }
  merged(const merged&) = delete;
  merged& operator=(const merged&) = delete;

  static std::vector<int> unique_of(const std::vector<int>& ranks) {
    std::vector<int> once;
    for (const int rank : ranks) {
      if (rank != no_rank && std::find(once.begin(), once.end(), rank) == once.end()) once.push_back(rank);
    }
    return once;
  }

  int run(const neighbors& who, const const_memory& in, const memory& out) {
    return MPI_Neighbor_alltoallw(address_of(in), counts_, offsets_, out_types_, address_of(out), counts_, offsets_,
                                  in_types_, comm_of(*who.each_once));
  }
  int begin(const neighbors& who, const const_memory& in, const memory& out, MPI_Request& handle) {
    return MPI_Ineighbor_alltoallw(address_of(in), counts_, offsets_, out_types_, address_of(out), counts_, offsets_,
                                   in_types_, comm_of(*who.each_once), &handle);
  }
  /// What MPI reads until the end of what was begun.
  std::unique_ptr<owned_value<std::string>> keep() noexcept { return std::move(kept_); }

 private:
  static MPI_Datatype type_for(const std::vector<int>& ranks, int peer, std::span<const int> counts, element of,
                               std::size_t flipped) {
    std::vector<MPI_Aint> starts;
    MPI_Aint at = 0;
    for (const int count : counts) {
      starts.push_back(at);
      at += static_cast<MPI_Aint>(count) * of.size;
    }
    std::vector<int> lengths;
    std::vector<MPI_Aint> offsets;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const std::size_t block = i ^ flipped;
      if (ranks[block] != peer) continue;
      lengths.push_back(counts[block]);
      offsets.push_back(starts[block]);
    }
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_Type_create_hindexed(static_cast<int>(lengths.size()), lengths.data(), offsets.data(), unit_of(of), &type);
    MPI_Type_commit(&type);
    return type;
  }

  std::vector<int> peers_;
  std::vector<MPI_Datatype> made_;
  std::unique_ptr<owned_value<std::string>> kept_;
  MPI_Aint* offsets_ = nullptr;
  MPI_Datatype* out_types_ = nullptr;
  MPI_Datatype* in_types_ = nullptr;
  int* counts_ = nullptr;
};

// As many elements for each.
std::vector<int> equal_counts(const comm_state& where, const char* call, const neighbors& who, std::size_t bytes,
                              element of, const place& here) {
  if (bytes / of.size > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    refuse(MPI_ERR_COUNT, where, call, ": blocks of " + std::to_string(bytes) + " bytes are more than MPI counts",
           here);
  }
  return std::vector<int>(who.sources.size(), static_cast<int>(bytes / of.size));
}

}  // namespace

void make_each_once(comm_state& where, neighbors& who, const place& here) {
  // All ranks of a grid see the same: which dimensions are short and wrap around.
  bool doubled = false;
  for (std::size_t i = 0; i + 1 < who.sources.size(); i += 2) {
    doubled = doubled || (who.sources[i] != no_rank && who.sources[i] == who.sources[i + 1]);
  }
  if (!doubled) return;
  const std::vector<int> peers = merged::unique_of(who.sources);
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Dist_graph_create_adjacent(comm_of(where), static_cast<int>(peers.size()), peers.data(), MPI_UNWEIGHTED,
                                       static_cast<int>(peers.size()), peers.data(), MPI_UNWEIGHTED, MPI_INFO_NULL, 0,
                                       &made),
        where, "cartesian", here);
  who.each_once = std::make_shared<comm_state>();
  adopt(*who.each_once, number_of(made), where.name, true);
}

void neighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "neighbor_allgather";
  check_blocks(where, call, in, out, who.sources.size(), here);
  const together waits(where, {.call = call}, here);  // ranks that are no neighbours may give other sizes
  const byte_count length(in.bytes());
  check(MPI_Neighbor_allgather(address_of(in), length.count(), length.type(), address_of(out), length.count(),
                               length.type(), comm_of(where)),
        where, call, here);
}

started ineighbor_allgather(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "ineighbor_allgather";
  check_blocks(where, call, in, out, who.sources.size(), here);
  begin_together(where, {.call = call}, here);
  const byte_count length(in.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_Ineighbor_allgather(address_of(in), length.count(), length.type(), address_of(out), length.count(),
                                length.type(), comm_of(where), &handle),
        where, call, here);
  return begun(handle, where, call, true, here);
}

void neighbor_allgatherv(comm_state& where, const neighbors& who, const_memory in, memory out,
                         std::span<const int> counts, const place& here) {
  constexpr auto call = "neighbor_allgather";
  const std::vector<int> offsets = offsets_of(where, call, counts, who.sources.size(), out.count, here);
  if (in.count > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    refuse(MPI_ERR_COUNT, where, call, ": " + std::to_string(in.count) + " elements are more than MPI counts", here);
  }
  const together waits(where, {.call = call, .element_size = in.of.size}, here);
  MPI_Datatype type = unit_of(in.of);
  const int none = 0;
  check(MPI_Neighbor_allgatherv(address_of(in), static_cast<int>(in.count), type, address_of(out),
                                counts.empty() ? &none : counts.data(), offsets.data(), type, comm_of(where)),
        where, call, here);
}

void neighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out, const place& here) {
  constexpr auto call = "neighbor_alltoall";
  const std::size_t part = alltoall_block(where, who, call, in, out, here);
  const together waits(where, {.call = call}, here);
  const byte_count length(part);
  check(MPI_Neighbor_alltoall(address_of(in), length.count(), length.type(), address_of(out), length.count(),
                              length.type(), comm_of(where)),
        where, call, here);
}

owning_started ineighbor_alltoall(comm_state& where, const neighbors& who, const_memory in, memory out,
                                  const place& here) {
  constexpr auto call = "ineighbor_alltoall";
  const std::size_t part = alltoall_block(where, who, call, in, out, here);
  begin_together(where, {.call = call}, here);
  MPI_Request handle = MPI_REQUEST_NULL;
  if (who.each_once != nullptr) {
    const std::vector<int> counts = equal_counts(where, call, who, part, in.of, here);
    merged one_each(who, in, counts, {out.data, in.count, in.of}, counts);
    check(one_each.begin(who, in, out, handle), where, call, here);
    return {begun(handle, where, call, true, here), one_each.keep()};
  }
  const byte_count length(part);
  check(MPI_Ineighbor_alltoall(address_of(in), length.count(), length.type(), address_of(out), length.count(),
                               length.type(), comm_of(where), &handle),
        where, call, here);
  return {begun(handle, where, call, true, here), nullptr};
}

void neighbor_alltoallv(comm_state& where, const neighbors& who, const_memory in, std::span<const int> out_counts,
                        memory out, std::span<const int> in_counts, const place& here) {
  constexpr auto call = "neighbor_alltoall";
  const std::vector<int> out_offsets = offsets_of(where, call, out_counts, who.destinations.size(), in.count, here);
  const std::vector<int> in_offsets = offsets_of(where, call, in_counts, who.sources.size(), out.count, here);
  const together waits(where, {.call = call, .element_size = in.of.size}, here);
  if (who.each_once != nullptr) {
    check(merged(who, in, out_counts, out, in_counts).run(who, in, out), where, call, here);
    return;
  }
  MPI_Datatype type = unit_of(in.of);
  check(MPI_Neighbor_alltoallv(address_of(in), out_counts.data(), out_offsets.data(), type, address_of(out),
                               in_counts.data(), in_offsets.data(), type, comm_of(where)),
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
  begin_values(where, call, here);
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
