// message: one task as it travels: Celery's message protocol, version 2.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// A moment that machines agree on.
using wall_time = std::chrono::system_clock::time_point;

/// What is to be run, with which arguments, and what is to happen then. JSON values are kept as the text they came as,
/// so that numbers and members that we do not know travel on unchanged.
struct task_message {
  std::string task;           ///< name of the task, "tasks.add"
  std::string id;             ///< its number, a UUID
  std::string args = "[]";    ///< JSON array
  std::string kwargs = "{}";  ///< JSON object
  // What comes after it: JSON texts of signatures (signature.hpp).
  std::vector<std::string> callbacks;  ///< sent with the result of a success
  std::vector<std::string> errbacks;   ///< sent when it fails
  std::vector<std::string> chain;      ///< what is left of a chain; the next one is the *last*
  std::string chord;                   ///< the body of the chord that it is a part of; empty: of none

  std::string queue = "celery";  ///< its routing key
  std::optional<int> priority =
      {};           ///< 0 to 9, bigger is sooner; absent: as Celery's own without one, which is soonest
  int retries = 0;  ///< attempts before this one
  std::optional<wall_time> eta = {};  ///< not before
  std::optional<wall_time> expires = {};
  std::optional<double> time_limit = {};       ///< seconds until it is killed
  std::optional<double> soft_time_limit = {};  ///< seconds until it is asked to stop
  std::string root_id, parent_id;              ///< empty: none
  std::string group;                           ///< the group that it is a part of
  std::optional<std::int64_t> group_index = {};
  bool ignore_result = false;
  std::string reply_to, shadow, origin;
  std::string argsrepr, kwargsrepr;            ///< for people; made by encode_message when empty
  std::map<std::string, std::string> headers;  ///< all others, as JSON texts: "traceparent" -> "\"00-...\""
  bool is_old = false;                         ///< came in with protocol 1
  bool redelivered = false;                    ///< Celery has given it to a worker before
};

/// The element of a queue for `message`: an envelope in JSON with the body in base64. Throws std::invalid_argument for
/// what no worker would take: no task, no id, args that are no array, kwargs no object, negative retries, a priority
/// beyond 9, a user's header that is the message's own; at a first attempt: more than 100 MB, more than 128 levels.
[[nodiscard]] std::string encode_message(const task_message& message);

/// The message in an element of a queue. Throws decode_error, with what is wrong and where: no JSON, no task's name,
/// a body that is not JSON (pickle and yaml are refused by name), an encoding or compression that we do not take.
[[nodiscard]] task_message decode_message(std::string_view element);

/// As much as can be said of an element that decode_message refuses: its id and task's name, or empty.
struct message_name {
  std::string id, task;
};
[[nodiscard]] message_name name_of(std::string_view element) noexcept;

/// `element` with a header more, a JSON text. What is no envelope becomes one, and a third longer.
[[nodiscard]] std::string with_header(std::string_view element, std::string_view name, std::string_view json);

/// `element` as it is put aside: with the header "x-death-reason". Only its first 64 KiB, of which the reason tells
/// then, when that is asked for, and of more than 100 MB that are no envelope.
[[nodiscard]] std::string dead_letter_of(std::string_view element, const std::string& reason, bool only_head = false);

}  // namespace tutti::cluster
