// thread_pool: an executor over threads of this process that never deadlocks on a nested wait.
#pragma once
#include <tutti/core/local_executor.hpp>
#include <tutti/core/scheduler.hpp>

#include <string_view>

namespace tutti {

/// How to make a thread_pool.
struct thread_pool_options {
  int threads = 0;                  ///< 0: TUTTI_WORKERS, else by affinity mask and cgroup quota (concurrency.hpp)
  std::string_view name = "tutti";  ///< for debuggers, dump and errors; the first 10 bytes name the threads
};

/// A fixed number of threads that steal work from each other. A task may wait for others of the same pool to any depth:
/// the waiting thread runs the awaited task itself, or is replaced while it sleeps (see scheduler.hpp).
///
/// Destroying it finishes all calls (see shutdown); doing so from one of its own workers is a fatal error that names
/// it.
class thread_pool final : public local_executor {
 public:
  /// `threads`: 1 to 4096, 0 for the default. Throws std::invalid_argument for other counts and pool_exhausted when the
  /// system does not give that many threads.
  explicit thread_pool(int threads) : thread_pool(thread_pool_options{.threads = threads}) {}
  explicit thread_pool(const thread_pool_options& options = {});
  ~thread_pool() override;

  int concurrency() const override { return engine_->concurrency(); }
  void shutdown(shutdown_mode mode = finish) override { engine_->shutdown(mode); }
  std::unique_ptr<executor> share() override;
  /// The counters since the start, of all handles together.
  pool_stats stats() const { return engine_->stats(); }
  std::string_view name() const noexcept { return engine_->name(); }

  // For the library.
  scheduler& engine() const noexcept { return *engine_; }

 protected:
  void start(call work) override { engine_->start(std::move(work)); }

 private:
  explicit thread_pool(std::shared_ptr<scheduler> engine);

  std::shared_ptr<scheduler> engine_;  // whose last owner shuts it down; see thread_pool.cpp
};

/// The pool of the process, made on first use with default_workers() threads; fork_join and the parallel algorithms
/// use it when no pool is named. Finished when the program exits normally; coroutine tasks that wait then, or
/// begin to, are asked to stop. In a forked child it starts anew.
thread_pool& default_pool();

}  // namespace tutti
