// OpenMP: parallel for with static, dynamic and guided schedules.
#include "systems.hpp"

namespace bench::parallel_for {

#ifdef _OPENMP

namespace {

class openmp_static : public system_of<openmp_static> {
 public:
  explicit openmp_static(int threads) : threads_(threads) {}
  template <class Body>
  void loop(std::size_t n, const Body& each) {
#pragma omp parallel for num_threads(threads_) schedule(static) firstprivate(each)
    for (std::size_t i = 0; i < n; ++i) each(i);
  }

 private:
  int threads_;
};

class openmp_guided : public system_of<openmp_guided> {
 public:
  explicit openmp_guided(int threads) : threads_(threads) {}
  template <class Body>
  void loop(std::size_t n, const Body& each) {
#pragma omp parallel for num_threads(threads_) schedule(guided) firstprivate(each)
    for (std::size_t i = 0; i < n; ++i) each(i);
  }

 private:
  int threads_;
};

// One chunk is a 32nd of a thread's share: the usual advice, since chunks of one iteration cost more than small bodies.
class openmp_dynamic : public system_of<openmp_dynamic> {
 public:
  explicit openmp_dynamic(int threads) : threads_(threads) {}
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    std::size_t chunk = n / (static_cast<std::size_t>(threads_) * 32) + 1;
#pragma omp parallel for num_threads(threads_) schedule(dynamic, chunk) firstprivate(each)
    for (std::size_t i = 0; i < n; ++i) each(i);
  }

 private:
  int threads_;
};

}  // namespace

void add_openmp(contenders& to, int threads) {
  to.emplace_back("OpenMP static", std::make_unique<openmp_static>(threads));
  to.emplace_back("OpenMP guided", std::make_unique<openmp_guided>(threads));
  to.emplace_back("OpenMP dynamic", std::make_unique<openmp_dynamic>(threads));
}

#else

void add_openmp(contenders&, int) {}

#endif

}  // namespace bench::parallel_for
