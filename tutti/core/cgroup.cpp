#include <tutti/core/cgroup.hpp>

#include <fstream>

namespace tutti::detail {

std::vector<cgroup_folder> cgroup_folders(std::string_view controller, const std::string& proc_self_cgroup,
                                          const std::string& cgroup_root) {
  std::vector<cgroup_folder> found;
  std::ifstream in(proc_self_cgroup);
  for (std::string line; std::getline(in, line);) {  // hierarchy:controllers:path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool version_2 = controllers == ",,";
    if (!version_2 && controllers.find("," + std::string(controller) + ",") == std::string::npos) continue;
    const std::string root = version_2 ? cgroup_root : cgroup_root + "/" + std::string(controller);
    for (std::string path = line.substr(second + 1);;) {
      found.push_back({version_2 ? 2 : 1, root + (path == "/" ? "" : path)});
      const auto slash = path.rfind('/');
      if (path.empty() || path == "/" || slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return found;
}

}  // namespace tutti::detail
