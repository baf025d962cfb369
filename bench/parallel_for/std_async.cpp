// std::async: one contiguous share per thread, the caller's own included.
#include <future>
#include <vector>

#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class async_system : public system_of<async_system> {
 public:
  explicit async_system(int threads) : threads_(static_cast<std::size_t>(threads)) {}
  bool nests() const override { return false; }
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    auto share = [&](std::size_t k) {
      Body body = each;
      for (std::size_t i = n * k / threads_, end = n * (k + 1) / threads_; i < end; ++i) body(i);
    };
    std::vector<std::future<void>> others;
    for (std::size_t k = 1; k < threads_; ++k) others.push_back(std::async(std::launch::async, share, k));
    share(0);
    for (auto& other : others) other.get();
  }

 private:
  std::size_t threads_;
};

}  // namespace

void add_async(contenders& to, int threads) { to.emplace_back("std::async", std::make_unique<async_system>(threads)); }

}  // namespace bench::parallel_for
