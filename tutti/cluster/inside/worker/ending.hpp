// ending: what the end of a task brings about: its result, what comes after it, and what can no longer come.
#pragma once
#include <tutti/cluster/canvas_plan.hpp>
#include <tutti/cluster/failure.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// Where an ended task stands, for what is sent after it.
struct ended_task {
  std::string id, root_id;
  std::vector<std::pair<std::string, std::string>> headers;  ///< that go on to what is sent: the trace's
};

/// One part of a chord that has ended.
struct chord_part {
  std::string group;
  std::int64_t index = 0;
  std::string id;
  std::string text;  ///< `[1, id, state, result]`
  std::string body;  ///< JSON of the signature that waits for the parts
};

/// To be done in this order: `chords` are begun, `results` stored, `parts` counted, each of which may
/// complete a chord and so add to all of them, then `follow` is sent in one step with the acknowledgement.
struct ending {
  std::vector<std::pair<std::string, std::int64_t>> chords;
  std::vector<stored_result> results;
  std::vector<chord_part> parts;
  std::vector<outgoing_message> follow;
  std::vector<std::string> complete;  ///< chords to be forgotten in the end

  void append(ending other);
};

/// What holds for all tasks of a worker.
struct ending_rules {
  std::string queue;             ///< for signatures that name none
  std::chrono::seconds expires;  ///< of results
};

/// `message` succeeded with `result` (JSON): its result, callbacks, the next one of its chain, its part of a chord.
/// When what comes next cannot be sent, it has failed. `settings` may be null. True: it did succeed.
bool end_with_success(ending& to, const task_message& message, const task_settings* settings, const std::string& result,
                      const ending_rules& rules);

/// `message` came to no good end: `status` is FAILURE or REVOKED. The same goes for all that waited for it: the rest of
/// its chain, its chord. Errbacks are sent for failures.
void end_without_success(ending& to, const task_message& message, const task_settings* settings,
                         std::string_view status, const task_failure& failure, const ending_rules& rules);

/// All parts of a chord are there: its body is sent with the results, or fails when one of them has failed.
void end_chord(ending& to, const chord_part& last, const chord_parts& parts, const ended_task& by,
               const ending_rules& rules);

/// A stored state on the way, or RETRY.
[[nodiscard]] stored_result state_result(const task_message& message, std::string_view status, std::string_view json,
                                         const task_settings* settings, const ending_rules& rules);
[[nodiscard]] stored_result retry_result(const task_message& message, const task_failure& why,
                                         const task_settings* settings, const ending_rules& rules);
/// Whether the result of `message` is not to be kept.
[[nodiscard]] bool ignores_result(const task_message& message, const task_settings* settings) noexcept;
/// Where `message` stands.
[[nodiscard]] ended_task place_of(const task_message& message);
/// `message` as it is sent.
[[nodiscard]] outgoing_message to_send(const task_message& message);

}  // namespace tutti::cluster
