// scaling_doubts: what speaks against believing a speedup that was measured, in plain words.
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
};

/// One doubt: a word for programs, a sentence for people.
struct scaling_doubt {
  std::string code = {};
  std::string text = {};
};

/// What is doubtful about `counts`, ascending and measured where `processors` can be used, and about the fits of
/// Amdahl's and Gunther's laws to them. Codes: `ignored` (the program seems not to take the number of workers; `passed`
/// says how it got it), `short` (start-up dominates), `noise`, `one_run`, `few_counts`, `no_single`, `oversubscribed`,
/// `superlinear`, `spinning` (CPU time grows with the workers), `unsure` (an interval that says nothing), `other_law`.
std::vector<scaling_doubt> doubts_about(std::span<const scaling_count> counts, int processors, std::string_view passed,
                                        const std::optional<scaling_fit>& amdahl,
                                        const std::optional<scaling_fit>& usl);

}  // namespace tutti
