// mandelbrot: how long each point c of the plane stays near 0 under z = z*z + c, as a picture.
// Teaches: parallel_for over a box of indices. A point inside costs hundreds of times one outside, and the loop need
// not know where they lie: work is divided when somebody runs out of it. Usage: mandelbrot [HEIGHT [FILE.ppm]]
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr int limit = 500;  // steps after which a point counts as inside

// Steps until |z| > 2.
int steps(double x, double y) {
  double re = 0, im = 0;
  int n = 0;
  for (; n < limit && re * re + im * im <= 4; ++n) {
    const double next = re * re - im * im + x;
    im = 2 * re * im + y;
    re = next;
  }
  return n;
}

// The plane from -2.25 to 0.75 and from -1 to 1, by rows.
struct picture {
  std::ptrdiff_t height, width = height * 3 / 2;
  std::vector<int> counts = std::vector<int>(static_cast<std::size_t>(height * width));

  int& at(std::ptrdiff_t row, std::ptrdiff_t column) { return counts[static_cast<std::size_t>(row * width + column)]; }
  double side() const { return 2 / static_cast<double>(height); }
  void compute(std::ptrdiff_t row, std::ptrdiff_t column) {  // at the middle of the pixel
    at(row, column) = steps(static_cast<double>(2 * column + 1) * side() / 2 - 2.25,
                            static_cast<double>(2 * row + 1 - height) * side() / 2);
  }
};

bool write_ppm(const picture& from, const std::string& path) {
  std::string pixels;
  for (const int n : from.counts) {
    const double glow = n == limit ? 0 : std::sqrt(n / double{limit});
    for (const double colour : {3 * glow - 1, 3 * glow - 0.5, 3 * glow})
      pixels.push_back(static_cast<char>(std::clamp(colour, 0.0, 1.0) * 255));
  }
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << from.width << ' ' << from.height << "\n255\n" << pixels << std::flush;
  if (!file) std::cerr << "mandelbrot: cannot write " << path << '\n';
  return static_cast<bool>(file);
}

double milliseconds(auto work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::ptrdiff_t height = argc > 1 ? std::max(std::stol(argv[1]), 1L) : 300;

  picture one{height}, all{height};
  const double serial = milliseconds([&] {
    for (std::ptrdiff_t row = 0; row < one.height; ++row) {
      for (std::ptrdiff_t column = 0; column < one.width; ++column) one.compute(row, column);
    }
  });
  const double parallel = milliseconds([&] {
    tutti::parallel_for(tutti::box(all.height, all.width), [&](auto row, auto column) { all.compute(row, column); });
  });
  std::cout << all.width << " x " << all.height << " points: " << serial << " ms in two loops, " << parallel
            << " ms in a parallel_for\n";

  bool mirrored = true;
  for (std::ptrdiff_t row = 0; row < all.height; ++row) {
    for (std::ptrdiff_t column = 0; column < all.width; ++column)
      mirrored = mirrored && all.at(row, column) == all.at(all.height - 1 - row, column);
  }
  const double area = static_cast<double>(std::ranges::count(all.counts, limit)) * all.side() * all.side();
  std::cout << "area: " << area << " (known: 1.5066)\n";
  const bool written = argc <= 2 || write_ppm(all, argv[2]);
  const bool right = all.counts == one.counts && mirrored && std::abs(area - 1.5066) < 0.02 + 2 * all.side();
  const bool known = steps(0, 0) == limit && steps(-1, 0) == limit && steps(2, 0) == 2 && steps(1, 0) == 3;
  return right && known && written ? 0 : 1;
}
