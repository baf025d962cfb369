// OpenMP: tasks can only be made inside a parallel region, one by one or by taskloop.
#include "systems.hpp"

namespace bench::submit {

#ifdef _OPENMP

namespace {

class openmp_system : public system {
 public:
  explicit openmp_system(int threads) : threads_(threads) {}
  bool post_inside(std::size_t count) override {
#pragma omp parallel num_threads(threads_)
#pragma omp single
    for (std::size_t i = 0; i < count; ++i) {
#pragma omp task
      done_.count();
    }
    return true;
  }
  bool bulk(std::size_t count) override {
#pragma omp parallel num_threads(threads_)
#pragma omp single
#pragma omp taskloop grainsize(1)
    for (std::size_t i = 0; i < count; ++i) done_.count();
    return true;
  }

 private:
  int threads_;
  tally done_;
};

}  // namespace

std::unique_ptr<system> make_openmp(int threads) { return std::make_unique<openmp_system>(threads); }

#else

std::unique_ptr<system> make_openmp(int) { return nullptr; }

#endif

}  // namespace bench::submit
