#include <tutti/trace/plot_svg.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace tutti {
namespace {

constexpr double width = 720;
constexpr double height = 480;
constexpr double left = 64;
constexpr double right = 24;
constexpr double top = 48;
constexpr double bottom = 60;
constexpr std::size_t most_title = 80;  // bytes: about what fits; all of it is in <title>

// The length of the UTF-8 character that `text` begins with, 0 where that is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, what lies beyond Unicode, and the two that XML has no place for.
  if (length == 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F))) return 0;
  if (length == 3 && first == 0xEF && byte(1) == 0xBF && byte(2) >= 0xBE) return 0;
  if (length == 4 && ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F))) return 0;
  return length;
}

// Text as XML takes it.
std::string escaped(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const char c = text.front();
    if (length == 0) {
      result += '?';
    } else if (length > 1) {
      result += text.substr(0, length);
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

class drawing {
 public:
  explicit drawing(const speedup_plot& plot) : plot_(plot), frame_(plot.bounds()) {}

  std::string draw() {
    text_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
        "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{2}</title>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        "<clipPath id=\"area\"><rect x=\"{3:g}\" y=\"{4:g}\" width=\"{5:g}\" height=\"{6:g}\"/></clipPath>\n",
        width, height, escaped(plot_.title), left, top, width - left - right, height - top - bottom);
    const bool long_title = plot_.title.size() > most_title;
    label(width / 2, 26, "middle", long_title ? plot_.title.substr(0, most_title) + "..." : plot_.title,
          " font-size=\"15\"");
    axes();
    curves();
    points();
    legend();
    return text_ + "</svg>\n";
  }

 private:
  [[nodiscard]] double x(double workers) const {
    return left + std::log(workers / frame_.workers.low) / std::log(frame_.workers.high / frame_.workers.low) *
                      (width - left - right);
  }
  [[nodiscard]] double y(double speedup) const {
    // What lies far outside is cut off anyway, and log(0) has no place.
    const double kept = std::max(speedup, frame_.speedup.low / 1024);
    return height - bottom -
           std::log(kept / frame_.speedup.low) / std::log(frame_.speedup.high / frame_.speedup.low) *
               (height - top - bottom);
  }

  void label(double at_x, double at_y, std::string_view anchor, std::string_view content, std::string_view more = "") {
    text_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"#222222\"{}>{}</text>\n", at_x,
                         at_y, anchor, more, escaped(content));
  }
  void line(double x1, double y1, double x2, double y2, std::string_view style) {
    text_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
  }

  void axes() {
    constexpr std::string_view grid = "stroke=\"#e3e3e3\"";
    constexpr std::string_view axis = "stroke=\"#222222\"";
    const double doublings = std::log2(frame_.workers.high / frame_.workers.low);
    const double step = std::exp2(std::max(1.0, std::ceil(doublings / 16)));
    for (double n = frame_.workers.low; n <= frame_.workers.high * 1.001; n *= step) {
      line(x(n), top, x(n), height - bottom, grid);
      label(x(n), height - bottom + 18, "middle", fmt::format("{:g}", n));
    }
    for (double s = frame_.speedup.low; s <= frame_.speedup.high * 1.001; s *= 2) {
      line(left, y(s), width - right, y(s), grid);
      label(left - 8, y(s) + 4, "end", fmt::format("{:g}", s));
    }
    line(left, height - bottom, width - right, height - bottom, axis);
    line(left, top, left, height - bottom, axis);
    label((left + width - right) / 2, height - 20, "middle", "workers");
    label(18, (top + height - bottom) / 2, "middle", "speedup",
          fmt::format(" transform=\"rotate(-90 18 {:.1f})\"", (top + height - bottom) / 2));
  }

  void curves() {
    text_ += "<g clip-path=\"url(#area)\">\n";
    std::string upper;
    std::string lower;
    std::string middle;
    for (const plotted_prediction& p : plot_.curve) {
      middle += fmt::format("{:.1f},{:.1f} ", x(p.workers), y(p.speedup.value));
      if (!p.speedup.range) continue;
      upper += fmt::format("{:.1f},{:.1f} ", x(p.workers), y(p.speedup.range->high));
      lower.insert(0, fmt::format("{:.1f},{:.1f} ", x(p.workers), y(p.speedup.range->low)));
    }
    has_band_ = !upper.empty();
    if (has_band_)
      text_ += fmt::format("<polygon points=\"{}{}\" fill=\"#1f77b4\" fill-opacity=\"0.2\"/>\n", upper, lower);
    line(x(frame_.workers.low), y(frame_.workers.low), x(frame_.workers.high), y(frame_.workers.high), ideal_style);
    if (!middle.empty()) text_ += fmt::format("<polyline points=\"{}\" fill=\"none\" {}/>\n", middle, fit_style);
    text_ += "</g>\n";
  }

  void points() {
    for (const plotted_point& p : plot_.points) {
      line(x(p.workers), y(p.range.low), x(p.workers), y(p.range.high), "stroke=\"#d62728\"");
      text_ += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" stroke=\"#d62728\" fill=\"{}\"><title>{:g} worker{}: "
          "{:.3g}x</title></circle>\n",
          x(p.workers), y(p.speedup), p.fitted ? "#d62728" : "#ffffff", p.workers, p.workers == 1 ? "" : "s",
          p.speedup);
    }
  }

  // At the top left, which the curves leave free.
  void legend() {
    double at = top + 18;
    const auto entry = [&](std::string_view shape, std::string_view content) {
      text_ += fmt::format("<g transform=\"translate({:.1f} {:.1f})\">{}</g>\n", left + 12, at, shape);
      label(left + 44, at + 4, "start", content);
      at += 18;
    };
    entry("<circle cx=\"12\" cy=\"0\" r=\"4\" fill=\"#d62728\"/>", "measured, with the fastest and the slowest run");
    if (!std::ranges::all_of(plot_.points, &plotted_point::fitted))
      entry("<circle cx=\"12\" cy=\"0\" r=\"4\" stroke=\"#d62728\" fill=\"#ffffff\"/>",
            "measured, left out of the fit");
    if (!plot_.curve.empty())
      entry(fmt::format("<line x1=\"0\" y1=\"0\" x2=\"24\" y2=\"0\" {}/>", fit_style), plot_.law);
    if (has_band_) {
      entry("<rect x=\"0\" y=\"-6\" width=\"24\" height=\"12\" fill=\"#1f77b4\" fill-opacity=\"0.2\"/>",
            "95 % confidence");
    }
    entry(fmt::format("<line x1=\"0\" y1=\"0\" x2=\"24\" y2=\"0\" {}/>", ideal_style), "ideal");
  }

  static constexpr std::string_view ideal_style = "stroke=\"#888888\" stroke-dasharray=\"6 4\"";
  static constexpr std::string_view fit_style = "stroke=\"#1f77b4\" stroke-width=\"2\"";

  const speedup_plot& plot_;
  speedup_plot::frame frame_;
  std::string text_;
  bool has_band_ = false;
};

}  // namespace

std::string plot_svg(const speedup_plot& plot) { return drawing(plot).draw(); }

}  // namespace tutti
