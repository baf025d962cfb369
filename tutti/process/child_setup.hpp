// child_setup: from a fork of the launcher to the process that was asked for.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/launch_request.hpp>

#include <sys/types.h>

#include <csignal>
#include <vector>

namespace tutti::detail {

/// What a starting process writes into its pipe to the launcher: the number of a tree's process, whose keeper stands
/// between; then, only if it failed, where and why. At the end of the file it runs.
struct setup_note {
  ::pid_t pid = 0;  ///< 0: it failed
  launch_stage stage = launch_stage::fork;
  std::int32_t error = 0;
};

/// What a child has to know of the launcher.
struct launcher_traits {
  ::pid_t pid;
  struct ::sigaction on_interrupt;  ///< what SIGINT did before the launcher began to ignore it
  struct ::sigaction on_child;      ///< likewise SIGCHLD
};

/// In the child, forked and with the launcher's own descriptors closed: becomes what `request` says. `notes`: its pipe.
[[noreturn]] void become(const launch_request& request, std::vector<unique_fd> handles, unique_fd notes,
                         const launcher_traits& launcher);

}  // namespace tutti::detail
