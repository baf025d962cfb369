// builtin_tasks: the tasks that Celery's clients expect every worker to have.
#pragma once
#include <tutti/cluster/task_registry.hpp>

#include <string_view>

namespace tutti::cluster {

/// `celery.map` and `celery.starmap`, which call a task of ours for each of many arguments; `celery.accumulate`,
/// `celery.backend_cleanup`. Null for other names. Thread-safe.
[[nodiscard]] const registered_task* find_builtin(std::string_view name);
/// One of these, or the program's. Null: nobody knows it. Thread-safe.
[[nodiscard]] const registered_task* task_to_run(std::string_view name);

}  // namespace tutti::cluster
