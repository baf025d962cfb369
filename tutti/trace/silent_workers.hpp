// silent_workers: workers that passed no trace point while a recording went on.
#pragma once
#include <tutti/core/worker.hpp>
#include <tutti/trace/timeline.hpp>

#include <string>
#include <vector>

namespace tutti::detail {

/// A worker as it was seen at one moment. `self` is only compared: the worker may be gone.
struct seen_worker {
  const worker* self = nullptr;
  std::string name;            ///< "default/0"
  bool is_busy = false;        ///< it ran a task
  const char* task = nullptr;  ///< that one's name; null or empty: it has none
};

/// All workers of the process now, without guests. Without memory: none. Takes the locks of pools.
std::vector<seen_worker> workers_now() noexcept;

/// Workers that passed no trace point did one thing all the time: they slept, or ran a task. Appends that to `into`.
void add_silent_workers(const std::vector<seen_worker>& silent, timeline& into);

}  // namespace tutti::detail
