// speedup: what a parallel run says about a program.
#pragma once

namespace tutti::app {

/// The figures of a run on `workers` that took `seconds`, against `serial_seconds`.
struct speedup {
  double factor = 1;      ///< serial time / time
  double efficiency = 1;  ///< factor / workers
  /// Karp and Flatt, CACM 33(5), 1990: (1/factor - 1/workers) / (1 - 1/workers); 0 for one worker.
  double serial_fraction = 0;
};

/// Times and workers must be above 0.
constexpr speedup compare(double serial_seconds, double seconds, int workers) noexcept {
  speedup s;
  s.factor = serial_seconds / seconds;
  s.efficiency = s.factor / workers;
  if (workers > 1) s.serial_fraction = (1 / s.factor - 1.0 / workers) / (1 - 1.0 / workers);
  return s;
}

}  // namespace tutti::app
