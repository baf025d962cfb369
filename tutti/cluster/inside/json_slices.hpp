// json_slices: the parts of a JSON text as views into it. Boost.JSON says whether the text is JSON; after that, finding
// where each part ends takes no more than counting brackets.
#pragma once
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace tutti::cluster::detail {

// What travels may be nested deeper than a value of ours: it lies in arguments, in signatures, in other signatures.
inline constexpr std::size_t json_depth_limit = 128;

// `text` without the white space around it. Throws decode_error when it is not one JSON value in UTF-8. `what` names it
// in the error.
[[nodiscard]] std::string_view checked_json(std::string_view text, std::string_view what = "JSON");

// The functions below take what checked_json has given, or a part of it.

// Where the value ends that begins at `at`, and where the next thing begins that is no white space.
[[nodiscard]] std::size_t value_end(std::string_view json, std::size_t at) noexcept;
[[nodiscard]] std::size_t after_space(std::string_view json, std::size_t at) noexcept;
// How deep arrays and objects lie in each other: 0 for a value that is neither.
[[nodiscard]] std::size_t nesting(std::string_view json) noexcept;
// The text of a JSON string, of which `json` is all, quotes too.
[[nodiscard]] std::string unquoted(std::string_view json);

[[nodiscard]] inline bool is_array(std::string_view json) noexcept { return json.starts_with('['); }
[[nodiscard]] inline bool is_object(std::string_view json) noexcept { return json.starts_with('{'); }
[[nodiscard]] inline bool is_string(std::string_view json) noexcept { return json.starts_with('"'); }
[[nodiscard]] inline bool is_number(std::string_view json) noexcept {
  return json.starts_with('-') || (!json.empty() && json[0] >= '0' && json[0] <= '9');
}

// Calls `use(element)` for each element of an array.
template <std::invocable<std::string_view> Use>
void each_element(std::string_view array, Use use) {
  std::size_t at = after_space(array, 1);
  while (array[at] != ']') {
    const std::size_t end = value_end(array, at);
    use(array.substr(at, end - at));
    at = after_space(array, end);
    if (array[at] == ',') at = after_space(array, at + 1);
  }
}

// Calls `use(name, value)` for each member of an object.
template <std::invocable<std::string_view, std::string_view> Use>
void each_member(std::string_view object, Use use) {
  std::string held;  // the name, when it is not in the text as it is
  std::size_t at = after_space(object, 1);
  while (object[at] != '}') {
    std::size_t end = value_end(object, at);
    std::string_view name = object.substr(at + 1, end - at - 2);
    if (name.find('\\') != std::string_view::npos) name = held = unquoted(object.substr(at, end - at));
    at = after_space(object, after_space(object, end) + 1);  // the colon
    end = value_end(object, at);
    use(name, object.substr(at, end - at));
    at = after_space(object, end);
    if (object[at] == ',') at = after_space(object, at + 1);
  }
}

}  // namespace tutti::cluster::detail
