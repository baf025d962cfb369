#include <tutti/trace/scaling.hpp>

#include <algorithm>
#include <boost/math/distributions/fisher_f.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

namespace tutti {
namespace {

constexpr std::size_t most_terms = 3;
using terms = std::array<double, most_terms>;
using matrix = std::array<terms, most_terms>;

// y = sum of coefficient * basis: seconds by the laws of Amdahl and Gunther, runs per second by Gustafson's.
terms basis(scaling_law law, double n) {
  if (law == scaling_law::gustafson) return {1, n, 0};
  return {1 / n, 1, n - 1};
}

std::size_t terms_of(scaling_law law) { return law == scaling_law::usl ? 3 : 2; }

double dot(const terms& a, const terms& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

struct linear_fit {
  terms coefficients = {};
  matrix inverse = {};  // of the normal equations: times the variance, the covariance of the coefficients
};

// Least squares by modified Gram-Schmidt, which loses half the digits that the normal equations lose. `rows` are
// already weighted; their columns must be independent.
linear_fit solve(std::vector<terms> rows, std::vector<double> values, std::size_t count) {
  matrix r = {};
  terms projected = {};
  for (std::size_t k = 0; k < count; ++k) {
    double norm = 0;
    for (const terms& row : rows) norm += row[k] * row[k];
    r[k][k] = std::sqrt(norm);
    for (terms& row : rows) row[k] /= r[k][k];
    for (std::size_t j = k + 1; j < count; ++j) {
      for (const terms& row : rows) r[k][j] += row[k] * row[j];
      for (terms& row : rows) row[j] -= r[k][j] * row[k];
    }
    for (std::size_t i = 0; i < rows.size(); ++i) projected[k] += rows[i][k] * values[i];
    for (std::size_t i = 0; i < rows.size(); ++i) values[i] -= projected[k] * rows[i][k];
  }
  // Back substitution, of the right-hand side and of each unit vector: the columns of the inverse of R.
  const auto substitute = [&](const terms& right) {
    terms x = {};
    for (std::size_t k = count; k-- > 0;) {
      double sum = right[k];
      for (std::size_t j = k + 1; j < count; ++j) sum -= r[k][j] * x[j];
      x[k] = sum / r[k][k];
    }
    return x;
  };
  linear_fit fit;
  fit.coefficients = substitute(projected);
  for (std::size_t k = 0; k < count; ++k) {
    terms unit = {};
    unit[k] = 1;
    const terms column = substitute(unit);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) fit.inverse[i][j] += column[i] * column[j];
    }
  }
  return fit;
}

// a' M b
double form(const terms& a, const matrix& m, const terms& b) {
  double sum = 0;
  for (std::size_t i = 0; i < most_terms; ++i) sum += a[i] * dot(m[i], b);
  return sum;
}

std::map<int, std::vector<double>> by_workers(std::span<const scaling_run> runs) {
  std::map<int, std::vector<double>> counts;
  for (const scaling_run& run : runs) {
    if (run.workers < 1) throw std::invalid_argument("a run with " + std::to_string(run.workers) + " workers");
    if (!(run.seconds > 0) || !std::isfinite(run.seconds))
      throw std::invalid_argument("a run of " + std::to_string(run.seconds) + " s: times must be above 0");
    counts[run.workers].push_back(run.seconds);
  }
  return counts;
}

// The law fitted to the counts, and how far things lie from it: sums of squares of relative distances, in variances of
// a single run.
struct count_fit {
  linear_fit fit;
  double runs = 0;       // of each run from the mean of its count
  double counts = 0;     // of the medians from the law, each as often as it is worth runs
  double runs_free = 0;  // degrees of freedom
  double counts_free = 0;
  double typical_error = 0;
};

// How many runs the median of `n` is worth: the variance of a median is that of one run divided by this. Exact for one
// run, the well-known 2/pi n for many; between, about right for odd n, and cautious for even ones.
double worth_of_median(std::size_t n) { return 1 + 2 * (static_cast<double>(n) - 1) / std::numbers::pi; }

count_fit fit_counts(scaling_law law, const std::map<int, std::vector<double>>& counts) {
  std::vector<terms> rows;
  std::vector<double> values;
  std::vector<double> worth;
  count_fit result;
  for (const auto& [workers, seconds] : counts) {
    const sample_summary s = summarise(seconds);
    for (const double t : seconds) result.runs += std::pow((t - s.mean) / s.median, 2);
    result.runs_free += static_cast<double>(seconds.size()) - 1;
    worth.push_back(worth_of_median(seconds.size()));
    // Divided by the median as well, so that distances are relative ones.
    const double root = std::sqrt(worth.back());
    const double measured = law == scaling_law::gustafson ? 1 / s.median : s.median;
    rows.push_back(basis(law, workers));
    for (double& term : rows.back()) term *= root / measured;
    values.push_back(root);
  }
  result.fit = solve(rows, values, terms_of(law));
  result.counts_free = static_cast<double>(counts.size() - terms_of(law));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double distance = std::pow(values[i] - dot(rows[i], result.fit.coefficients), 2);
    result.counts += distance;
    result.typical_error += distance / worth[i] / static_cast<double>(rows.size());
  }
  result.typical_error = std::sqrt(result.typical_error);
  return result;
}

