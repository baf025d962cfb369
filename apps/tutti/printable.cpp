#include <apps/tutti/printable.hpp>

#include <tutti/trace/shown_text.hpp>

#include <algorithm>

namespace tutti::app {

std::string printable(std::string_view text, std::size_t most) {
  return code_points(text) <= most ? detail::shown(text) : detail::shown(text, most - 3);
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace tutti::app
