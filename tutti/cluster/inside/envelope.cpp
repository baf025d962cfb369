// envelope: one pass over an element of a queue.
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/envelope.hpp>
#include <tutti/cluster/inside/json_slices.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <algorithm>
#include <array>

namespace tutti::cluster::detail {

bool is_own_header(std::string_view name) noexcept {
  static constexpr std::array<std::string_view, 18> own_headers{
      "lang",     "task",        "id",      "shadow",        "eta",         "expires",
      "group",    "group_index", "retries", "root_id",       "timelimit",   "parent_id",
      "argsrepr", "kwargsrepr",  "origin",  "ignore_result", "redelivered", "compression"};
  return std::find(own_headers.begin(), own_headers.end(), name) != own_headers.end();
}

envelope open_envelope(std::string_view element) {
  const std::string_view json = checked_json(element, "a task message");
  if (!is_object(json)) throw decode_error("a task message is a JSON object, not " + python_repr(json, 60));
  envelope parts;
  each_member(json, [&](std::string_view name, std::string_view value) {
    if (name == "body") parts.body = value;
    if (name == "content-type") parts.content_type = value;
    if (name == "content-encoding") parts.content_encoding = value;
    if (name == "headers") parts.headers = value;
    if (name == "properties") parts.properties = value;
  });
  return parts;
}

}  // namespace tutti::cluster::detail
