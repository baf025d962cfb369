#include <tutti/core/map_chunk.hpp>

#include <algorithm>

namespace tutti::detail {

std::string chunk_part_text(std::size_t first, std::size_t count, std::size_t at) {
  const std::size_t last = first + std::max<std::size_t>(count, 1) - 1;
  std::string text = " for element " + std::to_string(std::min(first + at, last)) + " of its range";
  if (count > 1) {
    text += "; elements " + std::to_string(first) + " to " + std::to_string(last) +
            " are lost with it (a chunk, see map_options)";
  }
  return text;
}

}  // namespace tutti::detail
