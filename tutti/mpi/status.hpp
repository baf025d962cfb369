// status: what is known of a message that has come, or is there to be received.
#pragma once
#include <cstddef>

namespace tutti::mpi {

/// For receives and probes: from any rank.
inline constexpr int any_source = -2;
/// For receives and probes: with any tag.
inline constexpr int any_tag = -1;
/// The rank that is none: beyond the edge of a grid without wrap-around. What is sent to it goes nowhere; receives
/// from it end at once, with nothing.
inline constexpr int no_rank = -1;

/// A message that was received, or found by a probe.
struct status {
  int source = no_rank;   ///< the rank that sent it
  int tag = any_tag;      ///< with which tag
  std::size_t bytes = 0;  ///< its length

  /// How many T it holds.
  template <class T>
  [[nodiscard]] std::size_t count() const noexcept {
    return bytes / sizeof(T);
  }
};

}  // namespace tutti::mpi
