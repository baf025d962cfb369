// control_show: what remote control shows of a worker, as the JSON that Celery's own workers answer.
#pragma once
#include <tutti/cluster/control/control_target.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <string>
#include <vector>

namespace tutti::cluster {

/// A task that a worker has.
[[nodiscard]] std::string show_task(const shown_task& task, const std::string& hostname);
/// A queue that it takes tasks from.
[[nodiscard]] std::string show_queue(const std::string& name);
/// Its numbers, and what its process has used; `broker`: broker::name().
[[nodiscard]] std::string show_stats(const worker_numbers& numbers, const std::string& broker);
/// "tasks.add [rate_limit=10/m]": a task that it can run, with those of `items`, names of Celery's task attributes,
/// that it has. `rate`: its rate limit.
[[nodiscard]] std::string show_registered(const registered_task& task, const std::vector<std::string>& items,
                                          const std::string& rate);
/// For people: versions, machine, settings.
[[nodiscard]] std::string show_report(const worker_numbers& numbers, const std::string& broker);

/// "Linux".
[[nodiscard]] std::string system_name();

}  // namespace tutti::cluster
