// earlier_tasks: which tasks must end well for another one to come at all.
#pragma once
#include <memory>
#include <string>
#include <vector>

namespace tutti::cluster {

/// One that runs before another.
struct earlier_task {
  std::string id;
  bool in_header = false;  ///< of a chord, which tells of all that fails in it, but not of what is revoked
};

/// Shared by the tasks that have the same before them.
using earlier_tasks = std::shared_ptr<const std::vector<earlier_task>>;

}  // namespace tutti::cluster
