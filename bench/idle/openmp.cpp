// OpenMP: tasks made by one thread of a parallel region.
#include "systems.hpp"

namespace bench::idle {

#ifdef _OPENMP

namespace {

class openmp_system : public system {
 public:
  explicit openmp_system(int threads) : threads_(threads) {}
  void run(std::size_t count) override {
#pragma omp parallel num_threads(threads_)
#pragma omp single
    for (std::size_t i = 0; i < count; ++i) {
#pragma omp task
      asm volatile("");
    }
  }

 private:
  int threads_;
};

}  // namespace

std::unique_ptr<system> make_openmp(int threads) { return std::make_unique<openmp_system>(threads); }

#else

std::unique_ptr<system> make_openmp(int) { return nullptr; }

#endif

}  // namespace bench::idle
