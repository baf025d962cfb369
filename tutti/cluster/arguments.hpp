// arguments: what a task is called with, as JSON: by position, then by name.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/cluster/json_value.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// An argument by name; made by kw.
template <class T>
struct keyword_argument {
  std::string_view name;
  const T& value;
};

/// An argument by name, behind those by position: `add.delay(2, kw("b", 3))`. Refers to its value: in a variable,
/// kw("b", 3) refers to nothing.
template <class T>
[[nodiscard]] keyword_argument<T> kw(std::string_view name, const T& value) noexcept {
  return {name, value};
}

namespace detail {

template <class T>
inline constexpr bool is_keyword = false;
template <class T>
inline constexpr bool is_keyword<keyword_argument<T>> = true;

/// JSON texts.
struct call_arguments {
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> kwargs;

  template <class T>
  void add(const T& value) {
    if constexpr (is_keyword<T>) {
      for (const auto& [name, text] : kwargs) {
        if (name == value.name) throw std::invalid_argument("argument \"" + name + "\" is given twice");
      }
      kwargs.emplace_back(value.name, to_json(value.value));
    } else {
      args.push_back(to_json(value));
    }
  }
};

// No argument by position behind one by name.
template <class... A>
consteval bool keywords_are_last() {
  bool seen = false, right = true;
  ((right = right && (is_keyword<A> || !seen), seen = seen || is_keyword<A>), ...);
  return right;
}

// Texts in quotes are arrays of char.
template <class T>
decltype(auto) as_value(const T& argument) {
  if constexpr (std::is_convertible_v<const T&, std::string_view> && !std::is_same_v<T, std::string>) {
    return std::string(static_cast<std::string_view>(argument));
  } else {
    return (argument);
  }
}

template <class T>
void add_argument(call_arguments& to, const T& argument) {
  if constexpr (is_keyword<T>) {
    const auto& value = as_value(argument.value);
    to.add(keyword_argument<std::remove_cvref_t<decltype(value)>>{argument.name, value});
  } else {
    to.add(as_value(argument));
  }
}

template <class... A>
[[nodiscard]] call_arguments encode_arguments(const A&... arguments) {
  static_assert(keywords_are_last<A...>(), "tutti: arguments by name, kw(\"b\", 3), stand behind those by position");
  call_arguments all;
  (add_argument(all, arguments), ...);
  return all;
}

}  // namespace detail
}  // namespace tutti::cluster
