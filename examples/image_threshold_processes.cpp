// image_threshold_processes: 400 photographed pieces of a page, made black and white by worker processes.
// Teaches: what to send. Pixels: the parent reads the files, and every pixel travels there and back. Names: the workers
// read the files themselves, all at once, and only results travel. A shared_array: a handle; the work is done in place.
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/tutti.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace image_threshold_processes {

namespace fs = std::filesystem;
using byte = std::uint8_t;
using pixels = std::vector<byte>;

constexpr int tiles_across = 20, side = 20, tiles = tiles_across * tiles_across;
constexpr std::size_t tile_pixels = std::size_t{side} * side;

// Whether the page has ink there: a grid of lines.
bool inked(int tile, int y, int x) {
  return (tile / tiles_across * side + y) % 13 == 0 || (tile % tiles_across * side + x) % 17 == 0;
}
// Paper, lit from the right.
pixels photograph(int tile) {
  pixels grey;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const int light = 60 + 190 * (tile % tiles_across * side + x) / (tiles_across * side);
      grey.push_back(static_cast<byte>(light - (inked(tile, y, x) ? 40 : 0)));
    }
  }
  return grey;
}
// White: lighter than the mean of the 11 x 11 pixels around it less 2; pixels at the edges stand for those beyond.
pixels threshold(const pixels& grey) {
  const auto at = [&](int y, int x) {
    const std::ptrdiff_t i = std::clamp(y, 0, side - 1) * side + std::clamp(x, 0, side - 1);
    return grey[static_cast<std::size_t>(i)];
  };
  pixels black_white;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      int sum = 0;
      for (int v = y - 5; v <= y + 5; ++v) {
        for (int u = x - 5; u <= x + 5; ++u) sum += at(v, u);
      }
      black_white.push_back(at(y, x) > (2 * sum + 121) / 242 - 2 ? 255 : 0);
    }
  }
  return black_white;
}

pixels read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  pixels all{std::istreambuf_iterator<char>(file), {}};
  if (all.size() != tile_pixels) throw std::runtime_error("cannot read " + path.string());
  return all;
}
void write(const fs::path& path, const pixels& all) {
  std::ofstream file(path, std::ios::binary);
  std::ranges::copy(all, std::ostreambuf_iterator<char>(file));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

pixels threshold_file(const fs::path& path) { return threshold(read(path)); }
void threshold_in_place(tutti::shared_array<byte> page, std::size_t tile) {
  const std::span<byte> here = page.span().subspan(tile * tile_pixels, tile_pixels);
  std::ranges::copy(threshold(pixels(here.begin(), here.end())), here.begin());
}

// Gone with all that is in it.
class temporary_directory {
 public:
  temporary_directory() {
    std::string name = (fs::temp_directory_path() / "image_threshold_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make the directory " + name);
    path_ = name;
  }
  ~temporary_directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  fs::path photo(int tile) const { return path_ / (std::to_string(tile) + ".grey"); }

 private:
  fs::path path_;
};

// One after the other.
pixels joined(auto&& results) {
  pixels all;
  for (const pixels& one : results) all.insert(all.end(), one.begin(), one.end());
  return all;
}
pixels parent_reads(tutti::executor& pool, const temporary_directory& files) {
  const auto photo = [&](int tile) { return read(files.photo(tile)); };
  return joined(pool.map<threshold>(std::views::iota(0, tiles) | std::views::transform(photo)));
}
pixels workers_read(tutti::executor& pool, const temporary_directory& files) {
  const auto name = [&](int tile) { return files.photo(tile); };
  return joined(pool.map<threshold_file>(std::views::iota(0, tiles) | std::views::transform(name)));
}
pixels in_place(tutti::executor& pool, const pixels& photos) {
  const auto page = tutti::shared_array<byte>::copy_of(photos);
  const auto piece = [&](std::size_t tile) { return std::pair(page, tile); };
  pool.submit_bulk<threshold_in_place>(std::views::iota(std::size_t{0}, std::size_t{tiles}) |
                                       std::views::transform(piece))
      .get();
  return {page.begin(), page.end()};
}

bool check(const char* form, const pixels& expected, auto work) {
  const auto start = std::chrono::steady_clock::now();
  const pixels all = work();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::cout << form << ": " << took.count() << " ms\n";
  return all == expected;
}

}  // namespace image_threshold_processes

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  namespace im = image_threshold_processes;
  const im::temporary_directory files;
  im::pixels photos, expected;
  long misjudged = 0;
  for (int tile = 0; tile < im::tiles; ++tile) {
    const im::pixels photo = im::photograph(tile), result = im::threshold(photo);
    im::write(files.photo(tile), photo);
    photos.insert(photos.end(), photo.begin(), photo.end());
    expected.insert(expected.end(), result.begin(), result.end());
    for (int i = 0; i < im::side * im::side; ++i) {
      misjudged += (result[static_cast<std::size_t>(i)] == 0) != im::inked(tile, i / im::side, i % im::side);
    }
  }

  tutti::process_pool pool(4);
  bool right = im::check("the parent reads", expected, [&] { return im::parent_reads(pool, files); });
  right = im::check("the workers read", expected, [&] { return im::workers_read(pool, files); }) && right;
  right = im::check("in place", expected, [&] { return im::in_place(pool, photos); }) && right;
  std::cout << im::tiles << " tiles, pixels misjudged: " << misjudged << '\n';
  return right && misjudged == 0 ? 0 : 1;
} catch (const std::exception& e) {  // also what a worker has thrown
  std::cerr << "image_threshold_processes: " << e.what() << '\n';
  return 1;
}
