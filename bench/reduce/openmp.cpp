// OpenMP: a reduction clause, over one share per thread and over guided blocks.
#include <algorithm>

#include "systems.hpp"

namespace bench::reduce {

#ifdef _OPENMP

namespace {

// Shares given out in blocks: how one uses a kernel over ranges with an OpenMP schedule.
constexpr std::size_t sum_block = 2048;

class openmp_static : public system {
 public:
  explicit openmp_static(int threads) : threads_(threads), shares_(static_cast<std::size_t>(threads)) {}
  double sum_all(const double* data, std::size_t n) override {
    double total = 0;
#pragma omp parallel for num_threads(threads_) schedule(static) reduction(+ : total)
    for (std::size_t k = 0; k < shares_; ++k)
      total += sum(data + n * k / shares_, n * (k + 1) / shares_ - n * k / shares_);
    return total;
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    std::uint64_t best = 0;
#pragma omp parallel for num_threads(threads_) schedule(static) reduction(max : best)
    for (std::size_t k = 0; k < shares_; ++k) {
      best = std::max(best, largest(n * k / shares_, n * (k + 1) / shares_ - n * k / shares_, rounds));
    }
    return best;
  }

 private:
  int threads_;
  std::size_t shares_;
};

class openmp_guided : public system {
 public:
  explicit openmp_guided(int threads) : threads_(threads) {}
  double sum_all(const double* data, std::size_t n) override {
    double total = 0;
    std::size_t blocks = (n + sum_block - 1) / sum_block;
#pragma omp parallel for num_threads(threads_) schedule(guided) reduction(+ : total)
    for (std::size_t k = 0; k < blocks; ++k) total += sum(data + k * sum_block, std::min(sum_block, n - k * sum_block));
    return total;
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    std::uint64_t best = 0;
#pragma omp parallel for num_threads(threads_) schedule(guided) reduction(max : best)
    for (std::size_t i = 0; i < n; ++i) best = std::max(best, largest(i, 1, rounds));
    return best;
  }

 private:
  int threads_;
};

}  // namespace

void add_openmp(contenders& to, int threads) {
  to.emplace_back("OpenMP static", std::make_unique<openmp_static>(threads));
  to.emplace_back("OpenMP guided", std::make_unique<openmp_guided>(threads));
}

#else

void add_openmp(contenders&, int) {}

#endif

}  // namespace bench::reduce
