// last_resort: ends a process whose threads cannot be ended.
#pragma once
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/core/timers.hpp>

#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// Once begun it ends this process with exit code 1, without cleaning up, when a job of `jobs` still runs after
/// `patience`, and after twice that in any case. Before, for a second at most, the log names what runs, and what was
/// acknowledged before it ran is told as lost. What the process holds at its broker comes back when its lease is over;
/// with memory:// it is gone. Calls of begin() and end() exclude each other.
class last_resort final : timer_entry {
 public:
  /// `jobs` must outlive it. `lose` ends a job that was acknowledged, and whose `over` is set; on another thread.
  last_resort(job_queue& jobs, std::function<void(const job_ptr&)> lose) : jobs_(jobs), lose_(std::move(lose)) {}
  ~last_resort() { end(); }
  last_resort(const last_resort&) = delete;
  last_resort& operator=(const last_resort&) = delete;

  /// From now on. Without a thread for timers, which the log tells, there is none.
  void begin(std::chrono::nanoseconds patience) noexcept;
  /// It will not happen any more; unless it has begun to tell, and cannot end that within a second.
  void end() noexcept;

 private:
  void due() noexcept override;
  void tell(const std::vector<job_ptr>& running) noexcept;

  job_queue& jobs_;
  const std::function<void(const job_ptr&)> lose_;
  std::chrono::nanoseconds patience_{0};
  bool was_idle_ = false, is_telling_ = false;  // of due()
  std::thread thread_;                          // tells: that may block, and timers must not. Made in due()
};

}  // namespace tutti::cluster
