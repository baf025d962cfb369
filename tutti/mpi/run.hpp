// run: a coroutine task on this thread, which makes the progress of what it awaits.
#pragma once
#include <tutti/core/run_loop.hpp>
#include <tutti/task/task.hpp>

#include <memory>
#include <utility>

namespace tutti::mpi {

namespace detail {
/// A loop that asks MPI while it has nothing else to do.
class rank_loop : public run_loop {
 public:
  rank_loop();
  ~rank_loop() override;

 private:
  explicit rank_loop(std::shared_ptr<tutti::detail::loop_poller> poller);
  void* before_;
};
}  // namespace detail

/// Runs a coroutine task, and all that it spawns, on this thread, and returns its result or throws its exception. What
/// is awaited inside needs no other thread to make progress, so that any thread_level will do.
template <class Task>
  requires(is_task<Task>)
auto run(Task work) {
  detail::rank_loop loop;
  return loop.run(std::move(work));
}

}  // namespace tutti::mpi
