// guest: a thread from outside that works along in a pool for a while.
#pragma once
#include <tutti/core/worker.hpp>

namespace tutti {

class local_executor;

/// Makes this thread a worker of a pool while it lives; nests. For fork_join and the parallel algorithms.
class guest {
 public:
  /// Of default_pool().
  guest();
  /// Of `pool`, unless this thread is a worker of it already, or it is not a thread_pool.
  explicit guest(local_executor& pool);
  ~guest();
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;

  /// The worker this thread is meanwhile; null when the pool has no room for more guests, or no workers: then the
  /// caller does all the work itself.
  worker* as_worker() const noexcept { return worker_; }

 private:
  void enter(scheduler& pool);

  worker* outer_;
  worker* blocked_ = nullptr;  // in the pool that this thread comes from
  worker* worker_ = nullptr;
  bool entered_ = false;
  task_frame frame_{};  // this thread's task, in terms of the new worker's deque
};

}  // namespace tutti
