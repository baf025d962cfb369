// memory_left: how much memory can be had before the kernel kills somebody to make room.
#pragma once
#include <cstddef>
#include <string>

namespace tutti::detail {

/// Bytes that the machine has left without swapping, or the cgroups of this process if that is less: what these have
/// cached of files goes before anybody is killed, and counts as left. A large number when the kernel does not say. The
/// names are those of the kernel's files.
[[nodiscard]] std::size_t memory_left(const std::string& meminfo = "/proc/meminfo",
                                      const std::string& proc_self_cgroup = "/proc/self/cgroup",
                                      const std::string& cgroup_root = "/sys/fs/cgroup");

}  // namespace tutti::detail
