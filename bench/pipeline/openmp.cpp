// OpenMP: a loop of ordered iterations, which is a pipeline with one serial end.
#include "systems.hpp"

namespace bench::pipeline {

#ifdef _OPENMP

namespace {

class openmp_ordered : public system {
 public:
  explicit openmp_ordered(int threads) : threads_(threads) {}
  void run(const stream_spec& stream) override {
    adder last(stream);
#pragma omp parallel for num_threads(threads_) schedule(dynamic, 1) ordered
    for (std::uint64_t x = 0; x < stream.items; ++x) {
      std::uint64_t value = x;
      for (int k = 0; k < stream.parallel_stages; ++k) value = stage(value, stream.rounds);
#pragma omp ordered
      last.add(value);
    }
    last.check();
  }

 private:
  int threads_;
};

}  // namespace

void add_openmp(contenders& to, int threads) {
  to.emplace_back("OpenMP ordered", std::make_unique<openmp_ordered>(threads));
}

#else

void add_openmp(contenders&, int) {}

#endif

}  // namespace bench::pipeline
