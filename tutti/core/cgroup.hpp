// cgroup: where the kernel says what this process may use of the machine.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tutti::detail {

struct cgroup_folder {
  int version;  ///< 1 or 2: the names of the files in it differ
  std::string path;
};

/// The folders of the cgroups that `proc_self_cgroup` (as /proc/self/cgroup) names for `controller` ("cpu", "memory"),
/// and of the groups around them, under `cgroup_root` (as /sys/fs/cgroup). What is limited is limited by all of them.
/// Some may not be there, or have none of the files that are looked for.
std::vector<cgroup_folder> cgroup_folders(std::string_view controller, const std::string& proc_self_cgroup,
                                          const std::string& cgroup_root);

}  // namespace tutti::detail
