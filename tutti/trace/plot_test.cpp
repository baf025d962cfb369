// Plots: what must be seen is there, nothing leaves the frame, and the picture is XML.
#include <tutti/trace/plot_svg.hpp>
#include <tutti/trace/plot_text.hpp>

#include <gtest/gtest.h>

#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tutti {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(std::ranges::count_if(line, [](char c) { return (c & 0xC0) != 0x80; }));
}

// A program of which `serial` is serial, measured with noise on 1, 2, 4 and 8 workers.
speedup_plot example(double serial = 0.1, bool all_fitted = true) {
  std::vector<scaling_run> runs;
  std::vector<plotted_point> points;
  for (const int n : {1, 2, 4, 8}) {
    const double seconds = serial + (1 - serial) / n;
    for (const double noise : {0.97, 1.0, 1.03}) runs.push_back({.workers = n, .seconds = seconds * noise});
    points.push_back({.workers = static_cast<double>(n),
                      .speedup = 1 / seconds,
                      .range = {.low = 0.97 / seconds, .high = 1.03 / seconds},
                      .fitted = all_fitted || n < 8});
  }
  return speedup_plot::of("./solve <a> & \"b\" \xff\x01 ü", points, "Amdahl", fit_scaling(scaling_law::amdahl, runs));
}

// What Python's parser thinks of it: the number of `element`s, or -1 when it is not well-formed.
int count_elements(const std::string& svg, const std::string& element) {
  std::string file = (std::filesystem::temp_directory_path() / "tutti-plot-XXXXXX").string();
  const int fd = ::mkstemp(file.data());
  if (fd < 0) return -2;
  ::close(fd);
  std::ofstream(file, std::ios::binary) << svg;
  const std::string script =
      "import sys, xml.etree.ElementTree as t\n"
      "try: root = t.parse(sys.argv[1]).getroot()\n"
      "except t.ParseError as e: print(e); sys.exit(255)\n"
      "sys.exit(len(root.findall('.//{http://www.w3.org/2000/svg}' + sys.argv[2])))";
  const int status = std::system(("python3 -c \"" + script + "\" " + file + " " + element).c_str());
  std::filesystem::remove(file);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -3;
  return code == 255 ? -1 : code;
}

TEST(PlotBounds, HoldEverythingInPowersOfTwo) {
  const speedup_plot::frame frame = example().bounds();
  EXPECT_EQ(frame.workers.low, 1);
  EXPECT_EQ(frame.workers.high, 32);
  EXPECT_EQ(frame.speedup.low, 1);
  EXPECT_EQ(frame.speedup.high, 8);
  EXPECT_EQ(example(1.5).bounds().speedup.low, 0.5);  // it becomes slower
  const speedup_plot nothing;
  EXPECT_LT(nothing.bounds().workers.low, nothing.bounds().workers.high);
}

TEST(PlotText, ShowsPointsFitBandAndIdeal) {
  const std::string text = plot_text(example(0.3));
  for (const char* part : {"●", "━", "░", "·", "measured", "Amdahl", "95 %", "ideal", "speedup", "workers"})
    EXPECT_TRUE(contains(text, part)) << part << '\n' << text;
  EXPECT_FALSE(contains(text, "○")) << text;
  EXPECT_TRUE(contains(plot_text(example(0.3, false)), "○"));
}

TEST(PlotText, IsPlainAsciiOnRequestAndNeverWider) {
  for (const int width : {0, 40, 80, 133}) {
    for (const bool utf8 : {true, false}) {
      const std::string text = plot_text(example(), {.width = width, .height = 12, .utf8 = utf8});
      std::istringstream lines(text);
      std::string line;
      int count = 0;
      while (std::getline(lines, line)) {
        EXPECT_LE(columns(line), static_cast<std::size_t>(std::max(width, 40))) << line;
        ++count;
      }
      EXPECT_EQ(count, width < 80 ? 17 : 16) << text;  // the legend is wrapped
      if (!utf8) {
        EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) << text;
      }
    }
  }
}

// The marks lie on the diagonal for an ideal program.
TEST(PlotText, PointsLieWhereTheyShould) {
  speedup_plot plot;
  for (const double n : {1.0, 2.0, 4.0, 8.0}) plot.points.push_back({.workers = n, .speedup = n, .range = {n, n}});
  const std::string text = plot_text(plot, {.width = 42, .height = 10, .utf8 = false});
  EXPECT_EQ(text, R"(speedup over workers
     8 |                            .*
       |                         ...
       |                     ....
     4 |                  .*.
       |               ...
       |            ...
     2 |         .*.
       |     ....
       |  ...
     1 |*.
       +------------------------------
        1         2        4         8
   * measured   . ideal
)");
}

TEST(PlotText, NothingMeasuredIsStillAFrame) { EXPECT_TRUE(contains(plot_text({}), "speedup")); }

TEST(PlotSvg, IsWellFormedAndHasAllParts) {
  const std::string svg = plot_svg(example(0.3, false));
  EXPECT_EQ(count_elements(svg, "polygon"), 1) << svg;
  EXPECT_EQ(count_elements(svg, "polyline"), 1);
  EXPECT_GE(count_elements(svg, "circle"), 4);
  for (const char* part : {"workers", "speedup", "95 % confidence", "ideal", "&lt;a&gt; &amp; &quot;b&quot; ?  ü"})
    EXPECT_TRUE(contains(svg, part)) << part << '\n' << svg;
  EXPECT_FALSE(contains(svg, "nan")) << svg;
  EXPECT_FALSE(contains(svg, "inf")) << svg;
  for (const char* title : {"<title>1 worker: ", "<title>2 workers: "}) EXPECT_TRUE(contains(svg, title)) << svg;
}

TEST(PlotSvg, WithoutFitOrPoints) {
  EXPECT_EQ(count_elements(plot_svg({}), "polyline"), 0);
  speedup_plot plot{.title = "x", .points = {{.workers = 3, .speedup = 1}}};
  EXPECT_EQ(count_elements(plot_svg(plot), "polygon"), 0);
}

}  // namespace
}  // namespace tutti
