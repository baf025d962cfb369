// OpenMP: the inscan reduction for the plain sums; for any operation one share per thread in two passes, by hand.
#include <vector>

#include "systems.hpp"

namespace bench::scan {

#ifdef _OPENMP

// g++ 12 says this of every inscan reduction.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace {

class openmp_inscan : public system {
 public:
  explicit openmp_inscan(int threads) : threads_(threads) {}
  void sums(const double* from, double* to, std::size_t n) override {
    double sum = 0;
#pragma omp parallel for num_threads(threads_) reduction(inscan, + : sum)
    for (std::size_t i = 0; i < n; ++i) {
      sum += from[i];
#pragma omp scan inclusive(sum)
      to[i] = sum;
    }
  }
  // A reduction's operation cannot be told how many rounds.
  bool takes_any_operation() const override { return false; }
  void costly_sums(const std::uint64_t*, std::uint64_t*, std::size_t, costly_plus) override {}

 private:
  int threads_;
};

// p + 1 shares, so that the second pass is shared by all as well: the best a static division can do.
class openmp_shares : public system {
 public:
  explicit openmp_shares(int threads) : threads_(threads), shares_(static_cast<std::size_t>(threads) + 1) {}
  void sums(const double* from, double* to, std::size_t n) override {
    scan_all(from, to, n, [](double a, double b) { return a + b; });
  }
  void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) override {
    scan_all(from, to, n, op);
  }

 private:
  template <class T, class Op>
  void scan_all(const T* from, T* to, std::size_t n, Op op) {
    std::vector<T> before(shares_ + 1);
    const auto write = [&](std::size_t k) {
      T sum = before[k];
      for (std::size_t i = n * k / shares_; i < n * (k + 1) / shares_; ++i) to[i] = sum = op(sum, from[i]);
      return sum;
    };
#pragma omp parallel num_threads(threads_)
    {
#pragma omp for schedule(static, 1)
      for (std::size_t k = 0; k < shares_ - 1; ++k) {
        if (k == 0) {
          before[1] = write(0);
        } else {
          T sum = T();
          for (std::size_t i = n * k / shares_; i < n * (k + 1) / shares_; ++i) sum = op(sum, from[i]);
          before[k + 1] = sum;
        }
      }
#pragma omp single
      for (std::size_t k = 1; k + 1 < shares_; ++k) before[k + 1] = op(before[k], before[k + 1]);
#pragma omp for schedule(static, 1)
      for (std::size_t k = 1; k < shares_; ++k) write(k);
    }
  }

  int threads_;
  std::size_t shares_;
};

}  // namespace

void add_openmp(contenders& to, int threads) {
  to.emplace_back("OpenMP inscan", std::make_unique<openmp_inscan>(threads));
  to.emplace_back("OpenMP shares", std::make_unique<openmp_shares>(threads));
}

#else

void add_openmp(contenders&, int) {}

#endif

}  // namespace bench::scan
