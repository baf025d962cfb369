// sync_wait: runs a task from an ordinary function.
#pragma once
#include <tutti/core/run_loop.hpp>
#include <tutti/task/submit.hpp>

namespace tutti {

/// Runs `work` on this thread until it has ended; returns its result or throws its exception. What it spawns runs here
/// too, one at a time, and is complete when this returns; `resume_on`, or submitting to a pool, is how other threads
/// come in. Blocks, also on a pool's worker, where nested tasks of other coroutines go on meanwhile on the pool's other
/// threads; a coroutine should co_await instead. Throws std::logic_error when the task is empty.
template <class T>
T sync_wait(task<T> work) {
  run_loop loop;
  return loop.run(std::move(work));
}

/// The same for a future, whose call may run anywhere.
template <class T>
T sync_wait(future<T> awaited) {
  return sync_wait(detail::await_future(std::move(awaited)));
}

template <class T>
T function_result<task<T>>::get(task<T>&& result) {
  return sync_wait(std::move(result));
}

}  // namespace tutti
