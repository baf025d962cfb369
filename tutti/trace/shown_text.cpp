// shown_text: character by character, as UTF-8 has them.
#include <tutti/trace/shown_text.hpp>

#include <boost/locale/utf.hpp>

namespace tutti::detail {

std::string shown(std::string_view text, std::size_t most) {
  namespace utf = boost::locale::utf;
  std::string made;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t count = 0; at != end; ++count) {
    if (count == most) return made + "...";
    const char* next = at;
    const auto code = utf::utf_traits<char>::decode(next, end);
    const bool is_text = code != utf::illegal && code != utf::incomplete;
    if (!is_text) next = at + 1;
    if (is_text && code >= 0x20 && !(code >= 0x7F && code < 0xA0)) {
      made.append(at, next);
    } else {
      made += '?';
    }
    at = next;
  }
  return made;
}

}  // namespace tutti::detail
