// word_scan: where the words of a text begin and end, 64 bytes at a time.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tutti::app {

/// Writes to `edges` the offsets at which words begin and end, in turn, ascending; returns how many. `in_word` says
/// whether text[-1] was part of a word (then the first edge is an end) and then whether text[size - 1] is. A sequence
/// that `size` cuts is a separator. `size` is below 4 GiB; `edges` has room for size + edge_slack.
std::size_t find_edges(const char* text, std::size_t size, bool& in_word, std::uint32_t* edges) noexcept;

inline constexpr std::size_t edge_slack = 8;  ///< the scan writes in batches, whose ends may be void

}  // namespace tutti::app
