// quiet_threads: whether all other threads of this process sleep until one of us wakes them.
//
// A thread that waits for a futex in the process's own memory, without a time limit, can be woken only by a thread of
// this process: that is how mutexes, conditions, joins and the sleeping workers of every pool wait. The system says of
// each thread in which call it is, and how often it has given up the processor. Two looks that agree prove that nobody
// ran in between. Every other thread counts as running: one that sleeps for a time, reads, polls, or computes. So does
// one that sleeps inside MPI: it is woken by whichever thread of ours happens to receive what it waits for.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tutti::mpi::detail {

/// A thread that sleeps so.
struct quiet_thread {
  long number;             ///< the system's
  std::uint64_t switches;  ///< how often it has given up the processor, or lost it

  friend bool operator==(const quiet_thread&, const quiet_thread&) = default;
};

/// The code of a library.
struct code_range {
  std::uintptr_t begin, end;
};
/// Of the library that has this function.
std::vector<code_range> code_of_library(const void* function);

/// All threads but those in `others`, sorted; nothing when one of them is not seen to sleep so, or is inside `library`.
std::optional<std::vector<quiet_thread>> quiet_threads(std::span<const long> others,
                                                       std::span<const code_range> library);

/// The numbers of all threads, sorted.
std::vector<long> all_threads();

}  // namespace tutti::mpi::detail
