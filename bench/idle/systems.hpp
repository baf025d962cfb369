// systems: pools that have worked and now have nothing to do.
#pragma once

#include <cstddef>
#include <memory>

namespace bench::idle {

/// A pool with a fixed number of workers.
class system {
 public:
  virtual ~system() = default;
  /// Starts `count` empty tasks and returns when all have run. Uses every worker when `count` is large.
  virtual void run(std::size_t count) = 0;
};

/// Makes the pool; a null pointer when this build lacks it.
using factory = std::unique_ptr<system> (*)(int threads);

std::unique_ptr<system> make_tutti(int threads);
std::unique_ptr<system> make_tbb(int threads);
std::unique_ptr<system> make_openmp(int threads);
std::unique_ptr<system> make_asio(int threads);

}  // namespace bench::idle
