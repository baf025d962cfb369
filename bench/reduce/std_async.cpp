// std::async: one contiguous share per thread, the caller's own included.
#include <algorithm>
#include <future>

#include "systems.hpp"

namespace bench::reduce {

namespace {

class async_system : public system {
 public:
  explicit async_system(int threads) : threads_(static_cast<std::size_t>(threads)) {}
  double sum_all(const double* data, std::size_t n) override {
    return shares<double>(
        n, [data](std::size_t first, std::size_t count) { return sum(data + first, count); },
        [](double a, double b) { return a + b; });
  }
  std::uint64_t largest_of(std::size_t n, int rounds) override {
    return shares<std::uint64_t>(
        n, [rounds](std::size_t first, std::size_t count) { return largest(first, count, rounds); },
        [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); });
  }

 private:
  template <class Value, class Part, class Join>
  Value shares(std::size_t n, Part part, Join join) {
    auto share = [&](std::size_t k) { return part(n * k / threads_, n * (k + 1) / threads_ - n * k / threads_); };
    std::vector<std::future<Value>> others;
    for (std::size_t k = 1; k < threads_; ++k) others.push_back(std::async(std::launch::async, share, k));
    Value result = share(0);
    for (auto& other : others) result = join(result, other.get());
    return result;
  }

  std::size_t threads_;
};

}  // namespace

void add_async(contenders& to, int threads) { to.emplace_back("std::async", std::make_unique<async_system>(threads)); }

}  // namespace bench::reduce
