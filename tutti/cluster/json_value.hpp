// json_value: JSON that passes as it is: results without a type, arguments that are JSON already.
#pragma once
#include <tutti/base/json.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti::cluster {

/// A JSON text. As a whole argument or result it travels as it is; inside another value, and as a task's parameter,
/// integers beyond 64 bits become real numbers. One that is not JSON is an encode_error where it is sent.
struct json {
  std::string text = "null";

  /// For encode_json and decode_json.
  [[nodiscard]] std::string to_json() const { return text; }
  static json from_json(std::string given) { return {std::move(given)}; }
  friend bool operator==(const json&, const json&) = default;
};

/// Its text, for messages. Throws encode_error when that is not one JSON value, in at most 128 levels.
[[nodiscard]] std::string json_text(const json& value);

namespace detail {

template <class T>
[[nodiscard]] std::string to_json(const T& value) {
  if constexpr (std::is_same_v<T, json>) {
    return json_text(value);
  } else {
    return encode_json(value);
  }
}

/// For results: JSON as a T; nothing for void.
template <class T>
[[nodiscard]] T from_json(const std::string& text) {
  if constexpr (std::is_same_v<T, json>) {
    return json{text};
  } else if constexpr (!std::is_void_v<T>) {
    return decode_json<T>(text);
  }
}

}  // namespace detail
}  // namespace tutti::cluster
