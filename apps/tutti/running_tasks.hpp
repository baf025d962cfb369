// running_tasks: how busy the machine is at this moment.
#pragma once
#include <string_view>

namespace tutti::app {

/// How many threads of the machine run or want to run, by the text of /proc/loadavg, the caller's included; 0 where the
/// text does not say.
int running_tasks(std::string_view loadavg);

/// How many threads other than the caller run or want to run: the median of a few looks at /proc/loadavg; 0 where there
/// is none. Unlike the load average it holds nothing of what ran a moment ago. Blocks for some 40 ms.
int other_running_tasks();

}  // namespace tutti::app
