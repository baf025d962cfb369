#include <tutti/process/memory_left.hpp>

#include <tutti/core/cgroup.hpp>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

namespace tutti::detail {
namespace {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

// The number in a file that has nothing else; nothing for "max", or when there is none.
std::optional<std::size_t> number_in(const std::string& file) {
  std::ifstream in(file);
  std::size_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// The number behind a word.
std::size_t number_after(const std::string& file, std::string_view name, std::size_t otherwise) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    std::size_t number = 0;
    if (word == name && in >> number) return number;
  }
  return otherwise;
}

std::size_t left_in(const cgroup_folder& group) {
  const bool is_2 = group.version == 2;
  const auto most = number_in(group.path + (is_2 ? "/memory.max" : "/memory.limit_in_bytes"));
  const auto used = number_in(group.path + (is_2 ? "/memory.current" : "/memory.usage_in_bytes"));
  if (!most || !used) return no_limit;
  const std::string stat = group.path + "/memory.stat";
  const std::size_t files = number_after(stat, is_2 ? "active_file" : "total_active_file", 0) +
                            number_after(stat, is_2 ? "inactive_file" : "total_inactive_file", 0);
  const std::size_t needed = *used - std::min(*used, files);
  return *most - std::min(*most, needed);
}

}  // namespace

std::size_t memory_left(const std::string& meminfo, const std::string& proc_self_cgroup,
                        const std::string& cgroup_root) {
  const std::size_t kilobytes = number_after(meminfo, "MemAvailable:", no_limit / 1024);
  std::size_t left = kilobytes * 1024;
  for (const cgroup_folder& group : cgroup_folders("memory", proc_self_cgroup, cgroup_root))
    left = std::min(left, left_in(group));
  return left;
}

}  // namespace tutti::detail
