// systems: what each competitor of the fork_join benchmark must do. One file per system; none may cut recursion off.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace bench::fork_join {

/// A scheduler with a fixed number of workers, on which recursions fork at every level.
class system {
 public:
  virtual ~system() = default;

  /// Fibonacci by two recursive calls, both of which may run in parallel.
  virtual std::uint64_t fib(int n) = 0;

  /// Ten children per node, `depth` levels; a leaf returns its number, a node the sum of its children.
  virtual std::uint64_t skynet(int depth) = 0;

  /// A binary tree that runs `leaf` `leaves` times.
  virtual void tree(int leaves, const std::function<void()>& leaf) = 0;
};

/// Makes the system with `threads` workers; a null pointer when this build lacks it.
using factory = std::unique_ptr<system> (*)(int threads);

std::unique_ptr<system> make_tutti(int threads);
std::unique_ptr<system> make_tbb(int threads);     ///< tbb::parallel_invoke in a task_arena
std::unique_ptr<system> make_openmp(int threads);  ///< OpenMP tasks
std::unique_ptr<system> make_async(int threads);   ///< std::async(launch::async): a thread per fork
std::unique_ptr<system> make_asio(int threads);    ///< boost::asio::thread_pool: cannot wait inside, so `tree` only

/// How often fib(n) calls itself, the outermost call included.
constexpr std::uint64_t fib_calls(int n) {
  std::uint64_t a = 1, b = 1;  // calls(0), calls(1)
  for (int i = 2; i <= n; ++i) {
    std::uint64_t next = a + b + 1;
    a = b;
    b = next;
  }
  return b;
}

/// What fib(n) must return.
constexpr std::uint64_t fib_value(int n) {
  std::uint64_t a = 0, b = 1;
  for (int i = 0; i < n; ++i) {
    std::uint64_t next = a + b;
    a = b;
    b = next;
  }
  return a;
}

}  // namespace bench::fork_join
