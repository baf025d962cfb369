// systems: what the mpi benchmark asks of tutti and of the C API, both in one pair of ranks. mpi4py is in
// harness/peer_mpi.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../harness/clock.hpp"

namespace bench::mpi {

enum class collective : std::uint8_t { bcast, allreduce, alltoall };

/// What vectors of aggregates are made of.
struct particle {
  std::array<double, 3> position;
  float mass;
  std::int32_t id;
};
constexpr std::size_t particles = 100'000;

/// Where a vector of particles is received.
enum class room : std::uint8_t {
  known,   ///< in one that is large enough
  vector,  ///< in a new std::vector: its elements are made first, and then overwritten
  memory   ///< in new memory that nobody has written to
};

/// How a computation and an exchange of `overlapped` bytes in both directions meet.
enum class way : std::uint8_t {
  transfer,  ///< no computation
  after,     ///< the exchange has ended before the computation begins
  plain,     ///< the exchange is begun before, and waited for after
  slices,    ///< the same, and MPI is asked in between
  futures    ///< the same, and somebody else asks
};
constexpr std::size_t overlapped = std::size_t{16} << 20U;
constexpr int slices = 64;

/// One system on both ranks of a pair. Every function is called on both with the same arguments; the figure is rank
/// 0's.
class system {
 public:
  virtual ~system() = default;

  /// Nanoseconds of a message one way, of `count` there and back.
  virtual double ping_pong(std::size_t bytes, std::size_t count) = 0;
  /// Nanoseconds per message of 8 bytes, of `count` windows of `window` each.
  virtual double rate(std::size_t count) = 0;
  /// Microseconds of a collective over `bytes`: of one rank, or for each of them.
  virtual double all(collective what, std::size_t bytes, std::size_t count) = 0;
  /// Microseconds of a vector of particles there and back.
  virtual double structs(room where, std::size_t count) = 0;
  /// Milliseconds of a computation of so many steps and an exchange.
  virtual double overlap(way how, std::int64_t steps, std::size_t count) = 0;
  /// Microseconds of values that must be encoded: "there and back", "bcast", ...
  virtual double objects(std::string_view what, std::string_view type, std::size_t count) {
    static_cast<void>(what), static_cast<void>(type), static_cast<void>(count);
    throw std::runtime_error("the C API has no objects");
  }
};
constexpr std::size_t window = 64;

std::unique_ptr<system> make_c();
std::unique_ptr<system> make_tutti();

/// Empty calls by a rank_pool of this pair's ranks: "each", "map", "chunks" in tasks per second, "trip" in
/// microseconds.
double pool_figure(std::string_view what, std::size_t count);

// ---------------------------------------------------------------- what they share

/// Memory that all systems use: for what is sent, and for what is received.
std::span<char> outgoing();
std::span<char> incoming();

/// Waits for the other rank.
void together();

/// Computes something for so many steps, without memory.
void compute(std::int64_t steps);

/// Nanoseconds of one of `count` rounds, after some that are not measured. `rounds(n)` does n of them.
template <class Rounds>
double ns_per_round(std::size_t count, Rounds&& rounds) {
  rounds(count / 8 + 1);
  together();
  const double start = now_ns();
  rounds(count);
  return (now_ns() - start) / static_cast<double>(count);
}

/// In a rank: answers requests until there are no more. Level: "multiple" or "single".
int serve(std::string_view level);

}  // namespace bench::mpi
