// child_process: one process of a worker, that runs one task at a time and may be killed under it.
#pragma once
#include <tutti/cluster/inside/worker/child_run.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace tutti {
class process_pool;
}  // namespace tutti

namespace tutti::cluster {

/// When a child is replaced by another one.
struct child_limits {
  std::uint64_t most_tasks = 0;   ///< after so many; 0: never
  std::uint64_t most_memory = 0;  ///< KiB that it has after a task; 0: never
};

/// A process that runs tasks, for one thread; kill() and pid() are for any.
class child_process {
 public:
  explicit child_process(const child_limits& limits);
  ~child_process();  ///< ends the process

  /// Blocks until there is a process that waits for work. Throws when there cannot be one now.
  void make_ready();
  /// Runs one attempt; `what` names it to kill(). At `limit`, from now, the process is killed and the task has failed.
  /// A process that dies by itself, or is killed otherwise, gives outcome_kind::lost.
  /// It is not run when `is_wanted`, called once kill() can reach it, says no: that gives outcome_kind::again.
  [[nodiscard]] outcome run(const void* what, const detail::child_request& request,
                            std::optional<std::chrono::nanoseconds> limit, const std::function<bool()>& is_wanted);
  /// Sends `signal` to the process if it still runs `what`. Those that it does not hear become SIGKILL.
  void kill(const void* what, int signal) noexcept;
  /// 0: there is none.
  [[nodiscard]] int pid() const noexcept { return pid_.load(); }

 private:
  [[nodiscard]] bool is_worn() const;

  const child_limits limits_;
  std::mutex mutex_;  // of running_, and of pool_ for who kills: only its own thread changes that, under the mutex
  std::unique_ptr<process_pool> pool_;
  const void* running_ = nullptr;
  std::atomic<int> pid_{0};
  std::uint64_t tasks_ = 0;  // of this process
  bool is_ready_ = false;
};

}  // namespace tutti::cluster
