// matrix_multiply: a product of two n x n matrices, tile by tile on all cores, beside three plain loops and Eigen.
// Teaches: parallel_for over a box of tiles. Each call makes one tile of the result, from tiles copied to where they
// stay in the cache; loops of constant length over them become vector instructions. Usage: matrix_multiply [N]
#include <tutti/tutti.hpp>

#if __has_include(<Eigen/Core>)
#include <Eigen/Core>
#endif
#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace {

// Square, by rows.
struct matrix {
  std::ptrdiff_t n;
  std::vector<double> numbers = std::vector<double>(static_cast<std::size_t>(n * n));

  double* row(std::ptrdiff_t i) { return numbers.data() + i * n; }
  const double* row(std::ptrdiff_t i) const { return numbers.data() + i * n; }
};

constexpr std::ptrdiff_t side = 64;  // three tiles fit a second-level cache, two almost the first

// Row `row` and column `column` of tiles; what lies beyond the matrix counts as 0.
struct alignas(64) tile {
  double at[side][side] = {};

  tile() = default;
  tile(const matrix& from, std::ptrdiff_t row, std::ptrdiff_t column) {
    const std::ptrdiff_t rows = std::min(side, from.n - row * side), columns = std::min(side, from.n - column * side);
    for (std::ptrdiff_t i = 0; i < rows; ++i) std::copy_n(from.row(row * side + i) + column * side, columns, at[i]);
  }
  void store(matrix& to, std::ptrdiff_t row, std::ptrdiff_t column) const {
    const std::ptrdiff_t rows = std::min(side, to.n - row * side), columns = std::min(side, to.n - column * side);
    for (std::ptrdiff_t i = 0; i < rows; ++i) std::copy_n(at[i], columns, to.row(row * side + i) + column * side);
  }
  // Four rows of b at a time, as each sum is read and written once for them.
  void add_product(const tile& a, const tile& b) {
    for (std::ptrdiff_t i = 0; i < side; ++i) {
      for (std::ptrdiff_t k = 0; k < side; k += 4) {
        const double* const x = &a.at[i][k];
        for (std::ptrdiff_t j = 0; j < side; ++j)
          at[i][j] += x[0] * b.at[k][j] + x[1] * b.at[k + 1][j] + x[2] * b.at[k + 2][j] + x[3] * b.at[k + 3][j];
      }
    }
  }
};

void multiply_tiles(const matrix& a, const matrix& b, matrix& c) {
  const std::ptrdiff_t tiles = (c.n + side - 1) / side;
  tutti::parallel_for(tutti::box(tiles, tiles), [&](std::ptrdiff_t row, std::ptrdiff_t column) {
    tile sum;
    for (std::ptrdiff_t k = 0; k < tiles; ++k) sum.add_product(tile(a, row, k), tile(b, k, column));
    sum.store(c, row, column);
  });
}

void multiply_plainly(const matrix& a, const matrix& b, matrix& c) {
  for (std::ptrdiff_t i = 0; i < c.n; ++i) {
    for (std::ptrdiff_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (std::ptrdiff_t k = 0; k < c.n; ++k) sum += a.row(i)[k] * b.row(k)[j];
      c.row(i)[j] = sum;
    }
  }
}

#if __has_include(<Eigen/Core>)
void multiply_by_eigen(const matrix& a, const matrix& b, matrix& c) {
  using dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto view = [](const matrix& m) { return Eigen::Map<const dense>(m.row(0), m.n, m.n); };
  Eigen::Map<dense>(c.row(0), c.n, c.n).noalias() = view(a) * view(b);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const std::ptrdiff_t n = argc > 1 ? std::max(std::stol(argv[1]), 1L) : 250;
  matrix a{n}, b{n}, expected{n};
  // Small whole numbers: products are exact, whatever the order of the additions.
  for (std::size_t i = 0; i < a.numbers.size(); ++i) {
    a.numbers[i] = static_cast<double>(i * i % 19) - 9;
    b.numbers[i] = static_cast<double>(i * 7 % 23) - 11;
  }

  bool right = true;
  const auto time = [&](const char* how, auto multiply) {
    matrix c{n};
    const auto start = std::chrono::steady_clock::now();
    multiply(a, b, c);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (expected.numbers[0] == 0) expected = c;
    right = right && c.numbers == expected.numbers;
    std::cout << how << ": " << took.count() * 1e3 << " ms, " << 2e-9 * static_cast<double>(n * n * n) / took.count()
              << " GFlop/s\n";
  };
  time("three loops", multiply_plainly);
  time("tiles on all cores", multiply_tiles);
#if __has_include(<Eigen/Core>)
  time("Eigen on one core", multiply_by_eigen);
#endif
  return right ? 0 : 1;
}
