// clock: time in nanoseconds as a number, and values the optimizer must keep.
#pragma once

#include <chrono>

namespace bench {

/// Nanoseconds on the steady clock.
inline double now_ns() {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

/// Wall time that `work()` takes, in nanoseconds.
template <class Work>
double time_ns(Work&& work) {
  double start = now_ns();
  work();
  return now_ns() - start;
}

/// Runs `work()` `count` times and returns the mean, in nanoseconds.
template <class Work>
double mean_ns(int count, Work&& work) {
  double start = now_ns();
  for (int i = 0; i < count; ++i) work();
  return (now_ns() - start) / count;
}

/// Makes the compiler compute `value` although nobody reads it.
template <class T>
inline void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

/// The same without a barrier for other memory: cheap enough for a body of one nanosecond.
inline void keep_register(unsigned long value) { asm volatile("" : : "r"(value)); }

}  // namespace bench
