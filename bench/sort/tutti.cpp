// tutti: parallel_sort and parallel_stable_sort on a pool of the asked number of threads.
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/sort.hpp>
#include <tutti/parallel/stable_sort.hpp>

#include "systems.hpp"

namespace bench::sort {

namespace {

template <class F>
class tutti_system : public system_of<F> {
 public:
  tutti_system(std::shared_ptr<tutti::thread_pool> pool, F f) : system_of<F>(std::move(f)), pool_(std::move(pool)) {}

  // With more than one thread the caller works along, in the place of one worker. That would make two of one thread.
  void on_home_thread(const std::function<void()>& repetition) override {
    if (pool_->concurrency() > 1) return repetition();
    pool_->submit(std::cref(repetition)).get();
  }

 private:
  std::shared_ptr<tutti::thread_pool> pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads, bool stable) {
  auto pool = std::make_shared<tutti::thread_pool>(threads);
  auto sort = [pool, stable](auto& v, auto less) {
    if (stable) return tutti::parallel_stable_sort(*pool, v, less);
    tutti::parallel_sort(*pool, v, less);
  };
  to.emplace_back("tutti", std::make_unique<tutti_system<decltype(sort)>>(pool, sort));
}

}  // namespace bench::sort
