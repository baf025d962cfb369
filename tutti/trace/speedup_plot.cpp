#include <tutti/trace/speedup_plot.hpp>

#include <algorithm>
#include <cmath>

namespace tutti {
namespace {

double power_below(double x) { return std::exp2(std::floor(std::log2(x) + 1e-9)); }
double power_above(double x) { return std::exp2(std::ceil(std::log2(x) - 1e-9)); }

}  // namespace

speedup_plot speedup_plot::of(std::string title, std::vector<plotted_point> points, std::string law,
                              const std::optional<scaling_fit>& fit) {
  speedup_plot plot{.title = std::move(title), .law = std::move(law), .points = std::move(points)};
  if (!fit || plot.points.empty()) return plot;
  constexpr int steps = 64;
  const auto [least, most] = std::ranges::minmax(plot.points, {}, &plotted_point::workers);
  const double reach = std::log2(4 * most.workers / least.workers);
  for (int i = 0; i <= steps; ++i) {
    const double n = least.workers * std::exp2(reach * i / steps);
    if (const auto s = fit->speedup_of(n)) plot.curve.push_back({.workers = n, .speedup = *s});
  }
  return plot;
}

speedup_plot::frame speedup_plot::bounds() const {
  frame all{.workers = {HUGE_VAL, 0}, .speedup = {1, 2}};
  const auto hold = [&](double workers, double speedup) {
    all.workers = {std::min(all.workers.low, workers), std::max(all.workers.high, workers)};
    all.speedup = {std::min(all.speedup.low, speedup), std::max(all.speedup.high, speedup)};
  };
  for (const plotted_point& p : points) {
    hold(p.workers, p.speedup);
    hold(p.workers, p.workers);  // the ideal line, as far as it was measured
  }
  for (const plotted_prediction& p : curve) hold(p.workers, std::max(p.speedup.value, 1.0 / 16));
  if (!(all.workers.high > 0)) all.workers = {1, 2};
  all.workers = {power_below(all.workers.low), power_above(all.workers.high)};
  all.speedup = {power_below(all.speedup.low), power_above(all.speedup.high)};
  if (all.workers.high <= all.workers.low) all.workers.high = 2 * all.workers.low;
  return all;
}

}  // namespace tutti
