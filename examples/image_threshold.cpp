// image_threshold: 400 photographed pieces of an unevenly lit, ruled page, each made grey, then black and white.
// Teaches: parallel_for_each over things that carry their results. The worker that computes a tile also writes it, so
// that the disk is busy while others compute. Usage: image_threshold [TILE_SIDE [DIRECTORY_TO_WRITE_TO]]
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using byte = std::uint8_t;
constexpr int tiles_across = 20;

struct tile {
  int row, column, side;
  std::vector<byte> colour{}, grey{}, simple{}, adaptive{};

  std::size_t at(std::ptrdiff_t y, std::ptrdiff_t x) const { return static_cast<std::size_t>(y * side + x); }
  // Whether the page has ink there: a grid of lines.
  bool inked(int y, int x) const { return (row * side + y) % 13 == 0 || (column * side + x) % 17 == 0; }

  // Yellowish paper, lit from the right.
  void photograph() {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const int light = 60 + 190 * (column * side + x) / (tiles_across * side) - (inked(y, x) ? 40 : 0);
        for (const int value : {light, light, light / 2}) colour.push_back(static_cast<byte>(value));
      }
    }
  }
  void make_grey() {
    for (std::size_t i = 0; i < colour.size(); i += 3)
      grey.push_back(static_cast<byte>((299 * colour[i] + 587 * colour[i + 1] + 114 * colour[i + 2]) / 1000));
  }
  // White: lighter than 127.
  void threshold() {
    for (const byte value : grey) simple.push_back(value > 127 ? 255 : 0);
  }
  // White: lighter than the mean of the 11 x 11 pixels around it less 2; pixels at the edges stand for those beyond.
  void adaptive_threshold() {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        int sum = 0;
        for (int v = y - 5; v <= y + 5; ++v) {
          for (int u = x - 5; u <= x + 5; ++u) sum += grey[at(std::clamp(v, 0, side - 1), std::clamp(u, 0, side - 1))];
        }
        adaptive.push_back(grey[at(y, x)] > (2 * sum + 121) / 242 - 2 ? 255 : 0);
      }
    }
  }
  void compute() {
    photograph();
    make_grey();
    threshold();
    adaptive_threshold();
  }

  void write(const std::filesystem::path& directory) const {
    const auto save = [&](const char* suffix, const char* kind, const std::vector<byte>& pixels) {
      const auto path = directory / ("tile_" + std::to_string(row) + "_" + std::to_string(column) + suffix);
      std::ofstream file(path, std::ios::binary);
      file << kind << '\n' << side << ' ' << side << "\n255\n" << std::string(pixels.begin(), pixels.end());
      if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
    };
    save(".ppm", "P6", colour);
    save("_simple.pgm", "P5", simple);
    save("_adaptive.pgm", "P5", adaptive);
  }
  long misjudged(const std::vector<byte>& black_white) const {
    long wrong = 0;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) wrong += (black_white[at(y, x)] == 0) != inked(y, x);
    }
    return wrong;
  }
  bool operator==(const tile&) const = default;
};

double milliseconds(auto work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  const int side = argc > 1 ? std::max(std::stoi(argv[1]), 20) : 20;
  std::vector<tile> tiles;
  tiles.reserve(tiles_across * tiles_across);
  for (int i = 0; i < tiles_across * tiles_across; ++i) tiles.push_back({i / tiles_across, i % tiles_across, side});
  std::vector<tile> expected = tiles;

  const double serial = milliseconds([&] { std::ranges::for_each(expected, &tile::compute); });
  const double parallel = milliseconds([&] {
    tutti::parallel_for_each(tiles, [&](tile& one) {
      one.compute();
      if (argc > 2) one.write(argv[2]);
    });
  });

  long by_simple = 0, by_adaptive = 0;
  for (const tile& one : tiles) {
    by_simple += one.misjudged(one.simple);
    by_adaptive += one.misjudged(one.adaptive);
  }
  std::cout << tiles.size() << " tiles: " << serial << " ms one by one, " << parallel << " ms in parallel\n"
            << "pixels misjudged: " << by_simple << " by one threshold for all, " << by_adaptive
            << " by one for each neighbourhood\n";
  return tiles == expected && by_adaptive == 0 && (side != 20 || by_simple == 63'476) ? 0 : 1;
} catch (const std::exception& e) {  // also what a body in parallel_for_each has thrown
  std::cerr << "image_threshold: " << e.what() << '\n';
  return 1;
}
