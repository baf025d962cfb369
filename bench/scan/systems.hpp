// systems: the two scans of the benchmark and what each competitor must do with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bench::scan {

/// The costly sum: both numbers go through `rounds` steps of arithmetic, yet the result is associative.
struct costly_plus {
  int rounds;
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const;
};

/// One way to write the running sums of an array with a fixed number of threads. Whole numbers: the order of the
/// additions cannot change the result.
class system {
 public:
  virtual ~system() = default;
  virtual void sums(const double* from, double* to, std::size_t n) = 0;
  virtual bool takes_any_operation() const { return true; }
  virtual void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) = 0;
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

}  // namespace bench::scan
