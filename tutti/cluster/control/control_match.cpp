// control_match: a glob with one place to come back to, so that no pattern takes long.
#include <tutti/cluster/control/control_match.hpp>

#include <cstddef>

namespace tutti::cluster {
namespace {

// Whether the pattern's element at `at` takes `c`; moves `at` behind that element.
bool takes(std::string_view pattern, std::size_t& at, char c) noexcept {
  const char first = pattern[at++];
  if (first == '?') return true;
  if (first != '[') return first == c;
  std::size_t from = at;
  const bool negated = from < pattern.size() && pattern[from] == '!';
  if (negated) ++from;
  // A ']' that comes first is one of the set.
  const std::size_t end = pattern.find(']', from + 1);
  if (from >= pattern.size() || end == pattern.npos) return c == '[';
  bool found = false;
  for (std::size_t i = from; i < end; ++i) {
    if (i + 2 < end && pattern[i + 1] == '-') {
      found = found || (pattern[i] <= c && c <= pattern[i + 2]);
      i += 2;
    } else {
      found = found || pattern[i] == c;
    }
  }
  at = end + 1;
  return found != negated;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  constexpr std::size_t none = std::string_view::npos;
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = none;    // behind the last '*'
  std::size_t star_text = 0;  // what that star does not take
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_text = t;
      continue;
    }
    std::size_t next = p;
    if (p < pattern.size() && takes(pattern, next, text[t])) {
      p = next;
      ++t;
    } else if (star != none) {
      p = star;
      t = ++star_text;  // the star takes one more
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace tutti::cluster
