// json_parts: the elements of a JSON array, or the members of an object, as texts: what passes through is not changed.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// The elements of the JSON array `text`, each as JSON. Numbers keep their digits. Throws decode_error.
[[nodiscard]] std::vector<std::string> array_parts(std::string_view text);
/// The members of the JSON object `text`, in order; of equal names the last. Throws decode_error.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> object_parts(std::string_view text);

/// An array of JSON texts.
[[nodiscard]] std::string join_array(const std::vector<std::string>& parts);
/// An object of JSON texts.
[[nodiscard]] std::string join_object(const std::vector<std::pair<std::string, std::string>>& members);
/// A text as a JSON string; what is not UTF-8 in it is replaced.
[[nodiscard]] std::string json_string(std::string_view text);
/// The text in a JSON string; nothing for other JSON.
[[nodiscard]] std::optional<std::string> string_in(std::string_view json);
/// JSON for people: as Python would print it, cut after `most` bytes.
[[nodiscard]] std::string python_repr(std::string_view json, std::size_t most = 1024);

}  // namespace tutti::cluster
