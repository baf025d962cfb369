// spawn: starts a task where the caller runs.
#pragma once
#include <tutti/task/submit.hpp>

namespace tutti {

namespace detail {

// The executor that the calling code runs on; default_pool() outside all, which throws pool_exhausted when it cannot be
// made.
home_ref spawn_home();
void start_call(const home_ref& home, call work);

template <class T>
future<T> spawn_here(task<T>&& work, const call_options& options, const char* name) {
  refuse_retries(options);
  const home_ref home = spawn_home();
  return launch_task(home.id, options, name, std::move(work),
                     [&](call queued) { start_call(home, std::move(queued)); });
}

}  // namespace detail

/// Starts `work` as a task of its own on the executor of the calling code, on default_pool() outside all: it runs
/// beside the caller, who gets a future. A child that must not outlive its parent belongs into a task_group. Throws
/// std::logic_error when the task is empty, `closed` when the executor is shut down.
template <class T>
future<T> spawn(task<T> work, const call_options& options = {}) {
  return detail::spawn_here(std::move(work), options, nullptr);
}
/// The same for a function that returns a task; it is kept until that has ended. Retries need this form.
template <class G>
  requires detail::returns_task<std::decay_t<G>>
auto spawn(G&& g, call_options options = {}) {
  const int retries = std::exchange(options.retries, 0);
  return detail::spawn_here(detail::call_kept(std::decay_t<G>(std::forward<G>(g)), retries), options, "");
}

}  // namespace tutti
