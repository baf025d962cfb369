// ticks: the cheapest clock of the machine, and what its readings mean.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace tutti::detail {

/// Whether ticks() reads the processor's own counter: on x86-64 where it runs at one speed in all power states and
/// agrees on all cores (the kernel trusts it as its clock), on aarch64 always.
bool has_cpu_ticks() noexcept;

/// Nanoseconds of the steady clock.
std::uint64_t clock_ticks() noexcept;

/// The counter, or nanoseconds of the steady clock where there is none that can be trusted. `by_cpu`: has_cpu_ticks().
inline std::uint64_t ticks(bool by_cpu) noexcept {
#if defined(__x86_64__)
  if (by_cpu) [[likely]]
    return __rdtsc();
#elif defined(__aarch64__)
  if (by_cpu) [[likely]] {
    std::uint64_t value = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
  }
#endif
  static_cast<void>(by_cpu);
  return clock_ticks();
}

/// How many of them are a microsecond, roughly: for decisions, not for times.
inline std::uint64_t ticks_per_us(bool by_cpu) noexcept {
#if defined(__x86_64__)
  if (by_cpu) return 2500;
#elif defined(__aarch64__)
  if (by_cpu) {
    std::uint64_t frequency = 0;
    asm("mrs %0, cntfrq_el0" : "=r"(frequency));
    return frequency / 1'000'000;
  }
#endif
  static_cast<void>(by_cpu);
  return 1000;
}

/// One moment on both clocks.
struct tick_pair {
  std::uint64_t ticks = 0;
  std::int64_t ns = 0;  ///< steady clock

  /// The closest of a few readings; takes a microsecond.
  static tick_pair now(bool by_cpu) noexcept;
};

/// Between two moments the counter is a straight line.
class tick_scale {
 public:
  tick_scale(const tick_pair& start, const tick_pair& end) noexcept;
  /// Nanoseconds since the start; negative before. `low_bits` of the reading were kept.
  std::int64_t ns_since_start(std::uint64_t reading, unsigned low_bits) const noexcept;
  std::int64_t duration_ns() const noexcept { return duration_; }

 private:
  std::uint64_t start_;
  std::int64_t duration_;
  double ns_per_tick_;
};

}  // namespace tutti::detail
