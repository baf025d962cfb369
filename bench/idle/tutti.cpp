// tutti: posts and a latch.
#include <latch>
#include <tutti/core/thread_pool.hpp>

#include "systems.hpp"

namespace bench::idle {

namespace {

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  void run(std::size_t count) override {
    std::latch done(static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i < count; ++i) pool_.post([&done] { done.count_down(); });
    done.wait();
  }

 private:
  tutti::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_tutti(int threads) { return std::make_unique<tutti_system>(threads); }

}  // namespace bench::idle
