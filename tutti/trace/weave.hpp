// weave: the trace points of all threads become a timeline: begins and ends slices, submits and wake-ups flows.
#pragma once
#include <tutti/trace/ring.hpp>
#include <tutti/trace/ticks.hpp>
#include <tutti/trace/timeline.hpp>

namespace tutti::detail {

/// What was recorded of one thread.
struct recorded_thread {
  timeline::thread about;           ///< begin and end are found out
  bool from_start = false;          ///< not a worker, but known to have been there when the recording began
  bool to_end = false;              ///< the same of its end
  std::vector<trace_event> events;  ///< in order
};

/// Appends to `into` what the threads did. `scale` says when; texts that events name must still be there.
void weave(const std::vector<recorded_thread>& threads, const tick_scale& scale, timeline& into);

}  // namespace tutti::detail
