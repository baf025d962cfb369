// small_mutex: a four-byte lock for critical sections of a few instructions.
#pragma once
#include <tutti/core/cpu.hpp>

namespace tutti {

/// Spins briefly, then sleeps on a futex: the three-state mutex of Drepper, "Futexes are tricky" (2011), section 6,
/// with a spin before. Meets Lockable. Not recursive, not fair; for the library's own short sections, not for users.
class small_mutex {
 public:
  void lock() noexcept {
    std::uint32_t seen = free;
    // acquire / release: what the last holder wrote is visible to the next.
    if (!state_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed)) lock_slow();
  }
  bool try_lock() noexcept {
    std::uint32_t seen = free;
    return state_.compare_exchange_strong(seen, held, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void unlock() noexcept {
    if (state_.exchange(free, std::memory_order_release) == contended) cpu::futex_wake(state_, 1);
  }

 private:
  void lock_slow() noexcept;

  static constexpr std::uint32_t free = 0, held = 1, contended = 2;
  std::atomic<std::uint32_t> state_{free};
};

}  // namespace tutti
