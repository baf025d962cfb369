// team: threads that do something together, each on a core of its own or all on one.
#pragma once

#include <functional>
#include <vector>

namespace bench {

/// Where the threads of a case run. On virtual machines it decides what a wake-up costs.
enum class placement {
  two_cores,  ///< in turn on the first two
  one_core,   ///< all on the first
};

/// Calls every body on a thread of its own, pinned as `where` says; all begin when all threads are there.
/// Nanoseconds from the first to begin to the last to end. Throws what a body threw.
double together(placement where, const std::vector<std::function<void()>>& bodies);

}  // namespace bench
