// process_futex: sleeping on a word of shared memory until another process changes it.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace tutti::detail {

/// Whoever should wake a sleeper may be killed just before. So nobody sleeps longer than this without another look: it
/// is what such a death costs at most.
inline constexpr std::chrono::seconds slow_look{1};

/// As the kernel wants it, on CLOCK_MONOTONIC, which the steady clock is; not before the machine's start.
[[nodiscard]] ::timespec kernel_time(std::chrono::steady_clock::time_point when) noexcept;

/// Sleeps while `word == expected`, until woken from any process, or until `deadline` (steady clock, which is the same
/// for all processes of a machine). May return early. cpu::futex_wait is for one process alone: the kernel tells words
/// apart by their addresses there, and by their places in the memfd here.
void process_futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                        std::chrono::steady_clock::time_point deadline) noexcept;

/// Wakes up to `count` sleepers of `word`, in all processes.
void process_futex_wake(const std::atomic<std::uint32_t>& word, int count) noexcept;

/// `limit` from now on the machine's clock, which all processes share, unlike a virtual one. max(): never.
[[nodiscard]] inline std::chrono::steady_clock::time_point machine_time_after(std::chrono::nanoseconds limit) noexcept {
  const auto now = std::chrono::steady_clock::now();
  return limit >= std::chrono::steady_clock::time_point::max() - now ? std::chrono::steady_clock::time_point::max()
                                                                     : now + limit;
}

}  // namespace tutti::detail
