// std::async: the standard library's only fork; libstdc++ starts a thread for each, so the recursions must stay small.
#include <future>
#include <numeric>
#include <vector>

#include "systems.hpp"

namespace bench::fork_join {

namespace {

std::uint64_t fib(int n) {
  if (n < 2) return static_cast<std::uint64_t>(n);
  auto a = std::async(std::launch::async, fib, n - 1);
  std::uint64_t b = fib(n - 2);
  return a.get() + b;
}

std::uint64_t skynet(std::uint64_t first, std::uint64_t size) {
  if (size == 1) return first;
  std::vector<std::future<std::uint64_t>> children;
  std::uint64_t step = size / 10;
  for (std::uint64_t i = 0; i < 10; ++i) {
    children.push_back(std::async(std::launch::async, skynet, first + i * step, step));
  }
  return std::accumulate(children.begin(), children.end(), std::uint64_t{0},
                         [](std::uint64_t sum, auto& child) { return sum + child.get(); });
}

void tree(int leaves, const std::function<void()>& leaf) {
  if (leaves == 1) return leaf();
  auto left = std::async(std::launch::async, tree, leaves - leaves / 2, std::cref(leaf));
  tree(leaves / 2, leaf);
  left.get();
}

class async_system : public system {
 public:
  std::uint64_t fib(int n) override { return fork_join::fib(n); }
  std::uint64_t skynet(int depth) override {
    std::uint64_t size = 1;
    for (int i = 0; i < depth; ++i) size *= 10;
    return fork_join::skynet(0, size);
  }
  void tree(int leaves, const std::function<void()>& leaf) override { fork_join::tree(leaves, leaf); }
};

}  // namespace

std::unique_ptr<system> make_async(int) { return std::make_unique<async_system>(); }

}  // namespace bench::fork_join
