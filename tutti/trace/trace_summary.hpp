// trace_summary: what a timeline says about a program: who worked and who waited, for what, and how parallel it can be.
#pragma once
#include <tutti/trace/timeline.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace tutti {

/// Figures of a timeline. Times are nanoseconds.
///
/// Each moment of a thread belongs to the innermost slice around it: a task that runs on top of one that waits for it
/// counts as the task's work, not as the other's waiting. Phases of the program (spans) do not count
/// there: they have times of their own, from begin to end.
struct trace_summary {
  struct thread {
    std::string name;
    bool is_worker = false;
    std::int64_t alive = 0;     ///< as far as recorded
    std::int64_t busy = 0;      ///< in tasks and branches; not a worker: whenever it does not wait
    std::int64_t waiting = 0;   ///< blocked, or looking for what it waits for
    std::int64_t idle = 0;      ///< asleep for want of work; workers only
    std::int64_t overhead = 0;  ///< looking for work, going to sleep, waking up: alive and none of these; workers only
    std::uint64_t tasks = 0, branches = 0, steals = 0, publications = 0, parks = 0;
    std::uint64_t dropped = 0;
  };
  struct task_name {
    std::string name;
    bool of_branches = false;  ///< of its stolen branches, else of the tasks themselves
    std::uint64_t count = 0;   ///< tasks or branches; those begun before the recording do not count
    std::int64_t total = 0;    ///< work
    std::int64_t longest = 0;  ///< work of one run, from begin or resumption to end or wait
    double mean() const noexcept { return count == 0 ? 0 : static_cast<double>(total) / static_cast<double>(count); }
  };
  struct phase {
    std::string name;  ///< of a trace_span
    std::uint64_t count = 0;
    std::int64_t total = 0, longest = 0;  ///< whatever happened in it
  };
  struct run {
    std::string name, thread;
    std::int64_t begin = 0, duration = 0;  ///< waits and what ran on top included
    bool unfinished = false;
  };
  struct wait {
    std::string what;    ///< the function: "mutex::lock"
    std::string target;  ///< "mutex \"index\""; empty: not known
    std::string where;   ///< "file:line" of the first; empty: not known
    std::uint64_t count = 0;
    std::int64_t total = 0, longest = 0;
    bool of_coroutines = false;  ///< they left their worker meanwhile; total and longest are not known
  };

  std::int64_t duration = 0;
  std::uint64_t dropped = 0;     ///< by all threads, and
  std::uint64_t no_room = 0;     ///< of these, by threads that have none in the recording, or none any more
  std::vector<thread> threads;   ///< in the order of the timeline
  std::vector<task_name> names;  ///< tasks and stolen branches apart, most work first
  std::vector<phase> phases;     ///< longest total first
  std::vector<run> longest;      ///< of tasks and branches, longest first
  std::vector<wait> waits;       ///< longest total first

  /// Work: all that was busy. Span: the longest chain of work of which each piece could begin only after the one
  /// before: through submissions, publications of branches, resumptions, joins and wake-ups. work / span is the speedup
  /// that no number of processors exceeds (Brent 1974; measured like this by He, Leiserson & Leiserson, "The Cilkview
  /// scalability analyzer", SPAA 2010).
  ///
  /// It is an estimate. Branches that nobody asked for ran in one piece and count as serial: the parallelism is a lower
  /// bound there, as it is where a branch was put on offer later than it was forked. While all workers are busy nobody
  /// asks, so more of them may show more: see is_lower_bound(). Waits that ended by time or
  /// without sleeping have no arrow. A piece of work took as long as it took here, cache misses and lost time slices
  /// included.
  std::int64_t work = 0, span = 0;
  double parallelism() const noexcept { return span == 0 ? 0 : static_cast<double>(work) / static_cast<double>(span); }

  /// When as many threads worked, of pools or not, as four fifths or more of the workers that there were to ask for
  /// work. Those of pools of which nobody worked do not count.
  struct full_time {
    std::int64_t total = 0;
    std::size_t workers = 0;  ///< that there were then, on average
  } full;
  /// True when what nobody asked for in that time may hide a notable part of the parallelism: work / (span -
  /// full.total) is more than 5/4 of it.
  bool is_lower_bound() const noexcept { return full.total > span / 5; }
};

/// `most_runs`: how many of the longest runs are kept.
trace_summary summarise(const timeline& recorded, std::size_t most_runs = 10);

/// For people: what was lost first and why, then the figures, as tables of at most `most_lines` lines.
void write_summary(const trace_summary& summary, std::ostream& out, std::size_t most_lines = 12);

}  // namespace tutti
