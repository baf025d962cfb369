// speedup_plot: speedup over workers, both logarithmic, as a terminal or a browser is to show it.
#pragma once
#include <tutti/trace/scaling.hpp>

#include <string>
#include <vector>

namespace tutti {

/// A measured point.
struct plotted_point {
  double workers = 1;
  double speedup = 1;
  interval range = {1, 1};  ///< of the fastest and the slowest run
  bool fitted = true;       ///< false: left out of the fit
};

/// A point of the fitted curve.
struct plotted_prediction {
  double workers = 1;
  estimate speedup = {};
};

/// What a plot shows, besides the ideal line S = n. Workers and speedups are above 0.
struct speedup_plot {
  std::string title = {};
  std::string law = {};  ///< the legend of the curve, such as "Amdahl, s = 10 %"
  std::vector<plotted_point> points = {};
  std::vector<plotted_prediction> curve = {};  ///< ascending; may be empty

  /// A plot of `points` with `fit`, when there is one, from the fewest workers to four times the most.
  static speedup_plot of(std::string title, std::vector<plotted_point> points, std::string law,
                         const std::optional<scaling_fit>& fit);
  /// The smallest rectangle of powers of two that holds everything but the lowest parts of a band.
  struct frame {
    interval workers = {1, 2};
    interval speedup = {1, 2};
  };
  [[nodiscard]] frame bounds() const;
};

}  // namespace tutti
