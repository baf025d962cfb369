// concurrency: how many threads this process may usefully run.
#pragma once
#include <optional>
#include <string>

namespace tutti {

/// Threads that can run at once: the CPU affinity mask, further limited by the cgroup CPU quota (rounded up, at least
/// 1), so that a container with 1.5 CPUs on a 64-core host gets 2. Read once per call; thread-safe.
int default_concurrency();

/// Threads of a pool for which no number was given: the environment variable TUTTI_WORKERS, else default_concurrency().
/// Throws std::invalid_argument when the variable is not a number from 1 to `most`. Read once per call.
int default_workers(int most);

/// The CPU quota, in CPUs, of the cgroup (version 2 or 1) that `proc_self_cgroup` (as /proc/self/cgroup) names, and of
/// the groups around it, under `cgroup_root` (as /sys/fs/cgroup); nothing when unlimited or unreadable.
std::optional<double> cgroup_cpu_quota(const std::string& proc_self_cgroup = "/proc/self/cgroup",
                                       const std::string& cgroup_root = "/sys/fs/cgroup");

}  // namespace tutti
