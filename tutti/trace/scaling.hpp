// scaling: how far a program gains from more workers: the laws of Amdahl, Gustafson and Gunther fitted to measured
// times.
#pragma once
#include <tutti/trace/sample_stats.hpp>

#include <array>
#include <optional>
#include <span>

namespace tutti {

/// What one time says against another, taken with `times_workers` times as many workers.
struct speedup {
  double factor = 1;      ///< base time / time
  double efficiency = 1;  ///< factor / times_workers
  /// Karp and Flatt, CACM 33(5), 1990: (1/factor - 1/n) / (1 - 1/n) with n = times_workers; 0 for n = 1.
  double serial_fraction = 0;
};

/// Times and workers must be above 0.
constexpr speedup compare(double base_seconds, double seconds, double times_workers) noexcept {
  speedup s;
  s.factor = base_seconds / seconds;
  s.efficiency = s.factor / times_workers;
  if (times_workers != 1) s.serial_fraction = (1 / s.factor - 1 / times_workers) / (1 - 1 / times_workers);
  return s;
}

/// One measured run.
struct scaling_run {
  int workers = 1;
  double seconds = 0;
};

/// A number from measurements, with its 95 % confidence interval where one can be given.
struct estimate {
  double value = 0;
  std::optional<interval> range = {};
};

/// Laws of the speedup S of n workers.
enum class scaling_law {
  amdahl,     ///< S = 1 / (s + (1 - s) / n): a share s of the work is serial
  gustafson,  ///< S = n - alpha (n - 1): each worker beyond the first adds 1 - alpha
  usl,        ///< S = n / (1 + sigma (n - 1) + kappa n (n - 1)): contention sigma, coherence kappa (Gunther)
};

/// A law fitted to times of one job with different numbers of workers.
struct scaling_fit {
  scaling_law law = scaling_law::amdahl;
  double single_seconds = 0;  ///< the fitted time of one worker, T1; all speedups are relative to it
  estimate serial = {};       ///< Amdahl's s, Gustafson's alpha, Gunther's sigma; not confined to [0, 1]
  estimate coherence = {};    ///< Gunther's kappa; 0 for the others
  double typical_error = 0;   ///< root mean square of the relative distances between the medians and the law
  /// How likely it is that the law is right and the worker counts still lie this far from it (F test for lack of fit).
  /// Nothing where no count has two runs, or there are no more counts than parameters.
  std::optional<double> law_p_value = {};

  // Of (serial, coherence), the square of the standard errors times that of the t quantile: what the ranges are made
  // of.
  std::array<double, 3> spread = {};  // serial, both, coherence

  /// Whether the parameters, and so the predictions, have confidence intervals.
  [[nodiscard]] bool has_ranges() const noexcept { return serial.range.has_value(); }
  /// The speedup of `workers` (>= 1) by this law. Nothing is predicted to be faster than ideal: value and range end at
  /// `workers`. Nothing where the law has lost its sense: Gunther's with kappa below 0, which promises times below zero
  /// for many workers, and Gustafson's with alpha above 1 where its line has reached 0.
  [[nodiscard]] std::optional<estimate> speedup_of(double workers) const;
  /// Where S ends for endlessly many workers: Amdahl's 1/s. Nothing for other laws, and for s not above 0. A range
  /// whose upper end is infinite comes from an s whose interval reaches 0.
  [[nodiscard]] std::optional<estimate> limit() const;
  /// The number of workers beyond which doubling them gains less than `share` (0.1: 10 %) by Amdahl's law; as limit().
  [[nodiscard]] std::optional<estimate> doubling_pays_until(double share = 0.1) const;
  /// The number of workers beyond which more make it slower: Gunther's sqrt((1 - sigma) / kappa). Nothing for other
  /// laws, and for kappa not above 0. As limit() for the range.
  [[nodiscard]] std::optional<estimate> peak() const;
};

/// Fits `law` to the median time of each worker count, so that a run that something else has slowed down does not bend
/// it, by least squares over relative distances, for noise grows with the time. T1 is fitted as well, so no run needs
/// to have one worker. The laws of Amdahl and Gunther are linear in 1/n, 1 and n - 1 as times, Gustafson's in 1 and n
/// as rates: each is solved exactly, without a start value.
///
/// The 95 % intervals come from the covariance of the coefficients (delta method) and Student's t, with the variance of
/// the runs about their mean and of the medians about the law. Not by resampling runs (bootstrap): three to five of
/// them are too few, and it would not tell of a law that does not hold. Where one does not (law_p_value < 0.05), only
/// the medians' distances from it give the width. There are no intervals where there are no more worker counts than
/// parameters (T1 included).
///
/// Nothing when there are fewer counts than parameters, or the best T1 is not above 0. Throws std::invalid_argument for
/// workers below 1 and seconds that are not above 0.
std::optional<scaling_fit> fit_scaling(scaling_law law, std::span<const scaling_run> runs);

}  // namespace tutti
