// systems: the loop bodies of the parallel_for benchmark and what each competitor must do with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/work.hpp"

namespace bench::parallel_for {

/// Which body a loop runs for each index.
enum class body {
  tiny,     ///< about 1 ns of arithmetic that the compiler inlines into the loop
  chained,  ///< `loop_spec::rounds` steps of arithmetic: 100 ns to 1 ms
  triad,    ///< a[i] = b[i] + s * c[i] over arrays: inlined and vectorized, or bound by memory
  uneven,   ///< iteration i costs in proportion to i: equal shares of the range are unequal work
  nested,   ///< each iteration is a parallel loop of `loop_spec::rounds` tiny bodies
};

/// A loop to run.
struct loop_spec {
  body kind = body::tiny;
  std::size_t iterations = 0;
  int rounds = 0;  ///< chained: steps per iteration; uneven: steps of the last iteration; nested: inner iterations
  double* out = nullptr;          ///< triad
  const double* left = nullptr;   ///< triad
  const double* right = nullptr;  ///< triad
};

/// Calls `run` with the body as a callable of the index; the same code for every system.
template <class Run>
void with_body(const loop_spec& loop, Run&& run) {
  switch (loop.kind) {
    case body::tiny: return run([](std::size_t i) { keep_register(mix(i)); });
    case body::chained: return run([rounds = loop.rounds](std::size_t i) { keep_register(chain(i, rounds)); });
    case body::triad:
      return run([a = loop.out, b = loop.left, c = loop.right](std::size_t i) { a[i] = b[i] + 3.0 * c[i]; });
    case body::uneven:
      return run(
          [rounds = static_cast<double>(loop.rounds), last = static_cast<double>(loop.iterations)](std::size_t i) {
            keep_register(chain(i, static_cast<int>(rounds * static_cast<double>(i) / last)));
          });
    case body::nested: break;  // each system's own
  }
}

/// One way to run a loop with a fixed number of threads.
class system {
 public:
  virtual ~system() = default;
  virtual void run(const loop_spec& loop) = 0;
  /// False for those that cannot run a loop inside a loop, or start a thread for each.
  virtual bool nests() const { return true; }
  /// Runs a repetition of a benchmark, on whichever thread this system's loops start from at no cost.
  virtual void on_home_thread(const std::function<void()>& repetition) { repetition(); }
};

/// Implements `run` by `Impl::loop(iterations, body)`.
template <class Impl>
class system_of : public system {
 public:
  void run(const loop_spec& loop) final {
    if (loop.kind == body::nested) {
      static_cast<Impl*>(this)->loop(loop.iterations, [this, n = static_cast<std::size_t>(loop.rounds)](std::size_t) {
        static_cast<Impl*>(this)->loop(n, [](std::size_t i) { keep_register(mix(i)); });
      });
      return;
    }
    with_body(loop, [&](auto each) { static_cast<Impl*>(this)->loop(loop.iterations, each); });
  }
};

/// Contenders by the names they have in the tables; a library appears once for each setting worth having.
using contenders = std::vector<std::pair<std::string, std::unique_ptr<system>>>;

void add_tutti(contenders& to, int threads);
void add_serial(contenders& to);
void add_tbb(contenders& to, int threads);
void add_openmp(contenders& to, int threads);
void add_std_par(contenders& to, int threads);
void add_async(contenders& to, int threads);
void add_asio(contenders& to, int threads);

}  // namespace bench::parallel_for
