// tally: counters per thread, summed by the one that waits.
#include <chrono>
#include <cstdlib>
#include <thread>

#include "systems.hpp"

namespace bench::submit {

std::size_t tally::slot() noexcept {
  static std::atomic<std::size_t> next = 0;
  thread_local const std::size_t mine = next.fetch_add(1);
  if (mine >= slots) std::abort();
  return mine;
}

void tally::wait(std::size_t target) const {
  for (;;) {
    std::size_t sum = 0;
    for (const cell& c : cells_) sum += c.value.load(std::memory_order_acquire);
    if (sum >= target) return;
    // The sleep leaves the core to the workers; a burst takes milliseconds, so its error is small.
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

}  // namespace bench::submit
