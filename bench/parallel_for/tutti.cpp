// tutti: parallel_for on a pool of the asked number of threads.
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/for.hpp>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class tutti_system : public system_of<tutti_system> {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  // With more than one thread the caller works along, in the place of one worker. That would make two of one thread.
  void on_home_thread(const std::function<void()>& repetition) override {
    if (pool_.concurrency() > 1) return repetition();
    pool_.submit(std::cref(repetition)).get();
  }
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    tutti::parallel_for(pool_, std::size_t{0}, n, each);
  }

 private:
  tutti::thread_pool pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads) { to.emplace_back("tutti", std::make_unique<tutti_system>(threads)); }

}  // namespace bench::parallel_for
