// control_match: whether a worker's name is meant by a pattern.
#pragma once
#include <string_view>

namespace tutti::cluster {

/// Whether `pattern`, a shell's as Python's fnmatch has them (`*`, `?`, `[abc]`, `[!a-z]`), matches all of `text`.
/// Takes at most as long as their lengths multiplied.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

}  // namespace tutti::cluster
