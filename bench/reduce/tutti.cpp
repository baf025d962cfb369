// tutti: parallel_reduce, by element where elements are cheap, on a pool of the asked number of threads.
#include <algorithm>
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/reduce.hpp>

#include "systems.hpp"

namespace bench::reduce {

namespace {

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  double sum_all(const double* data, std::size_t n) override {
    return reduce(n, 0.0, [data](std::size_t i) { return data[i]; }, [](double a, double b) { return a + b; });
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    return reduce(
        n, std::uint64_t{0},
        [rounds](std::size_t first, std::size_t last) { return largest(first, last - first, rounds); },
        [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); });
  }

  // With more than one thread the caller works along, in the place of one worker. That would make two of one thread.
  void on_home_thread(const std::function<void()>& repetition) override {
    if (pool_.concurrency() > 1) return repetition();
    pool_.submit(std::cref(repetition)).get();
  }

 private:
  template <class T, class Part, class Join>
  T reduce(std::size_t n, T identity, Part part, Join join) {
    return tutti::parallel_reduce(pool_, std::size_t{0}, n, identity, part, join);
  }

  tutti::thread_pool pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads) { to.emplace_back("tutti", std::make_unique<tutti_system>(threads)); }

}  // namespace bench::reduce
