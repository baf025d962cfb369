#include <tutti/trace/plot_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace tutti {
namespace {

constexpr int axis_columns = 8;  // "  1024 |"

// What a cell shows; a greater one hides a smaller one.
enum class mark { nothing, band, ideal, fit, left_out, point };

std::string_view character(mark m, bool utf8) {
  switch (m) {
    case mark::nothing: return " ";
    case mark::band: return utf8 ? "░" : ":";
    case mark::ideal: return utf8 ? "·" : ".";
    case mark::fit: return utf8 ? "━" : "-";
    case mark::left_out: return utf8 ? "○" : "o";
    case mark::point: return utf8 ? "●" : "*";
  }
  return " ";
}

class canvas {
 public:
  canvas(const speedup_plot::frame& frame, int columns, int lines)
      : frame_(frame),
        columns_(columns),
        lines_(lines),
        cells_(static_cast<std::size_t>(columns) * static_cast<std::size_t>(lines), mark::nothing) {}

  // The workers of a column's middle.
  [[nodiscard]] double workers_at(int column) const {
    const double share = columns_ > 1 ? static_cast<double>(column) / (columns_ - 1) : 0;
    return frame_.workers.low * std::pow(frame_.workers.high / frame_.workers.low, share);
  }
  [[nodiscard]] int column_of(double workers) const { return place(workers, frame_.workers, columns_); }
  // From the top.
  [[nodiscard]] int line_of(double speedup) const { return lines_ - 1 - place(speedup, frame_.speedup, lines_); }

  void put(int column, int line, mark m) {
    if (column < 0 || column >= columns_ || line < 0 || line >= lines_) return;
    mark& cell =
        cells_[static_cast<std::size_t>(line) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(column)];
    cell = std::max(cell, m);
  }
  [[nodiscard]] std::string line(int number, bool utf8) const {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      text += character(cells_[static_cast<std::size_t>(number) * static_cast<std::size_t>(columns_) +
                               static_cast<std::size_t>(column)],
                        utf8);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }

 private:
  static int place(double value, const interval& axis, int cells) {
    const double share = std::log(std::max(value, 1e-9) / axis.low) / std::log(axis.high / axis.low);
    return static_cast<int>(std::lround(std::clamp(share, -1.0, 2.0) * (cells - 1)));
  }

  speedup_plot::frame frame_;
  int columns_;
  int lines_;
  std::vector<mark> cells_;
};

// The curve at `workers`, between its points; nothing outside of them.
std::optional<estimate> at(const std::vector<plotted_prediction>& curve, double workers) {
  const auto next = std::ranges::lower_bound(curve, workers * (1 - 1e-9), {}, &plotted_prediction::workers);
  if (next == curve.end() || (next == curve.begin() && next->workers > workers * (1 + 1e-9))) return std::nullopt;
  return next->speedup;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

// As many lines as the width asks for.
std::string legend(const speedup_plot& plot, const text_plot_size& size) {
  std::string text;
  std::size_t used = 0;
  const auto entry = [&](mark m, std::string_view what) {
    const std::string words = fmt::format("   {} {}", character(m, size.utf8), what);
    if (used != 0 && used + columns_of(words) > static_cast<std::size_t>(std::max(size.width, 40))) {
      text += '\n';
      used = 0;
    }
    text += words;
    used += columns_of(words);
  };
  entry(mark::point, "measured");
  if (!std::ranges::all_of(plot.points, &plotted_point::fitted)) entry(mark::left_out, "not in the fit");
  if (!plot.curve.empty()) entry(mark::fit, plot.law);
  if (std::ranges::any_of(plot.curve, [](const auto& p) { return p.speedup.range.has_value(); }))
    entry(mark::band, "95 %");
  entry(mark::ideal, "ideal");
  return text;
}

}  // namespace

std::string plot_text(const speedup_plot& plot, const text_plot_size& size) {
  const int columns = std::max(size.width, 40) - axis_columns - 4;  // room for half of the last label
  const int lines = std::max(size.height, 8);
  const speedup_plot::frame frame = plot.bounds();
  canvas picture(frame, columns, lines);
  for (int column = 0; column < columns; ++column) {
    const double n = picture.workers_at(column);
    picture.put(column, picture.line_of(n), mark::ideal);
    const auto fit = at(plot.curve, n);
    if (!fit) continue;
    picture.put(column, picture.line_of(fit->value), mark::fit);
    if (!fit->range) continue;
    const int bottom = std::min(picture.line_of(fit->range->low), lines - 1);
    for (int line = std::max(0, picture.line_of(fit->range->high)); line <= bottom; ++line)
      picture.put(column, line, mark::band);
  }
  for (const plotted_point& p : plot.points)
    picture.put(picture.column_of(p.workers), picture.line_of(p.speedup), p.fitted ? mark::point : mark::left_out);

  // Ticks at powers of two, each second, fourth, ... where they would touch.
  std::vector<std::string> labels(static_cast<std::size_t>(lines));
  const double doublings = std::log2(frame.speedup.high / frame.speedup.low);
  const int step = std::max(1, static_cast<int>(std::ceil(2 * doublings / lines)));
  for (int i = 0; i <= std::lround(doublings); i += step) {
    const double value = frame.speedup.low * std::exp2(i);
    labels[static_cast<std::size_t>(std::clamp(picture.line_of(value), 0, lines - 1))] = fmt::format("{:g}", value);
  }
  std::string text = "speedup over workers\n";
  for (int line = 0; line < lines; ++line) {
    text += fmt::format("{:>6} {}", labels[static_cast<std::size_t>(line)], size.utf8 ? "│" : "|");
    text += picture.line(line, size.utf8) + '\n';
  }
  std::string rule;
  for (int column = 0; column < columns; ++column) rule += size.utf8 ? "─" : "-";
  text += std::string(axis_columns - 1, ' ') + (size.utf8 ? "└" : "+") + rule + '\n';

  std::string below(static_cast<std::size_t>(columns) + axis_columns + 4, ' ');
  std::size_t free = 0;
  const auto write = [&](double workers) {
    const std::string label = fmt::format("{:g}", workers);
    const auto middle = static_cast<std::size_t>(picture.column_of(workers)) + axis_columns;
    const std::size_t from = middle - std::min(middle, label.size() / 2);
    if (from < free || from + label.size() > below.size()) return;
    below.replace(from, label.size(), label);
    free = from + label.size() + 2;
  };
  for (double n = frame.workers.low; n <= frame.workers.high * 1.001; n *= 2) write(n);
  below.erase(below.find_last_not_of(' ') + 1);
  return text + below + '\n' + legend(plot, size) + '\n';
}

}  // namespace tutti
