// memory: how much this process uses and used at most.
#pragma once
#include <cstdint>

namespace tutti::app {

/// Bytes of memory in use by this process now (resident).
std::uint64_t memory_in_use();

/// The most bytes in use since the last forget_peak(); since the start where the kernel does not let it be forgotten.
std::uint64_t peak_memory();

/// Gives freed memory back to the kernel and begins a new peak.
void forget_peak();

/// Bytes of memory that the machine has.
std::uint64_t memory_of_machine();

}  // namespace tutti::app
