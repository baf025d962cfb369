// tutti: parallel_inclusive_scan on a pool of the asked number of threads.
#include <span>
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/scan.hpp>

#include "systems.hpp"

namespace bench::scan {

namespace {

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  void sums(const double* from, double* to, std::size_t n) override {
    tutti::parallel_inclusive_scan(pool_, std::span(from, n), to);
  }
  void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) override {
    tutti::parallel_inclusive_scan(pool_, std::span(from, n), to, op);
  }

  // With more than one thread the caller works along, in the place of one worker. That would make two of one thread.
  void on_home_thread(const std::function<void()>& repetition) override {
    if (pool_.concurrency() > 1) return repetition();
    pool_.submit(std::cref(repetition)).get();
  }

 private:
  tutti::thread_pool pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads) { to.emplace_back("tutti", std::make_unique<tutti_system>(threads)); }

}  // namespace bench::scan
