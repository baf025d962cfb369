// tree_keeper: a process that ends together with all its descendants, whatever they do to get away.
#pragma once
#include <tutti/base/unique_fd.hpp>

namespace tutti::detail {

/// What a keeper is told by, since who tells it cannot know whether its process is still there.
inline constexpr int keeper_terminate = 10,
                     keeper_kill = 12;  // SIGUSR1: SIGTERM to the process; SIGUSR2: an end to all

/// In a child of the launcher: forks, and returns in the new process, whose number has been written to `notes`. The
/// other one, its keeper, adopts whatever loses its parent below it (PR_SET_CHILD_SUBREAPER); when the process ends,
/// when it is told to and when the launcher dies, it kills them all, and ends as the process did.
void keep_tree(const unique_fd& notes);

}  // namespace tutti::detail
