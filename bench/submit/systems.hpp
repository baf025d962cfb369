// systems: what each competitor of the submit benchmark must do with empty tasks. One file per system.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace bench::submit {

/// Counts finished tasks without a cache line that all workers fight over: each thread has its own.
class tally {
 public:
  /// One task has finished. Called by the tasks.
  void count() noexcept {
    std::atomic<std::size_t>& mine = cells_[slot()].value;
    mine.store(mine.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // this thread is its only writer
  }

  /// Sleeps until `target` tasks were counted since construction.
  void wait(std::size_t target) const;

 private:
  static std::size_t slot() noexcept;
  static constexpr std::size_t slots = 256;  // threads that ever count in one process
  struct alignas(64) cell {
    std::atomic<std::size_t> value = 0;
  };
  cell cells_[slots];
};

/// A pool with a fixed number of workers.
class system {
 public:
  virtual ~system() = default;

  /// Each starts `count` empty tasks and returns when all have run. False: this system has no such call.
  virtual bool post_outside(std::size_t /*count*/) { return false; }  ///< without futures, from a thread outside
  virtual bool post_inside(std::size_t /*count*/) { return false; }   ///< without futures, from one of its tasks
  virtual bool futures(std::size_t /*count*/) { return false; }       ///< with a future each, from a thread outside
  virtual bool bulk(std::size_t /*count*/) { return false; }          ///< by the call for many, from a thread outside

  /// One task handed to another thread, and its result awaited.
  virtual bool round_trip() { return false; }

  /// Pins the only worker (pools of one worker). False: impossible here.
  virtual bool pin_worker(int /*cpu*/) { return false; }
};

/// Makes the system with `threads` workers, the caller not counted; a null pointer when this build lacks it.
using factory = std::unique_ptr<system> (*)(int threads);

std::unique_ptr<system> make_tutti(int threads);
std::unique_ptr<system> make_tbb(int threads);
std::unique_ptr<system> make_openmp(int threads);
std::unique_ptr<system> make_async(int threads);
std::unique_ptr<system> make_asio(int threads);

/// The least that any hand-over between parked threads costs: two futex wake-ups, one in each direction.
std::unique_ptr<system> make_futex(int threads);

/// The least that any hand-over between running threads costs: a cache line there and back.
std::unique_ptr<system> make_spin(int threads);

}  // namespace bench::submit
