// json_slices: the check by Boost.JSON's parser, with a handler that keeps nothing; and the walk.
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/json_handler.hpp>
#include <tutti/cluster/inside/json_slices.hpp>

#include <algorithm>
#include <cstring>

namespace tutti::cluster::detail {
namespace {

constexpr std::string_view space = " \t\r\n";

// Python's json writes what JSON does not have.
std::string_view pythons_number(std::string_view text, std::size_t near) {
  const std::size_t from = near < 9 ? 0 : near - 9;
  for (const std::string_view name : {"NaN", "-Infinity", "Infinity"}) {
    if (text.substr(from, near - from + name.size()).find(name) != std::string_view::npos) return name;
  }
  return {};
}

std::string reason(std::string_view text, std::size_t at, const boost::json::error_code& failed) {
  if (failed == boost::json::error::too_deep) {
    return "it is nested deeper than " + std::to_string(json_depth_limit) + " levels";
  }
  if (const auto number = pythons_number(text, at); !number.empty()) {
    return std::string(number) + " is no number of JSON; send null, or a string";
  }
  return failed.message();
}

}  // namespace

std::string_view checked_json(std::string_view text, std::string_view what) {
  boost::json::error_code failed;
  json_reader<json_handler> reader(json_parse_options());
  const std::size_t read = reader.write_some(false, text.data(), text.size(), failed);
  if (!failed && read < text.size()) failed = boost::json::error::extra_data;
  if (failed) {
    throw decode_error("cannot read " + std::string(what) + " at byte " + std::to_string(read) + " of " +
                           std::to_string(text.size()) + ": " + reason(text, read, failed),
                       read);
  }
  text.remove_prefix(text.find_first_not_of(space));
  return text.substr(0, text.find_last_not_of(space) + 1);
}

std::size_t after_space(std::string_view json, std::size_t at) noexcept {
  while (at < json.size() && space.find(json[at]) != std::string_view::npos) ++at;
  return at;
}

namespace {

// The end of the string that begins at `at`: the first quote with an even number of backslashes before it.
std::size_t string_end(std::string_view json, std::size_t at) noexcept {
  for (std::size_t next = at + 1;;) {
    const std::size_t quote = json.find('"', next);
    if (quote == std::string_view::npos) return json.size();
    std::size_t first = quote;
    while (json[first - 1] == '\\') --first;  // stops at the quote at `at`, at the latest
    if ((quote - first) % 2 == 0) return quote + 1;
    next = quote + 1;
  }
}

}  // namespace

std::size_t value_end(std::string_view json, std::size_t at) noexcept {
  if (json[at] == '"') return string_end(json, at);
  if (json[at] != '[' && json[at] != '{') {
    const std::size_t end = json.find_first_of(",]} \t\r\n", at);
    return end == std::string_view::npos ? json.size() : end;
  }
  std::size_t depth = 0;
  while (at < json.size()) {
    switch (json[at]) {
      case '"': at = string_end(json, at); continue;
      case '[':
      case '{': ++depth; break;
      case ']':
      case '}':
        if (--depth == 0) return at + 1;
        break;
      default: break;
    }
    ++at;
  }
  return at;
}

std::size_t nesting(std::string_view json) noexcept {
  std::size_t depth = 0, deepest = 0;
  for (std::size_t at = json.find_first_of("\"[{"); at < json.size();) {
    switch (json[at]) {
      case '"': at = string_end(json, at); continue;
      case '[':
      case '{': deepest = std::max(deepest, ++depth); break;
      case ']':
      case '}': --depth; break;
      default: break;
    }
    ++at;
  }
  return deepest;
}

std::string unquoted(std::string_view json) {
  if (json.find('\\') == std::string_view::npos) return std::string(json.substr(1, json.size() - 2));
  struct collector : json_handler {
    std::string out;
    bool on_string_part(boost::json::string_view part, std::size_t, boost::json::error_code&) {
      out.append(part.data(), part.size());
      return true;
    }
    bool on_string(boost::json::string_view part, std::size_t total, boost::json::error_code& failed) {
      return on_string_part(part, total, failed);
    }
  };
  boost::json::error_code failed;
  json_reader<collector> reader(json_parse_options());
  reader.write_some(false, json.data(), json.size(), failed);
  return std::move(reader.handler().out);
}

}  // namespace tutti::cluster::detail
