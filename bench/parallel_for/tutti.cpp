// tutti: parallel_for on a pool of the asked number of threads.
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/for.hpp>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class tutti_system : public system_of<tutti_system> {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    if (pool_.concurrency() > 1) {
      tutti::parallel_for(pool_, std::size_t{0}, n, each);  // the caller works along, in the place of one worker
    } else {                                                // ... which would make two of one thread
      pool_.submit([&] { tutti::parallel_for(std::size_t{0}, n, each); }).get();
    }
  }

 private:
  tutti::thread_pool pool_;
};

}  // namespace

void add_tutti(contenders& to, int threads) { to.emplace_back("tutti", std::make_unique<tutti_system>(threads)); }

}  // namespace bench::parallel_for
