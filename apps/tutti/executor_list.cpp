#include <apps/tutti/executor_list.hpp>

#include <tutti/core/concurrency.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tutti::app {

std::string missing_for(const executor_kind& kind) {
  if (kind.make == nullptr) return fmt::format("{} is not part of this build", kind.module);
  return kind.missing == nullptr ? "" : kind.missing();
}

void write_executors(std::ostream& out) {
  std::size_t width = 0;
  for (const executor_kind& kind : executor_kinds()) width = std::max(width, kind.usage.size());
  for (const executor_kind& kind : executor_kinds()) {
    const std::string missing = missing_for(kind);
    out << fmt::format("{:<{}}  {}\n", kind.usage, width, kind.description);
    if (!missing.empty()) out << fmt::format("{:<{}}  missing: {}\n", "", width, missing);
  }
  out << "\nThis process may use " << default_concurrency() << " processors (affinity mask and cgroup quota).\n";
}

}  // namespace tutti::app
