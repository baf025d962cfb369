// step_length: how much of what is sent goes in one step, which keeps all others waiting.
#pragma once
#include <cstddef>
#include <span>

namespace tutti::cluster::detail {

/// How many of `all`, from the first one on: `most`, and of so many bytes of text together; but one at least, if there
/// is one.
template <class T>
[[nodiscard]] std::size_t step_length(std::span<const T> all, std::size_t most, std::size_t most_bytes) noexcept {
  std::size_t n = 0, bytes = 0;
  while (n < all.size() && n < most && (n == 0 || bytes + all[n].text.size() <= most_bytes))
    bytes += all[n++].text.size();
  return n;
}

}  // namespace tutti::cluster::detail
