// canvas_freeze: gives numbers to all tasks of a canvas whose results can be waited for, before they are sent.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/base/json.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster::detail {

/// A group that something is a part of.
struct membership {
  std::string group;
  std::string chord;      // JSON; empty: a group without a body
  std::int64_t next = 0;  // index of its next part
};

/// Whose results are a canvas'.
struct canvas_result {
  std::string id;
  std::vector<std::string> ids;  // of a group
  bool is_group = false;

  void add_to(std::vector<std::string>& all) const;
};

struct frozen_canvas {
  canvas_ref node;
  canvas_result result;
};

/// `root` is the first task's of the whole, or empty; `id` is for the last task, empty for its own, or a new one; `in`
/// is what it is a part of, or null. Throws std::invalid_argument for an empty chain.
[[nodiscard]] frozen_canvas freeze(const canvas_ref& given, const std::string& root, const std::string& id,
                                   membership* in);

/// A text among the options; empty when there is none.
[[nodiscard]] std::string text_option(const canvas_node& node, std::string_view name);
/// A value among the options. Throws decode_error that names the option.
template <class T>
[[nodiscard]] std::optional<T> value_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  if (json == nullptr) return std::nullopt;
  try {
    return decode_json<T>(*json);
  } catch (const decode_error& e) {
    throw decode_error("option \"" + std::string(name) + "\" of the signature of " + node.task + ": " + e.what());
  }
}
/// What its options say that it is a part of.
[[nodiscard]] std::optional<membership> membership_of(const canvas_node& node);

/// What all tasks of a chain's first step, of a group, of a chord take over from it.
[[nodiscard]] json_members passed_on(const canvas_node& node, const json_members& overrides);
/// Callbacks of its last task. Throws std::invalid_argument for a group.
[[nodiscard]] canvas_ref with_links(const canvas_ref& node, const std::vector<std::string>& links);
/// Errbacks of each of its tasks; of a chord's body, which fails when a part does.
[[nodiscard]] canvas_ref with_errbacks(const canvas_ref& node, const std::vector<std::string>& errbacks);

}  // namespace tutti::cluster::detail
