// child_process: one process of a worker, that runs one task at a time and may be killed under it.
#pragma once
#include <tutti/cluster/inside/worker/child_run.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/process/shared_value.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

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
  /// `setup`, to which it adds the libraries of the tasks that are known, must outlive it. Throws os_error.
  child_process(const child_limits& limits, const detail::child_setup& setup);
  ~child_process();  ///< ends the process

  /// Blocks until there is a process that waits for work: another one, when the one before has died, or is to be
  /// replaced. Throws when there cannot be one now, when `is_wanted`, called now and then, says no before there is one,
  /// or when the last attempt could not begin.
  void make_ready(const std::function<bool()>& is_wanted);
  /// Runs one attempt; `what` names it to kill(). At `limit`, from now, the process is killed and the task has failed.
  /// A process that dies by itself, or is killed otherwise, gives outcome_kind::lost.
  /// It is not run when `is_wanted`, called once kill() can reach it, says no, nor when no process can begin it: that
  /// gives outcome_kind::again.
  [[nodiscard]] outcome run(const void* what, const detail::child_request& request,
                            std::optional<std::chrono::nanoseconds> limit, const std::function<bool()>& is_wanted);
  /// Ends the process, if there is one; for its thread, or once that has ended.
  void drop();
  /// Sends `signal` to the process if it still runs `what`. Those that it does not hear become SIGKILL.
  void kill(const void* what, int signal) noexcept;
  /// 0: there is none.
  [[nodiscard]] int pid() const;

 private:
  [[nodiscard]] bool is_worn() const;

  const child_limits limits_;
  const detail::child_setup& setup_;
  const shared_value<std::uint64_t> begun_{0};  // what begins, told by the process: only that can be lost
  mutable std::mutex mutex_;  // of running_, and of pool_ for others: only its own thread changes that, under the mutex
  std::unique_ptr<process_pool> pool_;
  const void* running_ = nullptr;
  int ready_ = 0;                // the process that was made ready
  std::uint64_t tasks_ = 0;      // that it was given
  std::exception_ptr no_begin_;  // of the last attempt, if it could not begin
};

}  // namespace tutti::cluster
