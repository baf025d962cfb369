// canvas_node: a signature as a tree: a task, or a chain, group or chord of others. Values stay JSON texts.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster::detail {

enum class canvas_kind : unsigned char { task, chain, group, chord };

struct canvas_node;
/// Shared and never changed; who wants another one copies the node, which shares what is below.
using canvas_ref = std::shared_ptr<const canvas_node>;

using json_members = std::vector<std::pair<std::string, std::string>>;

struct canvas_node {
  canvas_kind kind = canvas_kind::task;
  std::string task;               ///< name; "celery.chain" and the like for others
  std::vector<std::string> args;  ///< JSON texts
  json_members kwargs;            ///< of a task
  json_members options;
  std::string type = "null";  ///< JSON: what Celery's clients say of a task; of others its kind
  bool immutable = false;
  std::vector<canvas_ref> tasks;  ///< of a chain, of a group, of a chord's header
  canvas_ref body;                ///< of a chord
  std::string header_id;          ///< of a chord: its header's as a group; empty: none yet

  /// The option of that name as JSON; null when there is none, or "null".
  [[nodiscard]] const std::string* option(std::string_view name) const noexcept;
  void set_option(std::string_view name, std::string json);
  void drop_option(std::string_view name);
  /// Adds to an option that is an array of signatures, unless it is there already.
  void add_to_option(std::string_view name, const std::string& json);
  /// The elements of such an option, which may also be one alone.
  [[nodiscard]] std::vector<std::string> list_option(std::string_view name) const;
};

[[nodiscard]] canvas_node make_canvas(canvas_kind kind, std::vector<canvas_ref> tasks, canvas_ref body = nullptr);
/// Throws decode_error for what is no signature.
[[nodiscard]] canvas_ref parse_canvas(std::string_view json);
[[nodiscard]] std::string canvas_json(const canvas_node& node);

}  // namespace tutti::cluster::detail
