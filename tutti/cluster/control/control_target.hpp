// control_target: what can be asked of a worker from afar.
#pragma once
#include <tutti/cluster/message.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// A task that a worker has.
struct shown_task {
  task_message message;
  std::optional<wall_time> started = {};  ///< nothing: waits for its turn
  int pid = 0;                            ///< of the process that runs it; 0: none yet
  bool acknowledged = false;
};

/// What a worker has done, and is made of.
struct worker_numbers {
  std::map<std::string, std::uint64_t> total;  ///< by task: ended ones
  std::string pool;                            ///< "threads", "processes", "inline"
  int concurrency = 0;
  std::size_t prefetch = 0;               ///< messages that it holds at most
  std::uint64_t max_tasks_per_child = 0;  ///< 0: its processes live on
  std::vector<int> pids;                  ///< of its processes
  std::chrono::steady_clock::time_point since;
};

/// A worker as its control panel sees it. All members are thread-safe and do not block for long.
class control_target {
 public:
  virtual std::vector<shown_task> active() = 0;    ///< running
  virtual std::vector<shown_task> reserved() = 0;  ///< held, not begun
  virtual std::vector<std::string> revoked() = 0;
  virtual worker_numbers numbers() = 0;
  virtual std::vector<std::string> queues() = 0;
  /// These tasks are not to run; with `terminate` a running one is ended by `signal` ("SIGTERM"), as far as its pool
  /// can.
  virtual void revoke(const std::vector<std::string>& ids, bool terminate, const std::string& signal) = 0;
  /// "10/m", or "" or "0" for none. False: there is no such task. Throws std::invalid_argument.
  virtual bool rate_limit(const std::string& task, const std::string& rate) = 0;
  /// Ends it: warm, what runs ends first; else what runs goes back.
  virtual void shutdown(bool warm) = 0;
  virtual void enable_events(bool on) = 0;
  /// It may not have been told of some revocations that others know of.
  virtual void missed_some() = 0;

 protected:
  ~control_target() = default;
};

}  // namespace tutti::cluster
