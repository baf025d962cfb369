// sample_stats: what repeated measurements of one thing say, and whether those of two things differ.
#pragma once
#include <cstddef>
#include <optional>
#include <span>

namespace tutti {

/// The two ends of a confidence interval.
struct interval {
  double low = 0;
  double high = 0;
};

/// The figures of one sample, in the unit of its values.
struct sample_summary {
  std::size_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double stddev = 0;  ///< with n - 1; 0 for one value
  double median = 0;
  double q1 = 0;  ///< quartiles as pytest-benchmark has them: the medians of the halves, for odd counts interpolated
  double q3 = 0;
  std::size_t beyond_stddev = 0;  ///< values further than one standard deviation from the mean
  std::size_t beyond_iqr = 0;     ///< Tukey's outliers: values further than 1.5 IQR below q1 or above q3

  /// The distance of the quartiles.
  [[nodiscard]] double iqr() const noexcept { return q3 - q1; }
  /// How far the middle half of the values reaches, as a share of the median; 0 where that is 0.
  [[nodiscard]] double relative_spread() const noexcept { return median == 0 ? 0 : iqr() / median; }
};

/// The figures of `values`, in any order. Throws std::invalid_argument when there are none.
sample_summary summarise(std::span<const double> values);

/// What separates two samples of times.
struct sample_ratio {
  double ratio = 1;                    ///< second / first: the median of all pairwise ratios (Hodges and Lehmann)
  std::optional<interval> range = {};  ///< 95 %; nothing when there are too few values (below four each)
  double p_value = 1;                  ///< two-sided; how often a difference like this comes from luck alone
};

/// Compares two samples of positive values by the Mann-Whitney U test (Mann and Whitney, Annals of Mathematical
/// Statistics 18(1), 1947), which asks nothing of their distribution. Exact for samples of together up to 20
/// values, without ties 100, by the normal approximation with correction for ties beyond. The range belongs to the same
/// test: it holds the ratios that would not be significant at 5 %. Throws std::invalid_argument for an empty sample or
/// a value that is not above 0.
sample_ratio compare_samples(std::span<const double> first, std::span<const double> second);

}  // namespace tutti