estimate around(double value, std::optional<double> half) {
  estimate e{.value = value};
  if (half) e.range = {.low = value - *half, .high = value + *half};
  return e;
}

// A range through a function that falls where the parameter grows, and is endless where it is not above 0.
template <class Function>
std::optional<estimate> falling(const estimate& parameter, Function f) {
  if (!(parameter.value > 0)) return std::nullopt;
  estimate e{.value = f(parameter.value)};
  const auto end = [&](double p) { return p > 0 ? f(p) : std::numeric_limits<double>::infinity(); };
  if (parameter.range) e.range = {.low = end(parameter.range->high), .high = end(parameter.range->low)};
  return e;
}

}  // namespace

std::optional<scaling_fit> fit_scaling(scaling_law law, std::span<const scaling_run> runs) {
  const auto counts = by_workers(runs);
  const std::size_t parameters = terms_of(law);
  if (counts.size() < parameters) return std::nullopt;
  const bool as_rate = law == scaling_law::gustafson;

  const count_fit left = fit_counts(law, counts);
  const linear_fit& fit = left.fit;
  const terms& c = fit.coefficients;
  const double one = c[0] + c[1];  // T1, or the rate of one worker
  if (!(one > 0)) return std::nullopt;
  scaling_fit result;
  result.law = law;
  result.single_seconds = as_rate ? 1 / one : one;
  result.typical_error = left.typical_error;

  // Gustafson: rate = (alpha + (1 - alpha) n) / T1. Others: seconds = T1 ((1 - serial) / n + serial + kappa (n - 1)).
  const std::size_t serial_term = as_rate ? 0 : 1;
  result.serial.value = c[serial_term] / one;
  result.coherence.value = c[2] / one;
  if (left.counts_free < 1) return result;

  double free = left.runs_free + left.counts_free;
  double variance = (left.runs + left.counts) / free;
  // Rounding alone leaves about 1e-16 of each value: two such residues say nothing about the law.
  const double rounding = static_cast<double>(runs.size()) * 1e-24;
  if (left.runs_free >= 1) {
    const double mean_counts = left.counts / left.counts_free;
    const double mean_runs = std::max(left.runs, rounding) / left.runs_free;
    const boost::math::fisher_f distribution(left.counts_free, left.runs_free);
    result.law_p_value =
        left.counts <= rounding ? 1 : boost::math::cdf(boost::math::complement(distribution, mean_counts / mean_runs));
    if (*result.law_p_value < 0.05) {
      variance = mean_counts;
      free = left.counts_free;
    }
  }
  const double t = boost::math::quantile(boost::math::students_t(free), 0.975);
  terms serial_slope = {};
  serial_slope[serial_term] = 1 / one;
  for (std::size_t i = 0; i < 2; ++i) serial_slope[i] -= result.serial.value / one;
  const terms coherence_slope = {-result.coherence.value / one, -result.coherence.value / one, 1 / one};
  const double scale = t * t * variance;
  result.spread = {scale * form(serial_slope, fit.inverse, serial_slope),
                   scale * form(serial_slope, fit.inverse, coherence_slope),
                   scale * form(coherence_slope, fit.inverse, coherence_slope)};
  result.serial = around(result.serial.value, std::sqrt(result.spread[0]));
  if (law == scaling_law::usl) result.coherence = around(result.coherence.value, std::sqrt(result.spread[2]));
  return result;
}

std::optional<estimate> scaling_fit::speedup_of(double workers) const {
  if (law == scaling_law::usl && coherence.value < 0) return std::nullopt;
  // What is linear in the parameters has a symmetric range: S for Gustafson, 1/S for the others.
  const bool rate = law == scaling_law::gustafson;
  const double a = rate ? 1 - workers : 1 - 1 / workers;
  const double b = rate ? 0 : workers - 1;
  const double linear = (rate ? workers : 1 / workers) + a * serial.value + b * coherence.value;
  if (rate && linear <= 0) return std::nullopt;
  const auto speedup = [&](double x) {
    if (rate) return std::clamp(x, 0.0, workers);
    return x > 1 / workers ? 1 / x : workers;
  };
  estimate e{.value = speedup(linear)};
  if (has_ranges()) {
    const double half = std::sqrt(std::max(0.0, a * a * spread[0] + 2 * a * b * spread[1] + b * b * spread[2]));
    const double ends[] = {speedup(linear - half), speedup(linear + half)};
    e.range = {.low = std::min(ends[0], ends[1]), .high = std::max(ends[0], ends[1])};
  }
  return e;
}

std::optional<estimate> scaling_fit::limit() const {
  if (law != scaling_law::amdahl) return std::nullopt;
  return falling(serial, [](double s) { return 1 / s; });
}

std::optional<estimate> scaling_fit::doubling_pays_until(double share) const {
  if (law != scaling_law::amdahl) return std::nullopt;
  // S(2n) / S(n) = 1 + share, solved for n.
  return falling(serial, [share](double s) { return std::max(0.0, (1 - s) / s * (1 - share) / (2 * share)); });
}

std::optional<estimate> scaling_fit::peak() const {
  if (law != scaling_law::usl) return std::nullopt;
  const double parallel = std::max(0.0, 1 - serial.value);
  return falling(coherence, [parallel](double kappa) { return std::sqrt(parallel / kappa); });
}

}  // namespace tutti
