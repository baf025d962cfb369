#include <tutti/core/concurrency.hpp>

#include <tutti/core/cgroup.hpp>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

namespace tutti {
namespace {

int affinity_count() {
  // The kernel's mask may be wider than cpu_set_t: grow until it fits.
  for (std::size_t cpus = CPU_SETSIZE; cpus <= CPU_SETSIZE * 64; cpus *= 2) {
    std::vector<cpu_set_t> sets(cpus / CPU_SETSIZE);
    const std::size_t bytes = sets.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, bytes, sets.data()) == 0) return CPU_COUNT_S(bytes, sets.data());
    if (errno != EINVAL) break;
  }
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

// "max 100000" or "150000 100000"
std::optional<double> read_v2(const std::string& file) {
  std::ifstream in(file);
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(quota.c_str(), &end);
  return *end == '\0' && value > 0 ? std::optional(value / period) : std::nullopt;
}

std::optional<double> read_v1(const std::string& directory) {
  std::ifstream quota_file(directory + "/cpu.cfs_quota_us"), period_file(directory + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::string& proc_self_cgroup, const std::string& cgroup_root) {
  std::optional<double> least;
  for (const auto& [version, folder] : detail::cgroup_folders("cpu", proc_self_cgroup, cgroup_root)) {
    const auto quota = version == 2 ? read_v2(folder + "/cpu.max") : read_v1(folder);
    if (quota && (!least || *quota < *least)) least = quota;
  }
  return least;
}

int default_concurrency() {
  int count = std::max(1, affinity_count());
  if (const auto quota = cgroup_cpu_quota()) count = std::min(count, std::max(1, static_cast<int>(std::ceil(*quota))));
  return count;
}

int default_workers(int most) {
  const char* const told = std::getenv("TUTTI_WORKERS");
  if (told == nullptr || *told == '\0') return default_concurrency();
  const std::string_view text = told;
  int workers = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), workers);
  if (failed == std::errc() && end == text.data() + text.size() && workers >= 1 && workers <= most) return workers;
  throw std::invalid_argument("TUTTI_WORKERS=" + std::string(text) +
                              ": it is the number of threads of a pool for which " + "none was given, 1 to " +
                              std::to_string(most));
}

}  // namespace tutti
