// OpenMP: tasks in one parallel region; the second branch runs in the parent, as every OpenMP guide advises.
#include <array>
#include <numeric>

#include "systems.hpp"

namespace bench::fork_join {

#ifdef _OPENMP

namespace {

std::uint64_t fib(int n) {
  if (n < 2) return static_cast<std::uint64_t>(n);
  std::uint64_t a = 0, b = 0;
#pragma omp task shared(a) firstprivate(n) untied
  a = fib(n - 1);
  b = fib(n - 2);
#pragma omp taskwait
  return a + b;
}

std::uint64_t skynet(std::uint64_t first, std::uint64_t size) {
  if (size == 1) return first;
  std::array<std::uint64_t, 10> sums{};
  std::uint64_t step = size / 10;
  for (std::size_t i = 0; i < 10; ++i) {
#pragma omp task shared(sums) firstprivate(i, first, step) untied
    sums[i] = skynet(first + i * step, step);
  }
#pragma omp taskwait
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

void tree(int leaves, const std::function<void()>& leaf) {
  if (leaves == 1) return leaf();
#pragma omp task shared(leaf) firstprivate(leaves) untied
  tree(leaves - leaves / 2, leaf);
  tree(leaves / 2, leaf);
#pragma omp taskwait
}

class openmp_system : public system {
 public:
  explicit openmp_system(int threads) : threads_(threads) {}
  std::uint64_t fib(int n) override {
    std::uint64_t result = 0;
#pragma omp parallel num_threads(threads_)
#pragma omp single
    result = fork_join::fib(n);
    return result;
  }
  std::uint64_t skynet(int depth) override {
    std::uint64_t size = 1, result = 0;
    for (int i = 0; i < depth; ++i) size *= 10;
#pragma omp parallel num_threads(threads_)
#pragma omp single
    result = fork_join::skynet(0, size);
    return result;
  }
  void tree(int leaves, const std::function<void()>& leaf) override {
#pragma omp parallel num_threads(threads_)
#pragma omp single
    fork_join::tree(leaves, leaf);
  }

 private:
  int threads_;
};

}  // namespace

std::unique_ptr<system> make_openmp(int threads) { return std::make_unique<openmp_system>(threads); }

#else

std::unique_ptr<system> make_openmp(int) { return nullptr; }

#endif

}  // namespace bench::fork_join
