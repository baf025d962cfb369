// systems: the two reductions of the benchmark and what each competitor must do with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bench::reduce {

/// The sum of `n` doubles by vector instructions; not inlined, so that every system runs the same machine code.
double sum(const double* first, std::size_t n);

/// The largest value of `n` chains of `rounds` steps, the first of which starts from `first`.
std::uint64_t largest(std::size_t first, std::size_t n, int rounds);

/// One way to reduce with a fixed number of threads. Each splits the range as it likes and hands the parts to `sum` and
/// `largest`, or works element by element where its interface offers nothing else.
class system {
 public:
  virtual ~system() = default;
  virtual double sum_all(const double* data, std::size_t n) = 0;
  virtual std::uint64_t largest_of(std::size_t n, int rounds) = 0;
  /// Runs a repetition of a benchmark, on whichever thread this system's loops start from at no cost.
  virtual void on_home_thread(const std::function<void()>& repetition) { repetition(); }
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

}  // namespace bench::reduce
