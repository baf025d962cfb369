// Collectives over pieces of any length: messages between the ranks, in a communicator of their own.
#include <tutti/mpi/collectives.hpp>
#include <tutti/mpi/inside/end_of_mpi.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/rank_watch.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace tutti::mpi::detail {
namespace {

constexpr int is_piece = 0;
constexpr int is_refusal = 1;  // the root's: its text

std::string bytes_at(const const_memory& piece) { return {static_cast<const char*>(piece.data), piece.bytes()}; }

std::string recv_piece(comm_state& own, int from, const char* call, const place& here) {
  found_message found = mprobe(own, from, any_tag, call, here);
  std::string piece(found.about.bytes, '\0');
  mrecv(own, found, piece.data(), call, here);
  if (found.about.tag == is_refusal) refuse(MPI_ERR_COUNT, own, call, piece, here);
  return piece;
}

// The root's pieces to their ranks; returns its own.
std::string deal(comm_state& own, const std::vector<const_memory>& out, int root, const place& here) {
  std::vector<request> sent;
  for (int r = 0; r < own.size; ++r) {
    if (r != root) {
      sent.emplace_back(isend(own, out[static_cast<std::size_t>(r)], r, is_piece, send_mode::standard, here));
    }
  }
  std::string mine = bytes_at(out[static_cast<std::size_t>(root)]);
  wait_all(sent, here);
  return mine;
}

}  // namespace

comm_state& shadow_of(comm_state& where, const place& here) {
  if (where.shadow == nullptr) {
    MPI_Comm twin = MPI_COMM_NULL;
    check(MPI_Comm_dup(comm_of(where), &twin), where, "dup", here);
    auto made = std::make_shared<comm_state>();
    adopt(*made, number_of(twin), where.name, true);
    where.shadow = std::move(made);
  }
  return *where.shadow;
}

void begin_values(comm_state& where, const char* call, const place& here) {
  enter(where, call, here);
  check_alive(where, call, here);
  check_collective(where, {.call = call}, here);
}

void begin_values(comm_state& where, const char* call, int root, const place& here) {
  enter(where, call, here);
  check_root(where, root, call, here);
  check_collective(where, {.call = call, .root = root}, here);
}

void refuse_piece(std::size_t bytes, std::size_t unit) {
  throw error("mpi: a value of " + std::to_string(bytes) + " bytes came where " + std::to_string(unit) +
                  ", or multiples of it, were expected: the ranks do not use the same type",
              MPI_ERR_TRUNCATE);
}

std::string scatter_pieces(comm_state& where, const pieces& out, int root, const char* call, const place& here) {
  check_root(where, root, call, here);
  begin_values(where, call, root, here);
  comm_state& own = shadow_of(where, here);
  if (own.rank != root) return recv_piece(own, root, call, here);
  if (out.size() != static_cast<std::size_t>(own.size)) {
    const std::string text = ": root " + std::to_string(root) + " has " + std::to_string(out.size()) +
                             (out.size() == 1 ? " element for " : " elements for ") + std::to_string(own.size) +
                             " ranks; scatter_blocks gives each rank its part of any number";
    for (int r = 0; r < own.size; ++r) {
      if (r != root) send(own, memory_of_text(text), r, is_refusal, send_mode::standard, here);
    }
    refuse(MPI_ERR_COUNT, where, call, text, here);
  }
  std::vector<const_memory> parts(out.size());
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i] = out.at(i);
  return deal(own, parts, root, here);
}

std::string scatter_blocks(comm_state& where, const_memory all, int root, const place& here) {
  check_root(where, root, "scatter_blocks", here);
  begin_values(where, "scatter_blocks", root, here);
  comm_state& own = shadow_of(where, here);
  if (own.rank != root) return recv_piece(own, root, "scatter_blocks", here);
  std::vector<const_memory> parts(static_cast<std::size_t>(own.size));
  for (int r = 0; r < own.size; ++r) {
    const block part = block_of(all.count, r, own.size);
    parts[static_cast<std::size_t>(r)] = {static_cast<const char*>(all.data) + part.first * all.of.size, part.count,
                                          all.of};
  }
  return deal(own, parts, root, here);
}

