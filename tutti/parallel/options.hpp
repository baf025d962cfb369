// options: what the parallel algorithms can be told, and how their parts hear that they are to stop.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/stop.hpp>
#include <tutti/core/this_task.hpp>

#include <atomic>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

namespace tutti {

class local_executor;

/// How a parallel algorithm runs. Trivially destructible.
struct loop_options {
  /// Iterations a block: blocks begin at multiples of it from the range's begin, and are not divided. At least 1,
  /// else std::invalid_argument. Without it, blocks are as long as they need to be for their time (see
  /// docs/parallel.md).
  std::optional<std::size_t> grain = {};
  /// A stop request ends the algorithm: blocks that have not begun are left out, and it throws `cancelled`.
  stop_ref stop = {};
};

namespace detail {

/// What the parts of one algorithm share, on the stack of its caller.
class loop_control {
 public:
  /// `algorithm`: its name, for errors; a literal.
  explicit loop_control(const char* algorithm, const loop_options& options)
      : algorithm_(algorithm), stop_(options.stop.token()), grain_(options.grain) {
    if (grain_ && *grain_ == 0) {
      throw std::invalid_argument(std::string(algorithm) +
                                  ": grain is 0, but a block has at least one iteration; leave grain out to have it "
                                  "measured");
    }
  }
  loop_control(const loop_control&) = delete;
  loop_control& operator=(const loop_control&) = delete;

  std::optional<std::size_t> grain() const noexcept { return grain_; }

  /// Asked before each block, if there is one: true when it is to be left out, since another part has failed, or
  /// somebody asked this algorithm or the task it runs in to stop.
  bool stopped() noexcept {
    // relaxed, here and below: results and exceptions travel through the joins.
    if (over_.load(std::memory_order_relaxed) != nothing) [[unlikely]]
      return true;
    if (!stop_.stop_requested() && !this_task::stop_requested()) [[likely]]
      return false;
    unsigned char running = nothing;
    over_.compare_exchange_strong(running, cancel, std::memory_order_seq_cst, std::memory_order_relaxed);
    return true;
  }
  /// A part has thrown: no further block begins.
  void fail() noexcept { over_.store(failure, std::memory_order_seq_cst); }
  /// Whether one of the two has happened; without a look at stop requests. seq_cst: for those who wait, see team.hpp.
  bool over() const noexcept { return over_.load(std::memory_order_seq_cst) != nothing; }

  /// Runs one block and returns what it returns; an exception stops the other parts too.
  template <class Block>
  auto run(Block&& block) {
    try {
      return std::forward<Block>(block)();
    } catch (...) {
      fail();
      throw;
    }
  }

  /// By the caller, at the end: throws `cancelled` if something was left out because of a stop request.
  void finish() const {
    if (over_.load(std::memory_order_relaxed) == cancel) [[unlikely]]
      throw cancelled(std::string(algorithm_) + " was stopped before its end");
  }

 private:
  enum : unsigned char { nothing, cancel, failure };

  const char* algorithm_;
  std::stop_token stop_;
  std::optional<std::size_t> grain_;
  std::atomic<unsigned char> over_{nothing};
};

/// For the branch of a fork by `forker`: who runs it. Null stays null: that caller works alone, also when its thread is
/// another pool's worker.
inline worker* worker_in_place_of(const worker* forker) noexcept { return forker == nullptr ? nullptr : this_worker; }

/// `f(w)`, where `w` is the worker that this thread is, or becomes for the length of the call in default_pool(); null:
/// there is no room, and the caller does all the work.
template <class F>
decltype(auto) as_worker(F&& f) {
  if (worker* const w = this_worker; w != nullptr) return f(w);
  const guest here;
  return f(here.as_worker());
}
/// The same in `pool`; null also when that is not a thread_pool.
template <class F>
decltype(auto) as_worker(local_executor& pool, F&& f) {
  const guest here(pool);
  return f(here.as_worker());
}

}  // namespace detail
}  // namespace tutti
