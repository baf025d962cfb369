// worker: takes tasks from queues and runs them, here, on threads or in processes, until it is told to stop.
#pragma once
#include <tutti/cluster/app.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// Where a worker runs its tasks.
enum class worker_pool : unsigned char {
  threads,    ///< of this process
  processes,  ///< of its own: a task may crash, leak, and be killed at its time limit
  inline_     ///< the thread that takes messages, one at a time  NOLINT(readability-identifier-naming): a keyword
};

/// "threads", "processes" or "inline" (also Celery's "prefork" and "solo"). Throws std::invalid_argument.
[[nodiscard]] worker_pool parse_worker_pool(std::string_view text);
/// "threads", "processes" or "inline".
[[nodiscard]] std::string_view to_string(worker_pool pool) noexcept;

/// How a worker is made. Designated initialisers, in this order.
struct worker_options {
  std::vector<std::string> queues = {};  ///< empty: the app's queue
  int concurrency = 0;                   ///< tasks at once; 0: as default_concurrency()
  worker_pool pool = worker_pool::threads;
  std::string name = {};                     ///< "NAME@HOST"; without @ the host is added; default "tutti@HOST"
  std::optional<std::size_t> prefetch = {};  ///< messages held beyond those that run; absent: as many as keep it busy
                                             ///< for 20 ms; 0: none
  std::uint64_t max_tasks_per_child = 0;     ///< processes: a child is replaced then; 0: never
  std::uint64_t max_memory_per_child = 0;  ///< processes: KiB; a child that has more after a task is replaced; 0: never
  bool task_events = false;                ///< Celery's -E
  bool handle_signals = false;             ///< TERM and INT: warm; INT twice, QUIT: cold. For one worker of a process,
                                           ///< which ends with code 1 when tasks still run 5 s after a cold shutdown
  std::chrono::milliseconds heartbeat{2000};  ///< between its heartbeat events
};

/// What a worker has done.
struct worker_stats {
  std::uint64_t received = 0, succeeded = 0, failed = 0, retried = 0, revoked = 0, dead_lettered = 0;
};

/// A worker. A task whose worker dies runs again on another one. It runs once: with run(), which blocks until it is
/// shut down, or with start(), wait() and the destructor, all three for one thread. The others are for any thread.
class worker {
 public:
  /// Throws std::invalid_argument for options that make no sense, as processes with a broker "memory://".
  explicit worker(app where, worker_options options = {});
  ~worker();  ///< shuts down cold what start() has begun, and waits; unless wait() has waited
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Takes and runs tasks until shutdown(). 0: a warm one; 1: a cold one, or what has ended could not be told to the
  /// broker. While the broker is away it tries to reach it, for ever. Throws std::logic_error when it has run before,
  /// or when it should handle signals that another worker of this process handles; broker_error and std::system_error
  /// when it cannot go on, as without threads: then what ran has ended.
  int run();
  /// Begins run() on a thread of its own; shutdown(), or the destructor, ends it. A second one is a std::logic_error,
  /// here or of wait(). Throws std::system_error without a thread.
  void start();
  /// Waits until what start() has begun was shut down; gives and throws what run() does. Throws std::logic_error
  /// without a start(), and when it has waited before.
  int wait();
  /// Warm: what runs ends first, what is held goes back. Cold: what runs is asked to stop, or killed in processes, and
  /// goes back too. A thread cannot be killed: a cold shutdown waits for its task too, which is a SUCCESS when it
  /// ignores its stop token and returns. With handle_signals it waits for 5 s: then the process ends, with code 1; what
  /// still runs comes back when the lease is over, and is lost (WorkerLostError) where that is ack::early.
  void shutdown(bool warm = true) noexcept;

  [[nodiscard]] worker_stats stats() const;
  /// "tutti@host".
  [[nodiscard]] const std::string& name() const noexcept;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace tutti::cluster
