// plot_text: a speedup plot for a terminal.
#pragma once
#include <tutti/trace/speedup_plot.hpp>

#include <string>

namespace tutti {

/// How large, and with which characters.
struct text_plot_size {
  int width = 80;    ///< columns; at least 40 are used
  int height = 20;   ///< lines of the drawing; at least 8 are used
  bool utf8 = true;  ///< false: plain ASCII
};

/// The plot as lines that end with a new line, none longer than the width. The title is left to the caller.
std::string plot_text(const speedup_plot& plot, const text_plot_size& size = {});

}  // namespace tutti
