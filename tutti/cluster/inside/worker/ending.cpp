#include <tutti/cluster/inside/worker/ending.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/canvas_freeze.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

namespace tutti::cluster {
namespace {

using detail::canvas_kind;
using detail::canvas_node;
using detail::canvas_ref;
using detail::membership;
using detail::membership_of;
using detail::parse_canvas;
using detail::text_option;

template <class T>
void move_to(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
}

std::chrono::seconds expiry(const task_settings* settings, const ending_rules& rules) {
  return settings != nullptr && settings->result_expires ? *settings->result_expires : rules.expires;
}

// Takes what is to be sent, and gives the JSON that names it among a task's children.
std::string send(ending& to, send_plan&& plan, const ended_task& by) {
  for (task_message& m : plan.messages) {
    for (const auto& [name, value] : by.headers) m.headers.try_emplace(name, value);
    to.follow.push_back(to_send(m));
  }
  move_to(to.chords, std::move(plan.chords));
  const std::string parent = plan.parent_chain.empty() ? "null" : plan.parent_chain;
  std::string members = "null";
  if (!plan.ids.empty()) {
    std::vector<std::string> all;
    all.reserve(plan.ids.size());
    for (const std::string& id : plan.ids) all.push_back("[[" + json_string(id) + ", null], null]");
    members = join_array(all);
  }
  return "[[" + json_string(plan.id) + ", " + parent + "], " + members + "]";
}

// The exception as results and chords hold it.
std::string json_of(const task_failure& failure) {
  task_result whole;
  whole.status = state::failure;
  whole.failure = failure;
  for (auto& [name, value] : object_parts(encode_result(whole))) {
    if (name == "result") return std::move(value);
  }
  return "null";
}

std::string part_text(const std::string& id, std::string_view status, const std::string& result) {
  return join_array({"1", json_string(id), json_string(status), result});
}

stored_result unsuccessful(std::string id, std::string_view status, const task_failure& failure, std::string group,
                           std::string parent, std::chrono::seconds expires) {
  task_result r;
  r.id = id;
  r.status = status;
  r.failure = failure;
  r.group = std::move(group);
  r.parent_id = std::move(parent);
  return {std::move(id), encode_result(r), expires, false};
}

void send_errbacks(ending& to, const std::vector<std::string>& errbacks, const std::string& failed_id,
                   const ended_task& by, const ending_rules& rules) {
  for (const std::string& errback : errbacks) {
    try {
      plan_context where;
      where.argument = json_string(failed_id);
      where.root_id = by.root_id;
      where.parent_id = failed_id;
      static_cast<void>(send(to, plan_signature(errback, where, rules.queue), by));
    } catch (const std::exception& e) {
      log(log_level::error, "an errback cannot be sent", {{"task", failed_id}, {"error", e.what()}});
    }
  }
}

// What can be known of a signature, also when it is none that could be sent.
canvas_ref parsed(std::string_view json) {
  try {
    return parse_canvas(json);
  } catch (const error&) {
    canvas_node node;
    try {
      for (const auto& [name, value] : object_parts(json)) {
        if (name == "options") node.options = object_parts(value);
      }
    } catch (const error&) {  // nothing
    }
    return std::make_shared<const canvas_node>(std::move(node));
  }
}

// Tasks that will never be, as what comes before them has no success.
class never {
 public:
  never(ending& to, std::string_view status, const task_failure& failure, const ending_rules& rules)
      : to_(to), status_(status), failure_(failure), rules_(rules) {}

  // `id`: of the last task, when it has none; `counts`: as a part of its chord, if it is one; false for the header of a
  // chord that was never begun.
  void end(const canvas_node& node, std::string id = {}, bool counts = true) {
    if (std::string own = text_option(node, "task_id"); !own.empty()) id = std::move(own);
    switch (node.kind) {
      case canvas_kind::task: task(node, id, counts); break;
      case canvas_kind::group:
        for (const canvas_ref& one : node.tasks) end(*one, {}, counts);
        break;
      case canvas_kind::chain:
        for (const canvas_ref& one : node.tasks) end(*one, one == node.tasks.back() ? id : std::string(), counts);
        break;
      case canvas_kind::chord:
        for (const canvas_ref& one : node.tasks) end(*one, {}, false);
        end(*node.body, id, counts);
        break;
    }
    for (const std::string& next : node.list_option("chain")) end(*parsed(next), {}, counts);
  }