came_pieces gather_pieces(comm_state& where, const_memory mine, int root, const place& here) {
  check_root(where, root, "gather", here);
  begin_values(where, "gather", root, here);
  comm_state& own = shadow_of(where, here);
  if (own.rank != root) {
    send(own, mine, root, is_piece, send_mode::standard, here);
    return {};
  }
  came_pieces all(static_cast<std::size_t>(own.size));
  for (int r = 0; r < own.size; ++r) {
    all[static_cast<std::size_t>(r)] = r == root ? bytes_at(mine) : recv_piece(own, r, "gather", here);
  }
  return all;
}

std::string gather_flat(comm_state& where, const_memory mine, int root, const place& here) {
  std::string flat;
  for (const std::string& piece : gather_pieces(where, mine, root, here)) flat += piece;
  return flat;
}

std::string allgather_flat(comm_state& where, const_memory mine, const place& here) {
  std::string flat;
  for (const std::string& piece : allgather_pieces(where, mine, here)) flat += piece;
  return flat;
}

came_pieces allgather_pieces(comm_state& where, const_memory mine, const place& here) {
  begin_values(where, "allgather", here);
  const auto ranks = static_cast<std::size_t>(where.size);
  std::vector<std::uint64_t> sizes(ranks);
  const std::uint64_t own_size = mine.bytes();
  const watched_call waits("allgather", {.by = ended_by::everyone, .where = &where}, here);
  check(MPI_Allgather(&own_size, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, comm_of(where)), where, "allgather",
        here);
  std::uint64_t total = 0;
  for (const std::uint64_t size : sizes) total += size;
  came_pieces all(ranks);
  if (total <= static_cast<std::uint64_t>(std::numeric_limits<int>::max())) {
    std::vector<int> counts(sizes.begin(), sizes.end());
    std::vector<int> offsets(ranks);
    for (std::size_t r = 1; r < ranks; ++r) offsets[r] = offsets[r - 1] + counts[r - 1];
    std::string flat(total, '\0');
    check(MPI_Allgatherv(mine.data, static_cast<int>(own_size), MPI_BYTE, flat.data(), counts.data(), offsets.data(),
                         MPI_BYTE, comm_of(where)),
          where, "allgather", here);
    for (std::size_t r = 0; r < ranks; ++r) all[r] = flat.substr(static_cast<std::size_t>(offsets[r]), sizes[r]);
    return all;
  }
  for (std::size_t r = 0; r < ranks; ++r) {
    if (r == static_cast<std::size_t>(where.rank)) {
      all[r] = bytes_at(mine);
    } else {
      all[r].resize(sizes[r]);
    }
    const byte_count length(sizes[r]);
    check(MPI_Bcast(all[r].data(), length.count(), length.type(), static_cast<int>(r), comm_of(where)), where,
          "allgather", here);
  }
  return all;
}

came_pieces alltoall_pieces(comm_state& where, const pieces& out, const place& here) {
  if (out.size() != static_cast<std::size_t>(where.size)) {
    check_alive(where, "alltoall", here);
    refuse(MPI_ERR_COUNT, where, "alltoall",
           ": " + std::to_string(out.size()) + " elements for " + std::to_string(where.size) + " ranks", here);
  }
  begin_values(where, "alltoall", here);
  comm_state& own = shadow_of(where, here);
  std::vector<request> sent;
  for (int i = 1; i < own.size; ++i) {
    const int r = (own.rank + i) % own.size;
    sent.emplace_back(isend(own, out.at(static_cast<std::size_t>(r)), r, is_piece, send_mode::standard, here));
  }
  came_pieces all(out.size());
  for (int i = 0; i < own.size; ++i) {
    const int r = (own.rank - i + own.size) % own.size;
    all[static_cast<std::size_t>(r)] =
        i == 0 ? bytes_at(out.at(static_cast<std::size_t>(r))) : recv_piece(own, r, "alltoall", here);
  }
  wait_all(sent, here);
  return all;
}

}  // namespace tutti::mpi::detail
