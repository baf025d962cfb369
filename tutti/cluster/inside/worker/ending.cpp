#include <tutti/cluster/inside/worker/ending.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

namespace tutti::cluster {
namespace {

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

// The members of an object, for looking some of them up.
class members {
 public:
  explicit members(std::string_view json) {
    try {
      for (auto& [name, value] : object_parts(json)) all_.insert_or_assign(std::move(name), std::move(value));
    } catch (const error&) {  // no object: it has no members
    }
  }
  [[nodiscard]] std::string_view json(const char* name) const {
    const auto found = all_.find(name);
    return found == all_.end() ? std::string_view() : std::string_view(found->second);
  }
  [[nodiscard]] std::string text(const char* name) const {
    return string_in(json(name).empty() ? std::string_view("null") : json(name)).value_or("");
  }
  [[nodiscard]] std::vector<std::string> array(const char* name) const {
    const std::string_view found = json(name);
    if (!found.starts_with('[')) return {};
    try {
      return array_parts(found);
    } catch (const error&) {
      return {};
    }
  }
  [[nodiscard]] std::int64_t number(const char* name) const {
    const std::string found(json(name));
    return found.empty() ? 0 : std::strtoll(found.c_str(), nullptr, 10);
  }

 private:
  std::map<std::string, std::string, std::less<>> all_;
};

// Tasks that will never be, as what comes before them has no success.
class never {
 public:
  never(ending& to, std::string_view status, const task_failure& failure, const ended_task& by,
        const ending_rules& rules)
      : to_(to), status_(status), failure_(failure), by_(by), rules_(rules) {}

  // `counts`: as a part of its chord, if it is one; false for the header of a chord that was never begun.
  void signature(std::string_view json, int depth = 0, bool counts = true) {
    if (depth > deepest || json.empty()) return;
    const members whole(json);
    const members options(whole.json("options"));
    const members kwargs(whole.json("kwargs"));
    const std::string type = whole.text("subtask_type");
    if (type == "group" || type == "chain") {
      for (const std::string& part : kwargs.array("tasks")) signature(part, depth + 1, counts);
    } else if (type == "chord") {
      header(kwargs.json("header"), depth + 1);
      signature(kwargs.json("body"), depth + 1, counts);
    }
    task(options, counts && type != "group");  // a group's tasks are parts, it is none
    for (const std::string& next : options.array("chain")) signature(next, depth + 1, counts);
  }

  void errbacks(const std::vector<std::string>& all, const std::string& failed_id) {
    for (const std::string& errback : all) {
      try {
        plan_context where;
        where.argument = json_string(failed_id);
        where.root_id = by_.root_id;
        where.parent_id = failed_id;
        static_cast<void>(send(to_, plan_signature(errback, where, rules_.queue), by_));
      } catch (const std::exception& e) {
        log(log_level::error, "an errback cannot be sent", {{"task", failed_id}, {"error", e.what()}});
      }
    }
  }

 private:
  static constexpr int deepest = 64;

  void header(std::string_view json, int depth) {
    if (json.starts_with('[')) {
      const members list(std::string("{\"l\":").append(json).append("}"));
      for (const std::string& part : list.array("l")) signature(part, depth, false);
    } else {
      signature(json, depth, false);
    }
  }

  void task(const members& options, bool counts) {
    std::string id = options.text("task_id");
    if (id.empty()) return;
    const std::string group = options.text("group_id");
    const std::string_view chord = options.json("chord");
    if (counts && !group.empty() && chord.starts_with('{')) {
      if (as_json_.empty()) as_json_ = json_of(failure_);
      to_.parts.push_back(
          {group, options.number("group_index"), id, part_text(id, status_, as_json_), std::string(chord)});
    }
    to_.results.push_back(
        unsuccessful(std::move(id), status_, failure_, group, options.text("parent_id"), rules_.expires));
  }

  ending& to_;
  const std::string_view status_;
  const task_failure& failure_;
  const ended_task& by_;
  const ending_rules& rules_;
  std::string as_json_;
};

// "ValueError('no such file')", from {"exc_type": "ValueError", "exc_message": ["no such file"], ...}.
std::string exception_text(std::string_view json) {
  const members exception(json);
  const std::string type = exception.text("exc_type");
  if (type.empty()) return python_repr(json);
  const std::string_view message = exception.json("exc_message");
  std::string all;
  if (message.starts_with('[')) {
    for (const std::string& part : exception.array("exc_message")) {
      if (!all.empty()) all += ", ";
      all += python_repr(part);
    }
  } else if (!message.empty()) {
    all = python_repr(message);
  }
  return type + "(" + all + ")";
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
  never waited(to, status, failure, by, rules);
  for (const std::string& next : message.chain) waited.signature(next);
  if (status == state::failure) waited.errbacks(message.errbacks, message.id);
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
  never waited(to, state::failure, failure, by, rules);
  waited.signature(last.body);
  // Those of the body, which for a chain are its tasks', and for a chord its body's. They are told of the task whose
  // result would have been the body's.
  std::vector<std::string> errbacks;
  std::string id, body = last.body;
  for (int depth = 0; depth < 64; ++depth) {
    const members whole(body);
    const members options(whole.json("options"));
    const members kwargs(whole.json("kwargs"));
    if (errbacks.empty()) errbacks = options.array("link_error");
    if (errbacks.empty() && options.json("link_error").starts_with('{')) {
      errbacks.emplace_back(options.json("link_error"));
    }
    if (std::string own = options.text("task_id"); !own.empty()) id = std::move(own);
    const std::string type = whole.text("subtask_type");
    const std::vector<std::string> tasks = kwargs.array("tasks");
    if (type == "chain" && !tasks.empty()) {
      body = tasks.back();
    } else if (type == "chord") {
      body = kwargs.json("body");
    } else {
      break;
    }
  }
  waited.errbacks(errbacks, id);
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
