#include <tutti/core/small_mutex.hpp>

namespace tutti {

void small_mutex::lock_slow() noexcept {
  // About a microsecond: longer than any section this lock guards, shorter than a trip through the kernel.
  for (int spin = 0; spin < 40; ++spin) {
    cpu::pause();
    if (state_.load(std::memory_order_relaxed) == free && try_lock()) return;
  }
  // From here on we may be asleep, so whoever unlocks must wake: the state stays `contended` while we hold the lock.
  while (state_.exchange(contended, std::memory_order_acquire) != free) cpu::futex_wait(state_, contended, nullptr);
}

}  // namespace tutti
