// canvas_plan: which messages a signature is, and what must be noted before they are sent.
#pragma once
#include <tutti/cluster/earlier_tasks.hpp>
#include <tutti/cluster/message.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// Where a signature stands: what it gets, and what it is a part of.
struct plan_context {
  std::optional<std::string> argument = {};  ///< JSON, put before its own arguments unless it is immutable
  std::string id;                            ///< of its last task; empty: its own, or a new one
  std::string root_id, parent_id;
  std::string group;  ///< that the whole is one part of
  std::optional<std::int64_t> group_index = {};
  std::string chord;                             ///< JSON of the body that waits for `group`
  std::vector<std::string> chain;                ///< what comes after it; the next one is the last
  std::vector<std::string> callbacks, errbacks;  ///< of its last task; errbacks of each
  std::optional<wall_time> eta = {};             ///< of its first tasks
};

/// What has to be done, in this order.
struct send_plan {
  std::vector<std::pair<std::string, std::int64_t>> chords;  ///< result_store::begin_chord(group, size)
  std::vector<task_message> messages;                        ///< to publish
  std::string id;                                            ///< whose result is the signature's; a group's id for one
  std::vector<std::string> ids;                              ///< the members' of a group, in order
  std::vector<bool> ignored;                                 ///< of each of `ids`, or of `id`: nobody keeps its result
  std::vector<earlier_tasks> before;                         ///< of each: those without which it never comes
  bool is_group = false;                                     ///< its result is a group's, which may have no members
  std::string parent_chain;                                  ///< JSON as Celery's results name their parents
};

/// What `signature`, the JSON of a task, chain, group or chord, nested at will, comes to. Tasks go to the queue of
/// their options, of their registration here, or to `default_queue`. An empty chord goes on with its body and no
/// results. Throws decode_error for what is no signature, std::invalid_argument for what cannot be sent (an empty
/// chain).
[[nodiscard]] send_plan plan_signature(std::string_view signature, const plan_context& where,
                                       std::string_view default_queue);

}  // namespace tutti::cluster
