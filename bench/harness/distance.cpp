#include "distance.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "clock.hpp"
#include "machine.hpp"

namespace bench {

namespace {
constexpr int rounds = 20, trips = 200;
}

double distance_ns(int cpu, int other) {
  alignas(64) std::atomic<int> line = 0;  // odd: for the other one
  std::thread partner([&] {
    pin(other);
    for (int i = 0; i < rounds * trips; ++i) {
      while (line.load(std::memory_order_relaxed) != 2 * i + 1) {
      }
      line.store(2 * i + 2, std::memory_order_relaxed);
    }
  });
  pin(cpu);
  double best = std::numeric_limits<double>::infinity();  // what else runs on these cores only adds time
  for (int round = 0, i = 0; round < rounds; ++round) {
    best = std::min(best, mean_ns(trips, [&] {
                      line.store(2 * i + 1, std::memory_order_relaxed);
                      ++i;
                      while (line.load(std::memory_order_relaxed) != 2 * i) {
                      }
                    }));
  }
  partner.join();
  unpin();
  return best;
}

void wait_until_near(int cpu, int other, double patience) {
  static double nearest = std::numeric_limits<double>::infinity(), waited = 0;
  if (cpu == other) return;
  for (;;) {
    const double now = distance_ns(cpu, other);
    nearest = std::min(nearest, now);
    if (now < 2 * nearest || waited >= patience) return;
    constexpr double pause = 0.1;
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    waited += pause;
  }
}

}  // namespace bench
