// oneTBB: parallel_invoke under one shared context, its fastest form (a context of its own per fork costs 80 % more).
#include <tbb/global_control.h>
#include <tbb/parallel_invoke.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <array>
#include <numeric>

#include "systems.hpp"

namespace bench::fork_join {

namespace {

using context = tbb::task_group_context;

std::uint64_t fib(int n, context& shared) {
  if (n < 2) return static_cast<std::uint64_t>(n);
  std::uint64_t a = 0, b = 0;
  tbb::parallel_invoke([&a, n, &shared] { a = fib(n - 1, shared); }, [&b, n, &shared] { b = fib(n - 2, shared); },
                       shared);
  return a + b;
}

std::uint64_t skynet(std::uint64_t first, std::uint64_t size, context& shared) {
  if (size == 1) return first;
  std::array<std::uint64_t, 10> sums{};
  std::uint64_t step = size / 10;
  auto child = [&](std::size_t i) {
    return [&sums, i, first, step, &shared] { sums[i] = skynet(first + i * step, step, shared); };
  };
  tbb::parallel_invoke(child(0), child(1), child(2), child(3), child(4), child(5), child(6), child(7), child(8),
                       child(9), shared);
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

void tree(int leaves, const std::function<void()>& leaf, context& shared) {
  if (leaves == 1) return leaf();
  tbb::parallel_invoke([&] { tree(leaves - leaves / 2, leaf, shared); }, [&] { tree(leaves / 2, leaf, shared); },
                       shared);
}

class tbb_system : public system {
 public:
  explicit tbb_system(int threads)
      : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)), arena_(threads) {}
  std::uint64_t fib(int n) override {
    return arena_.execute([n] {
      context shared;
      return fork_join::fib(n, shared);
    });
  }
  std::uint64_t skynet(int depth) override {
    std::uint64_t size = 1;
    for (int i = 0; i < depth; ++i) size *= 10;
    return arena_.execute([size] {
      context shared;
      return fork_join::skynet(0, size, shared);
    });
  }
  void tree(int leaves, const std::function<void()>& leaf) override {
    arena_.execute([&] {
      context shared;
      fork_join::tree(leaves, leaf, shared);
    });
  }

 private:
  tbb::global_control limit_;  // also raises the number of workers above that of cores
  tbb::task_arena arena_;
};

}  // namespace

std::unique_ptr<system> make_tbb(int threads) { return std::make_unique<tbb_system>(threads); }

}  // namespace bench::fork_join
