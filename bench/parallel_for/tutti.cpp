// tutti: parallel_for on a pool of the asked number of threads.
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/parallel_for.hpp>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class tutti_system : public system_of<tutti_system> {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
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
