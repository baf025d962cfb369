#include <tutti/task/spawn.hpp>

#include <tutti/core/thread_pool.hpp>

namespace tutti::detail {

void throw_empty_task(const char* operation) {
  throw std::logic_error(std::string(operation) +
                         ": the task holds nothing: it was moved from, or awaited, submitted or spawned already, which "
                         "can be done once");
}

void refuse_retries(const call_options& options) {
  if (options.retries <= 0) return;
  throw std::invalid_argument(
      "a task runs once, so it cannot be retried: hand in a function that returns it, or use retry()");
}

home_ref spawn_home() {
  if (const home_ref here = home_here(); here.id != 0) return here;
  if (const coroutine_run* const run = coroutine_run::current()) return run->home();
  scheduler& pool = default_pool().engine();
  return {pool.executor_id(), &pool};
}

void start_call(const home_ref& home, call work) {
  if (home.target != nullptr) return home.target->start(std::move(work));
  start_at_home(home.id, std::move(work));
}

}  // namespace tutti::detail
