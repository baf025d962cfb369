// last_resort: ends a process whose threads cannot be ended.
#pragma once
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/core/timers.hpp>

#include <chrono>

namespace tutti::cluster {

/// Once begun it ends this process with exit code 1, at once and without cleaning up, when a job of `jobs` still runs
/// after `patience`; the log names them. What it holds at the broker comes back when its lease is over. Calls of
/// begin() and end() exclude each other.
class last_resort final : timer_entry {
 public:
  /// `jobs` must outlive it.
  explicit last_resort(job_queue& jobs) : jobs_(jobs) {}
  ~last_resort() { end(); }
  last_resort(const last_resort&) = delete;
  last_resort& operator=(const last_resort&) = delete;

  /// From now on. Without a thread for timers, which the log tells, there is none.
  void begin(std::chrono::nanoseconds patience) noexcept;
  /// It will not happen any more.
  void end() noexcept { cancel_and_wait(); }

 private:
  void due() noexcept override;
  job_queue& jobs_;
};

}  // namespace tutti::cluster
