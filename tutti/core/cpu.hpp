// cpu: the few things the scheduler asks of the processor and the kernel: pause, futex, cache line size.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tutti::cpu {

/// Distance, in bytes, at which two variables written by different threads do not slow each other down (x86 prefetches
/// pairs of 64-byte lines).
inline constexpr std::size_t cache_line = 128;

/// Tells the processor that this is a spin loop.
inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // about 40 ns, as x86's pause; `yield` is a no-op on most cores
#endif
}

/// Sleeps while `word == expected`, until woken or until `deadline` (steady clock; nullptr: no limit). May return
/// early.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                const std::chrono::steady_clock::time_point* deadline) noexcept;

/// Wakes up to `count` sleepers of `word`. The word may be gone already: the kernel only compares addresses.
void futex_wake(const std::atomic<std::uint32_t>& word, int count) noexcept;

}  // namespace tutti::cpu
