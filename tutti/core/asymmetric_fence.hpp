// asymmetric_fence: a fence in two halves, of which the one that is needed often costs nothing.
//
// Dekker's pattern, "write mine, then read yours" on both sides, needs a fence between the two steps on each. Where one
// side does it a hundred million times a second and the other before it sleeps, the first has a light fence, which only
// the compiler sees, and the second a heavy one, which makes every running thread of the process pass a full fence:
// either the light side's write was done before that, and the heavy side reads it, or its read comes after, and sees
// what the heavy side has written. As in "Asymmetric fences", P1202 (Goldblatt, 2019); Linux's membarrier(2).
#pragma once
#include <atomic>

namespace tutti {

/// Whether the kernel has what the heavy half needs. If not, both sides must use seq_cst instead.
bool has_asymmetric_fence() noexcept;

/// The half that costs nothing. Atomics around it may be relaxed.
inline void asymmetric_fence_light() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// The other half, 0.2 to 2 us. Only where there is one; a kernel that takes it back is a fatal error.
void asymmetric_fence_heavy() noexcept;

}  // namespace tutti
