// plot_svg: a speedup plot as a picture for reports and browsers.
#pragma once
#include <tutti/trace/speedup_plot.hpp>

#include <string>

namespace tutti {

/// The plot as one self-contained SVG 1.1 document: no scripts, no fonts or styles from elsewhere, readable on white.
/// Text that is not UTF-8 loses what is wrong with it.
std::string plot_svg(const speedup_plot& plot);

}  // namespace tutti