 private:
  void task(const canvas_node& node, const std::string& id, bool counts) {
    if (id.empty()) return;
    std::optional<membership> in;
    try {
      in = membership_of(node);
    } catch (const error&) {  // of nothing that could be counted
    }
    if (counts && in && !in->chord.empty()) {
      if (as_json_.empty()) as_json_ = json_of(failure_);
      to_.parts.push_back({in->group, in->next, id, part_text(id, status_, as_json_), in->chord});
    }
    to_.results.push_back(unsuccessful(id, status_, failure_, in ? in->group : std::string(),
                                       text_option(node, "parent_id"), rules_.expires));
  }

  ending& to_;
  const std::string_view status_;
  const task_failure& failure_;
  const ending_rules& rules_;
  std::string as_json_;
};

// The id of the last task of what is no group.
std::string last_id(const canvas_node& node) {
  if (node.kind == canvas_kind::chord) {
    if (std::string id = last_id(*node.body); !id.empty()) return id;
  } else if (node.kind == canvas_kind::chain && !node.tasks.empty()) {
    if (std::string id = last_id(*node.tasks.back()); !id.empty()) return id;
  }
  return text_option(node, "task_id");
}

// Those of all tasks of a body that will not run, each once: they are told of the task whose result would have been the
// body's, or the member's for a group.
void send_errbacks_of(ending& to, const canvas_node& body, const std::string& id, std::set<std::string>& sent,
                      const ended_task& by, const ending_rules& rules) {
  std::vector<std::string> errbacks = body.list_option("link_error");
  std::erase_if(errbacks, [&](const std::string& one) { return !sent.insert(one).second; });
  send_errbacks(to, errbacks, id, by, rules);
  if (body.kind == canvas_kind::chord) return send_errbacks_of(to, *body.body, id, sent, by, rules);
  for (const canvas_ref& task : body.tasks) {
    send_errbacks_of(to, *task, body.kind == canvas_kind::group ? last_id(*task) : id, sent, by, rules);
  }
}

// "ValueError('no such file')", from {"exc_type": "ValueError", "exc_message": ["no such file"], ...}.
std::string exception_text(std::string_view json) {
  std::string type, all;
  try {
    for (const auto& [name, value] : object_parts(json)) {
      if (name == "exc_type") type = string_in(value).value_or("");
      if (name != "exc_message") continue;
      for (const std::string& part : value.starts_with('[') ? array_parts(value) : std::vector{value}) {
        if (!all.empty()) all += ", ";
        all += python_repr(part);
      }
    }
  } catch (const error&) {  // no object
  }
  return type.empty() ? python_repr(json) : type + "(" + all + ")";
}

// Why a chord's body cannot run; nothing when all parts are successes. Their results go to `results`.
std::optional<std::string> failed_part(const chord_parts& parts, std::vector<std::string>& results) {
  for (const std::string& text : parts) {
    std::vector<std::string> part;
    try {
      part = array_parts(text);
    } catch (const error& e) {
      return std::string("a part of the chord is unreadable: ") + e.what();
    }
    if (part.size() != 4) return std::string("a part of the chord is unreadable: it has not four elements");
    const std::string status = string_in(part[2]).value_or("");
    if (status == state::failure || status == state::revoked) {
      return "Dependency " + string_in(part[1]).value_or("?") + " raised " + exception_text(part[3]);
    }
    results.push_back(std::move(part[3]));
  }
  return {};
}

}  // namespace

void ending::append(ending other) {
  move_to(chords, std::move(other.chords));
  move_to(results, std::move(other.results));
  move_to(parts, std::move(other.parts));
  move_to(follow, std::move(other.follow));
  move_to(complete, std::move(other.complete));
}

bool ignores_result(const task_message& message, const task_settings* settings) noexcept {
  return message.ignore_result || (settings != nullptr && settings->ignore_result);
}

ended_task place_of(const task_message& message) {
  ended_task place{message.id, message.root_id.empty() ? message.id : message.root_id, {}};
  for (const char* const name : {"traceparent", "tracestate"}) {
    const auto found = message.headers.find(name);
    if (found != message.headers.end()) place.headers.emplace_back(found->first, found->second);
  }
  return place;
}

outgoing_message to_send(const task_message& message) {
  return {message.queue, encode_message(message), message.priority, message.eta};
}

bool end_with_success(ending& to, const task_message& message, const task_settings* settings, const std::string& result,
                      const ending_rules& rules) {
  ending made;
  task_result kept;
  try {
    if (!message.callbacks.empty() || !message.chain.empty()) {
      const ended_task by = place_of(message);
      plan_context where;
      where.argument = result;
      where.root_id = by.root_id;
      where.parent_id = message.id;
      for (const std::string& callback : message.callbacks) {
        kept.children.push_back(send(made, plan_signature(callback, where, rules.queue), by));
      }
      if (!message.chain.empty()) {
        where.chain.assign(message.chain.begin(), std::prev(message.chain.end()));
        kept.children.push_back(send(made, plan_signature(message.chain.back(), where, rules.queue), by));
      }
    }
  } catch (const std::exception& e) {
    task_failure failure = celery_failure(
        "InvalidTaskError", std::string("what comes after ") + message.task + " cannot be sent: " + e.what());
    end_without_success(to, message, settings, state::failure, failure, rules);
    return false;
  }
  if (!message.chord.empty() && !message.group.empty()) {
    made.parts.push_back({message.group, message.group_index.value_or(0), message.id,
                          part_text(message.id, state::success, result), message.chord});
  }
  if (!ignores_result(message, settings)) {
    kept.id = message.id;
    kept.status = state::success;
    kept.result = result;
    kept.group = message.group;
    kept.parent_id = message.parent_id;
    made.results.push_back({message.id, encode_result(kept), expiry(settings, rules), true});
  }
  to.append(std::move(made));
  return true;
}

void end_without_success(ending& to, const task_message& message, const task_settings* settings,
                         std::string_view status, const task_failure& failure, const ending_rules& rules) {
  if (message.id.empty()) return;
  const ended_task by = place_of(message);
  if (!ignores_result(message, settings)) {
    to.results.push_back(
        unsuccessful(message.id, status, failure, message.group, message.parent_id, expiry(settings, rules)));
  }
  if (!message.chord.empty() && !message.group.empty()) {
    to.parts.push_back({message.group, message.group_index.value_or(0), message.id,
                        part_text(message.id, status, json_of(failure)), message.chord});
  }
  never waited(to, status, failure, rules);
  for (const std::string& next : message.chain) waited.end(*parsed(next));
  if (status == state::failure) send_errbacks(to, message.errbacks, message.id, by, rules);
}

void end_chord(ending& to, const chord_part& last, const chord_parts& parts, const ended_task& by,
               const ending_rules& rules) {
  to.complete.push_back(last.group);
  std::vector<std::string> results;
  std::optional<std::string> wrong = failed_part(parts, results);
  if (!wrong) {
    try {
      plan_context where;
      where.argument = join_array(results);
      where.root_id = by.root_id;
      where.parent_id = by.id;
      static_cast<void>(send(to, plan_signature(last.body, where, rules.queue), by));
      return;
    } catch (const std::exception& e) {
      wrong = std::string("Callback error: ") + e.what();
    }
  }
  const task_failure failure = celery_failure("ChordError", *wrong);
  const canvas_ref body = parsed(last.body);
  never(to, state::failure, failure, rules).end(*body);
  std::set<std::string> sent;
  send_errbacks_of(to, *body, last_id(*body), sent, by, rules);
}

stored_result state_result(const task_message& message, std::string_view status, std::string_view json,
                           const task_settings* settings, const ending_rules& rules) {
  task_result r;
  r.id = message.id;
  r.status = status;
  r.result = json;
  r.group = message.group;
  r.parent_id = message.parent_id;
  return {message.id, encode_result(r), expiry(settings, rules), false, true};
}

stored_result retry_result(const task_message& message, const task_failure& why, const task_settings* settings,
                           const ending_rules& rules) {
  stored_result made =
      unsuccessful(message.id, state::retry, why, message.group, message.parent_id, expiry(settings, rules));
  made.is_passing = true;
  return made;
}

}  // namespace tutti::cluster
