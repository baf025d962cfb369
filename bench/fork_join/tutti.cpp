// tutti: fork_join inside a pool of exactly the asked number of workers.
#include <tutti/core/fork_join.hpp>
#include <tutti/core/thread_pool.hpp>

#include "systems.hpp"

namespace bench::fork_join {

namespace {

std::uint64_t fib(int n) {
  if (n < 2) return static_cast<std::uint64_t>(n);
  auto [a, b] = tutti::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

std::uint64_t skynet(std::uint64_t first, std::uint64_t size) {
  if (size == 1) return first;
  std::uint64_t step = size / 10;
  auto child = [&](std::uint64_t i) { return [first, step, i] { return skynet(first + i * step, step); }; };
  auto [a, b, c, d, e, f, g, h, i, j] = tutti::fork_join(child(0), child(1), child(2), child(3), child(4), child(5),
                                                         child(6), child(7), child(8), child(9));
  return a + b + c + d + e + f + g + h + i + j;
}

void tree(int leaves, const std::function<void()>& leaf) {
  if (leaves == 1) return leaf();
  tutti::fork_join([&] { tree(leaves - leaves / 2, leaf); }, [&] { tree(leaves / 2, leaf); });
}

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}
  std::uint64_t fib(int n) override {
    return pool_.submit([n] { return fork_join::fib(n); }).get();
  }
  std::uint64_t skynet(int depth) override {
    std::uint64_t size = 1;
    for (int i = 0; i < depth; ++i) size *= 10;
    return pool_.submit([size] { return fork_join::skynet(0, size); }).get();
  }
  void tree(int leaves, const std::function<void()>& leaf) override {
    pool_.submit([&] { fork_join::tree(leaves, leaf); }).get();
  }

 private:
  tutti::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_tutti(int threads) { return std::make_unique<tutti_system>(threads); }

}  // namespace bench::fork_join
