// json_parts: slices of a checked text, copied; and JSON as Python prints it.
#include <boost/locale/utf.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/json_handler.hpp>
#include <tutti/cluster/inside/json_slices.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <algorithm>
#include <unordered_map>

namespace tutti::cluster {
namespace {

constexpr std::string_view hex = "0123456789abcdef";
constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD in UTF-8

// How many bytes of UTF-8 the character at `at` has; 0: it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
  namespace utf = boost::locale::utf;
  const char* next = text.data() + at;
  const auto code = utf::utf_traits<char>::decode(next, text.data() + text.size());
  if (code == utf::illegal || code == utf::incomplete) return 0;
  return static_cast<std::size_t>(next - (text.data() + at));
}

bool is_plain(char c) noexcept { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

}  // namespace

std::vector<std::string> array_parts(std::string_view text) {
  const std::string_view array = detail::checked_json(text);
  if (!detail::is_array(array)) throw decode_error("wanted a JSON array, found " + python_repr(array, 60));
  std::vector<std::string> parts;
  detail::each_element(array, [&](std::string_view element) { parts.emplace_back(element); });
  return parts;
}

std::vector<std::pair<std::string, std::string>> object_parts(std::string_view text) {
  const std::string_view object = detail::checked_json(text);
  if (!detail::is_object(object)) throw decode_error("wanted a JSON object, found " + python_repr(object, 60));
  std::vector<std::pair<std::string, std::string>> members;
  std::unordered_map<std::string, std::size_t> places;
  detail::each_member(object, [&](std::string_view name, std::string_view value) {
    const auto [place, is_new] = places.try_emplace(std::string(name), members.size());
    if (is_new) {
      members.emplace_back(name, value);
    } else {
      members[place->second].second = value;
    }
  });
  return members;
}

std::string join_array(const std::vector<std::string>& parts) {
  std::size_t size = 2;
  for (const std::string& part : parts) size += part.size() + 1;
  std::string out;
  out.reserve(size);
  out += '[';
  for (const std::string& part : parts) {
    if (out.size() > 1) out += ',';
    out += part;
  }
  out += ']';
  return out;
}

std::string join_object(const std::vector<std::pair<std::string, std::string>>& members) {
  std::size_t size = 2;
  for (const auto& [name, value] : members) size += name.size() + value.size() + 4;
  std::string out;
  out.reserve(size);
  out += '{';
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ',';
    out += json_string(name);
    out += ':';
    out += value;
  }
  out += '}';
  return out;
}

std::string json_string(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_plain(text[end])) ++end;
    out += text.substr(at, end - at);
    at = end;
    if (at == text.size()) break;
    const char c = text[at];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c >= 0 && c < ' ') {
      out += "\\u00";
      out += hex[static_cast<unsigned char>(c) >> 4U];
      out += hex[static_cast<unsigned char>(c) & 15U];
    } else if (const std::size_t length = utf8_length(text, at); length != 0) {
      out += text.substr(at, length);
      at += length;
      continue;
    } else {
      out += replacement;
    }
    ++at;
  }
  out += '"';
  return out;
}

std::optional<std::string> string_in(std::string_view json) {
  try {
    const std::string_view value = detail::checked_json(json);
    if (detail::is_string(value)) return detail::unquoted(value);
  } catch (const decode_error&) {  // other than a JSON string
  }
  return std::nullopt;
}

namespace {

// Prints what the parser tells of, until there is enough.
struct python_printer : detail::json_handler {
  explicit python_printer(std::size_t at_most) : most(at_most) {}

  bool on_array_begin(failure& failed) { return begin('[', failed); }
  bool on_array_end(std::size_t, failure& failed) { return end(']', failed); }
  bool on_object_begin(failure& failed) { return begin('{', failed); }
  bool on_object_end(std::size_t, failure& failed) { return end('}', failed); }
  bool on_key_part(text part, std::size_t, failure& failed) { return collect(part, failed); }
  bool on_key(text part, std::size_t, failure& failed) {
    if (!collect(part, failed)) return false;
    string();
    out += ": ";
    after_key = true;
    return go_on(failed);
  }
  bool on_string_part(text part, std::size_t, failure& failed) { return collect(part, failed); }
  bool on_string(text part, std::size_t, failure& failed) {
    if (!collect(part, failed)) return false;
    string();
    return go_on(failed);
  }
  bool on_int64(std::int64_t, text digits, failure& failed) { return word(digits, failed); }
  bool on_uint64(std::uint64_t, text digits, failure& failed) { return word(digits, failed); }
  bool on_double(double, text digits, failure& failed) { return word(digits, failed); }
  bool on_bool(bool value, failure& failed) { return word(value ? "True" : "False", failed); }
  bool on_null(failure& failed) { return word("None", failed); }

  std::string out;
  std::string held;  // of a string, up to the limit
  std::size_t most;
  bool first = true;  // in its array or object
  bool after_key = false;

  // What it has, no longer than the limit, with a sign that there was more.
  std::string cut() {
    if (!held.empty()) string();  // a string that is longer than the limit
    std::size_t end = std::min(most, out.size());
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0U) == 0x80) --end;  // not within a character
    out.resize(end);
    return std::move(out) + "...";
  }

 private:
  bool go_on(failure& failed) const {
    if (out.size() > most) failed = boost::json::error::exception;
    return out.size() <= most;
  }
  void comma() {
    if (!first && !after_key) out += ", ";
    first = after_key = false;
  }
  bool word(text digits, failure& failed) {
    comma();
    out.append(digits.data(), std::min(digits.size(), most + 1));
    return go_on(failed);
  }
  bool begin(char bracket, failure& failed) {
    comma();
    out += bracket;
    first = true;
    return go_on(failed);
  }
  bool end(char bracket, failure& failed) {
    out += bracket;
    first = false;
    return go_on(failed);
  }
  bool collect(text part, failure& failed) {
    held.append(part.data(), std::min(part.size(), most + 4));
    if (held.size() > most + 4) failed = boost::json::error::exception;
    return held.size() <= most + 4;
  }
  void string() {
    comma();
    const char quote = held.find('\'') != std::string::npos && held.find('"') == std::string::npos ? '"' : '\'';
    out += quote;
    for (const char c : held) {
      if (c == quote || c == '\\') {
        out += '\\';
        out += c;
      } else if (c == '\n') {
        out += "\\n";
      } else if (c == '\r') {
        out += "\\r";
      } else if (c == '\t') {
        out += "\\t";
      } else if ((c >= 0 && c < ' ') || c == 0x7f) {
        out += "\\x";
        out += hex[static_cast<unsigned char>(c) >> 4U];
        out += hex[static_cast<unsigned char>(c) & 15U];
      } else {
        out += c;
      }
    }
    out += quote;
    held.clear();
  }
};

}  // namespace

std::string python_repr(std::string_view json, std::size_t most) {
  boost::json::error_code failed;
  detail::json_reader<python_printer> reader(detail::json_parse_options(), std::min(most, std::size_t{1} << 30U));
  reader.write_some(false, json.data(), json.size(), failed);
  python_printer& printer = reader.handler();
  return failed ? printer.cut() : std::move(printer.out);
}

}  // namespace tutti::cluster
