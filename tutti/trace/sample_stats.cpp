#include <tutti/trace/sample_stats.hpp>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace tutti {
namespace {

constexpr std::size_t most_exact_with_ties = 20;
constexpr std::size_t most_exact = 100;  // the table of the exact distribution stays below 2,500 * 50 numbers

double median_of(std::span<const double> sorted) {
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// Of a sorted sample; the upper quartile is the lower one of the values in reverse.
double lower_quartile(const std::vector<double>& sorted) {
  const std::size_t n = sorted.size();
  if (n == 1) return sorted.front();
  if (n % 2 == 0) return median_of(std::span(sorted).first(n / 2));
  const std::size_t quarter = n / 4;
  return n % 4 == 1 ? 0.25 * sorted[quarter - 1] + 0.75 * sorted[quarter]
                    : 0.75 * sorted[quarter] + 0.25 * sorted[quarter + 1];
}

// P(U <= u) for each u from 0 to n * m when both samples come from one distribution without ties.
std::vector<double> distribution_of_u(std::size_t n, std::size_t m) {
  // ways[j][u]: orders of i values of one and j of the other with u pairs the wrong way round; i grows in the outer
  // loop. The largest value is either of the first sample, and above j of the second, or of the second.
  std::vector<std::vector<double>> ways(m + 1, std::vector<double>(n * m + 1, 0.0));
  for (auto& row : ways) row[0] = 1;
  for (std::size_t i = 1; i <= n; ++i) {
    for (std::size_t j = 1; j <= m; ++j) {
      auto& row = ways[j];
      const double first = static_cast<double>(i) / static_cast<double>(i + j);
      for (std::size_t u = n * m + 1; u-- > 0;) {
        const double above = u >= j ? row[u - j] : 0;
        row[u] = first * above + (1 - first) * ways[j - 1][u];
      }
    }
  }
  std::vector<double> below = std::move(ways[m]);
  std::partial_sum(below.begin(), below.end(), below.begin());
  return below;
}

// The two-sided p value of the first sample's sum of ranks among all ways to choose as many of these values, ties and
// all: with few values and ties the normal approximation finds what no choice can be.
double p_with_ties(std::span<const double> first, std::span<const double> second) {
  std::vector<double> all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  std::ranges::sort(all);
  // Twice the rank, from 1 on, which is whole; that of equal values is their mean.
  const auto twice_rank = [&](double value) {
    const auto [begin, end] = std::ranges::equal_range(all, value);
    return static_cast<std::size_t>((begin - all.begin()) + 1 + (end - all.begin()));
  };
  const std::size_t most = all.size() * (all.size() + 1);
  // ways[k][sum]: how many choices of k values have that sum of ranks.
  std::vector<std::vector<double>> ways(first.size() + 1, std::vector<double>(most + 1, 0.0));
  ways[0][0] = 1;
  for (const double value : all) {
    const std::size_t rank = twice_rank(value);
    for (std::size_t k = first.size(); k > 0; --k) {
      for (std::size_t sum = rank; sum <= most; ++sum) ways[k][sum] += ways[k - 1][sum - rank];
    }
  }
  std::size_t seen = 0;
  for (const double value : first) seen += twice_rank(value);
  const std::span<const double> chosen(ways.back());
  const auto count = [](std::span<const double> part) { return std::accumulate(part.begin(), part.end(), 0.0); };
  const double lesser = std::min(count(chosen.first(seen + 1)), count(chosen.subspan(seen)));
  return std::min(1.0, 2 * lesser / count(chosen));
}

// What the samples have when all of one is below all of the other, in each of two ways: 2 / (n + m choose n).
double least_p_value(std::size_t n, std::size_t m) {
  double p = 2;
  for (std::size_t i = 1; i <= n; ++i) p *= static_cast<double>(i) / static_cast<double>(m + i);
  return p;
}

struct u_statistic {
  double u = 0;         // pairs in which the second value is the smaller; half for equal ones
  double variance = 0;  // of the normal approximation
  bool ties = false;
};

u_statistic statistic_of(std::span<const double> first, std::span<const double> second) {
  u_statistic s;
  for (const double a : first) {
    for (const double b : second) s.u += b < a ? 1 : b == a ? 0.5 : 0;
  }
  std::vector<double> all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  std::ranges::sort(all);
  const double n = static_cast<double>(all.size());
  double correction = 0;
  for (auto at = all.begin(); at != all.end();) {
    const auto next = std::upper_bound(at, all.end(), *at);
    const double t = static_cast<double>(next - at);
    s.ties = s.ties || t > 1;
    correction += t * t * t - t;
    at = next;
  }
  const double pairs = static_cast<double>(first.size()) * static_cast<double>(second.size());
  s.variance = pairs / 12 * ((n + 1) - correction / (n * (n - 1)));
  return s;
}

void require(std::span<const double> values) {
  if (values.empty()) throw std::invalid_argument("a sample without values");
  for (const double v : values) {
    if (!(v > 0) || !std::isfinite(v)) throw std::invalid_argument("a sample with a value that is not above 0");
  }
}

}  // namespace

sample_summary summarise(std::span<const double> values) {
  if (values.empty()) throw std::invalid_argument("a sample without values");
  std::vector<double> sorted(values.begin(), values.end());
  std::ranges::sort(sorted);
  const double n = static_cast<double>(sorted.size());
  sample_summary s;
  s.count = sorted.size();
  s.min = sorted.front();
  s.max = sorted.back();
  s.mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / n;
  double squares = 0;
  for (const double v : sorted) squares += (v - s.mean) * (v - s.mean);
  s.stddev = sorted.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  s.median = median_of(sorted);
  s.q1 = lower_quartile(sorted);
  s.q3 = lower_quartile({sorted.rbegin(), sorted.rend()});
  for (const double v : sorted) {
    s.beyond_stddev += std::abs(v - s.mean) > s.stddev ? 1 : 0;
    s.beyond_iqr += v < s.q1 - 1.5 * s.iqr() || v > s.q3 + 1.5 * s.iqr() ? 1 : 0;
  }
  return s;
}

sample_ratio compare_samples(std::span<const double> first, std::span<const double> second) {
  require(first);
  require(second);
  std::vector<double> ratios;
  ratios.reserve(first.size() * second.size());
  for (const double a : first) {
    for (const double b : second) ratios.push_back(b / a);
  }
  std::ranges::sort(ratios);
  sample_ratio result;
  result.ratio = median_of(ratios);

  const u_statistic s = statistic_of(first, second);
  const double pairs = static_cast<double>(ratios.size());
  const double least = std::min(s.u, pairs - s.u);
  if (s.variance <= 0) return result;  // all values are one
  // How many ratios at each end the range leaves out: the largest u that is still significant, and one.
  std::ptrdiff_t outside = 0;
  if (first.size() + second.size() <= (s.ties ? most_exact_with_ties : most_exact)) {
    const std::vector<double> below = distribution_of_u(first.size(), second.size());
    result.p_value = s.ties ? p_with_ties(first, second) : std::min(1.0, 2 * below[static_cast<std::size_t>(least)]);
    // With ties it is rather too wide.
    outside = std::ranges::upper_bound(below, 0.025) - below.begin();
  } else {
    const boost::math::normal standard;
    const double deviation = std::sqrt(s.variance);
    // A step of u is the smallest difference there is: half of one corrects for it.
    const double z = std::min(0.0, (least + 0.5 - pairs / 2) / deviation);
    result.p_value = std::clamp(2 * boost::math::cdf(standard, z), least_p_value(first.size(), second.size()), 1.0);
    const double reach = boost::math::quantile(standard, 0.975) * deviation;
    outside = std::max<std::ptrdiff_t>(0, std::lround(std::floor(pairs / 2 - reach)));
  }
  if (outside > 0) {
    const auto rank = static_cast<std::size_t>(outside);
    result.range = {.low = ratios[rank - 1], .high = ratios[ratios.size() - rank]};
  }
  return result;
}

}  // namespace tutti
