#include <tutti/base/redacted.hpp>

#include <charconv>

namespace tutti::detail {
namespace {

bool is_port(std::string_view text) noexcept {
  int value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size() && value >= 0 && value <= 65535;
}

// Of a file: what else it may have is part of its name.
bool is_path(std::string_view word) noexcept {
  return word.starts_with('/') || word.starts_with('.') || (word.starts_with("sqlite:") && word.find('?') == word.npos);
}

}  // namespace

// Stricter than RFC 3986 has it: who forgot a ':' or an '@' has a password there all the same.
std::string redacted(std::string_view word) {
  const std::size_t slashes = word.find("//");
  if (is_path(word) || (slashes == word.npos && (word.starts_with('{') || word.starts_with('['))))
    return std::string(word);
  const std::string_view scheme = word.substr(0, slashes == word.npos ? 0 : slashes + 2);
  std::string_view rest = word.substr(scheme.size());
  std::string shown(scheme);
  if (scheme.find_first_of("@?") != scheme.npos) return "**";
  std::size_t at = rest.rfind('@');
  if (at != rest.npos && scheme.empty() && rest.find(':') > at) at = rest.npos;  // a name@host: no password
  const bool is_several = rest.find("//") != rest.npos && rest.find_first_of(":@") != rest.npos;
  if (is_several || (at != rest.npos && rest.find('?') < at)) return shown + "**";
  if (at != rest.npos) {
    shown += "**@";
    rest.remove_prefix(at + 1);
  }
  if (!shown.empty()) {  // a host comes
    const std::string_view place = rest.substr(0, rest.find_first_of("/?#"));
    const std::size_t bracket = place.starts_with('[') ? place.find(']') : place.npos;
    const std::size_t colon = place.find(':', bracket == place.npos ? 0 : bracket);
    if (colon != place.npos && (colon == 0 || !is_port(place.substr(colon + 1))))
      return shown.append(place.substr(0, colon)) + ":**";
  }
  const std::size_t question = rest.find('?');
  const bool has_options = question != rest.npos && question + 1 < rest.size();
  return shown.append(rest.substr(0, has_options ? question + 1 : rest.npos)) + (has_options ? "**" : "");
}

std::string redacted(std::string text, std::string_view word) {
  const std::string shown = redacted(word);
  if (shown == word) return text;
  for (std::size_t at = 0; (at = text.find(word, at)) != text.npos; at += shown.size())
    text.replace(at, word.size(), shown);
  return text;
}

}  // namespace tutti::detail
