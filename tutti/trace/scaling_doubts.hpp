// scaling_doubts: what speaks against believing times and speedups that were measured, in plain words.
#pragma once
#include <tutti/trace/scaling.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// All runs with one number of workers.
struct scaling_count {
  int workers = 1;
  std::vector<double> seconds = {};
  std::vector<double> cpu_seconds = {};  ///< user and system time, for each run
  bool fitted = true;                    ///< false: left out of the fits
};

/// Where something was measured.
struct measuring_machine {
  int processors = 1;     ///< that can be used
  int other_threads = 0;  ///< of other programs, which ran when the runs began
};

/// One doubt: a word for programs, a sentence for people.
struct measuring_doubt {
  std::string code = {};
  std::string text = {};
};

/// What is doubtful about `samples`, each the seconds of one `thing` ("command"). Codes: `busy` (others used the
/// processors), `short` (start-up dominates), `one_run`, `noise` (the runs of one differ by more than the things do).
std::vector<measuring_doubt> doubts_about_times(std::span<const sample_summary> samples,
                                                const measuring_machine& machine, std::string_view thing);

/// What is doubtful about `counts`, ascending, and about the fits of Amdahl's and Gunther's laws to them. Codes: those
/// of doubts_about_times, and `ignored` (the program seems not to take the number of workers; `passed` says how it got
/// it), `few_counts`, `no_single`, `oversubscribed`, `superlinear`, `spinning` (CPU time grows with the workers),
/// `unsure` (an interval that says nothing), `other_law`.
std::vector<measuring_doubt> doubts_about(std::span<const scaling_count> counts, const measuring_machine& machine,
                                          std::string_view passed, const std::optional<scaling_fit>& amdahl,
                                          const std::optional<scaling_fit>& usl);

/// Whether fits to what is doubted in this way mean anything: not with `noise` or `ignored`.
bool fits_mean_something(std::span<const measuring_doubt> doubts);

}  // namespace tutti
