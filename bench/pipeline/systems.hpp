// systems: the pipelines of the benchmark and what each competitor must do with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bench::pipeline {

/// A stream of numbers, 0 to `items` - 1, that goes through `parallel_stages` stages for any number of items at once,
/// each of `rounds` steps of arithmetic (0: none), into a stage that adds up, one at a time.
struct stream_spec {
  std::size_t items = 0;
  int parallel_stages = 1;  ///< 1 or 3
  int rounds = 0;
  bool in_order = true;  ///< the last stage sees the numbers in order, and checks it
  std::size_t tokens = 16;
};

/// What a parallel stage makes of a number.
std::uint64_t stage(std::uint64_t x, int rounds);

/// The last stage: adds up, and sees to the order.
class adder {
 public:
  explicit adder(const stream_spec& stream) : stream_(stream) {}
  void add(std::uint64_t number) noexcept {
    ordered_ &= !stream_.in_order || number == next_;
    ++next_;
    sum_ += number;
  }
  /// Throws std::runtime_error unless all numbers were added, in order if asked for.
  void check() const;

 private:
  stream_spec stream_;
  std::uint64_t next_ = 0, sum_ = 0;
  bool ordered_ = true;
};

/// One way to run a pipeline with a fixed number of threads.
class system {
 public:
  virtual ~system() = default;
  virtual void run(const stream_spec& stream) = 0;
  /// Runs a repetition of a benchmark, on whichever thread this system's loops start from at no cost.
  virtual void on_home_thread(const std::function<void()>& repetition) { repetition(); }
};

/// Contenders by the names they have in the tables.
using contenders = std::vector<std::pair<std::string, std::unique_ptr<system>>>;

void add_tutti(contenders& to, int threads);
void add_serial(contenders& to);
void add_tbb(contenders& to, int threads);
void add_openmp(contenders& to, int threads);

}  // namespace bench::pipeline
