// How Celery lays a canvas out, and so do we: a chain is its first task, whose message carries the others in reverse; a
// group followed by something is a chord; a group within a group is part of it. The last task of whatever stands in a
// group carries that group's id, its place in it, and the chord's body, in its options.
#include <tutti/base/error.hpp>
#include <tutti/base/json.hpp>
#include <tutti/cluster/canvas_plan.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace tutti::cluster {
namespace {

using detail::canvas_json;
using detail::canvas_kind;
using detail::canvas_node;
using detail::canvas_ref;
using detail::json_members;
using detail::make_canvas;
using detail::parse_canvas;

// A group that something is a part of.
struct membership {
  std::string group;
  std::string chord;      // JSON; empty: a group without a body
  std::int64_t next = 0;  // index of its next part
};

// Whose results are a signature's.
struct outcome {
  std::string id;
  std::vector<std::string> ids;  // of a group
  bool is_group = false;

  void add_to(std::vector<std::string>& all) const {
    if (!is_group) {
      all.push_back(id);
    } else {
      all.insert(all.end(), ids.begin(), ids.end());
    }
  }
};

struct position {
  std::vector<std::string> arguments = {};  // put before its own
  std::string root, parent;
  std::vector<std::string> chain = {};  // what comes after it; the next one is the last
  std::optional<wall_time> eta = {};
  json_members overrides = {};  // options of what it is in
};

// Options that say what a signature is, and not how its tasks are sent.
constexpr std::array<std::string_view, 9> own_options{"task_id", "group_id",   "group_index", "chord",    "chain",
                                                      "link",    "link_error", "root_id",     "parent_id"};

std::string text_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  return json == nullptr ? std::string() : string_in(*json).value_or(std::string());
}

template <class T>
std::optional<T> number_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  if (json == nullptr) return std::nullopt;
  try {
    return decode_json<T>(*json);
  } catch (const decode_error& e) {
    throw decode_error("option \"" + std::string(name) + "\" of the signature of " + node.task + ": " + e.what());
  }
}

wall_time from_now(double seconds) {
  constexpr double longest = 3.2e9;  // a century: beyond, the clock's own range would be near
  const std::chrono::duration<double> wait(std::clamp(seconds, -longest, longest));
  return std::chrono::system_clock::now() + std::chrono::duration_cast<wall_time::duration>(wait);
}

// A moment, or seconds from now.
std::optional<wall_time> time_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  if (json == nullptr) return std::nullopt;
  if (const auto text = string_in(*json)) return from_iso_time(*text);
  return from_now(number_option<double>(node, name).value());
}

std::optional<membership> membership_of(const canvas_node& node) {
  membership in;
  in.group = text_option(node, "group_id");
  if (in.group.empty()) return std::nullopt;
  if (const std::string* const chord = node.option("chord")) in.chord = *chord;
  in.next = number_option<std::int64_t>(node, "group_index").value_or(0);
  return in;
}

json_members merged(json_members options, const json_members& overrides) {
  canvas_node both;
  both.options = std::move(options);
  for (const auto& [name, json] : overrides) both.set_option(name, json);
  return std::move(both.options);
}

// What all tasks of a chain's first step, of a group, of a chord take over from it.
json_members passed_on(const canvas_node& node, const json_members& overrides) {
  json_members options = node.options;
  std::erase_if(options, [](const auto& member) { return std::ranges::count(own_options, member.first) != 0; });
  return merged(std::move(options), overrides);
}

std::vector<std::string> arguments_for(const canvas_node& node, const std::vector<std::string>& given) {
  std::vector<std::string> all;
  if (!node.immutable) all = given;
  all.insert(all.end(), node.args.begin(), node.args.end());
  return all;
}

void add_all(canvas_node& to, std::string_view option, const std::vector<std::string>& signatures) {
  for (const std::string& json : signatures) to.add_to_option(option, json);
}

// Errbacks of a group are those of each of its tasks; a chord's are its body's, which fails when a part does.
canvas_ref with_errbacks(const canvas_ref& node, const std::vector<std::string>& errbacks) {
  if (errbacks.empty()) return node;
  canvas_node copy = *node;
  switch (copy.kind) {
    case canvas_kind::task: add_all(copy, "link_error", errbacks); break;
    case canvas_kind::chord: copy.body = with_errbacks(copy.body, errbacks); break;
    case canvas_kind::chain:
    case canvas_kind::group:
      for (canvas_ref& task : copy.tasks) task = with_errbacks(task, errbacks);
      break;
  }
  return std::make_shared<const canvas_node>(std::move(copy));
}

canvas_ref with_links(const canvas_ref& node, const std::vector<std::string>& links) {
  if (links.empty()) return node;
  canvas_node copy = *node;
  if (copy.kind == canvas_kind::group) {
    throw std::invalid_argument("a group has no one result that a linked task could get: use a chord");
  }
  if (copy.kind == canvas_kind::chord) {
    copy.body = with_links(copy.body, links);
  } else {
    add_all(copy, "link", links);
  }
  return std::make_shared<const canvas_node>(std::move(copy));
}

// The tasks of a chain in order. Those of a chain within it take over what was said of that one: its first task the
// arguments and how it is sent, its last one the callbacks, all the errbacks.
std::vector<canvas_ref> flat_steps(const canvas_node& chain) {
  std::vector<canvas_ref> steps;
  for (const canvas_ref& task : chain.tasks) {
    if (task->kind != canvas_kind::chain) {
      steps.push_back(task);
      continue;
    }
    std::vector<canvas_ref> inner = flat_steps(*task);
    if (inner.empty()) continue;
    canvas_node first = *inner.front();
    first.options = merged(std::move(first.options), passed_on(*task, {}));
    first.args.insert(first.args.begin(), task->args.begin(), task->args.end());
    first.immutable = first.immutable || task->immutable;
    inner.front() = std::make_shared<const canvas_node>(std::move(first));
    inner.back() = with_links(inner.back(), task->list_option("link"));
    steps.insert(steps.end(), inner.begin(), inner.end());
  }
  const std::vector<std::string> errbacks = chain.list_option("link_error");
  for (canvas_ref& step : steps) step = with_errbacks(step, errbacks);
  return steps;
}

bool ends_in_group(const canvas_node& node) {
  const canvas_node* at = &node;
  while (at->kind == canvas_kind::chord || (at->kind == canvas_kind::chain && !at->tasks.empty())) {
    at = at->kind == canvas_kind::chord ? at->body.get() : at->tasks.back().get();
  }
  return at->kind == canvas_kind::group;
}

// What ends in a group, and what then comes: a chord.
canvas_ref joined(const canvas_ref& node, canvas_ref next) {
  canvas_node copy = *node;
  if (node->kind == canvas_kind::chord) {
    copy.body = joined(node->body, std::move(next));
  } else if (node->kind == canvas_kind::chain) {
    copy.tasks.back() = joined(node->tasks.back(), std::move(next));
  } else {
    copy = make_canvas(canvas_kind::chord, node->tasks, std::move(next));
    copy.args = node->args;
    copy.immutable = node->immutable;
    copy.header_id = text_option(*node, "task_id");
    // Options of a group are for its tasks; those of a chord would be for its body too.
    const json_members options = passed_on(*node, {});
    for (canvas_ref& task : copy.tasks) {
      canvas_node member = *task;
      member.options = merged(std::move(member.options), options);
      task = std::make_shared<const canvas_node>(std::move(member));
    }
  }
  return std::make_shared<const canvas_node>(std::move(copy));
}

// The same without groups before the end: with what follows them they are chords.
std::vector<canvas_ref> steps_of(const canvas_node& chain) {
  const std::vector<canvas_ref> flat = flat_steps(chain);
  std::vector<canvas_ref> reversed;
  if (flat.empty()) throw std::invalid_argument("a chain without tasks cannot be sent");
  for (auto step = flat.rbegin(); step != flat.rend(); ++step) {
    if (!reversed.empty() && ends_in_group(**step)) {
      reversed.back() = joined(*step, std::move(reversed.back()));
    } else {
      reversed.push_back(*step);
    }
  }
  return {reversed.rbegin(), reversed.rend()};
}

// The members of a group, with those of groups within it.
void flatten_group(const canvas_node& group, const json_members& overrides, std::vector<canvas_ref>& members) {
  const std::vector<std::string> errbacks =
      group.kind == canvas_kind::group ? group.list_option("link_error") : std::vector<std::string>();
  for (const canvas_ref& task : group.tasks) {
    if (task->kind == canvas_kind::group) {
      flatten_group(*task, passed_on(*task, overrides), members);
    } else {
      canvas_node copy = *task;
      copy.options = merged(std::move(copy.options), overrides);
      if (group.immutable) copy.immutable = true;
      members.push_back(with_errbacks(std::make_shared<const canvas_node>(std::move(copy)), errbacks));
    }
  }
}

struct frozen {
  canvas_ref node;
  outcome result;
};

// Gives numbers to all tasks whose results can be waited for, so that they are known before they are sent. `id` is for
// the last one; `in` is what it is a part of.
class freezer {
 public:
  explicit freezer(std::string root) : root_(std::move(root)) {}

  //
  frozen freeze(const canvas_ref& given, const std::string& id, membership* in) {
    switch (given->kind) {
      case canvas_kind::chain: return freeze_chain(*given, id, in);
      case canvas_kind::group: return freeze_group(*given, id, in);
      case canvas_kind::chord: return freeze_chord(*given, id, in);
      case canvas_kind::task: break;
    }
    canvas_node node = *given;
    const std::string own = number(node, id);
    if (!root_.empty() && node.option("root_id") == nullptr) node.set_option("root_id", json_string(root_));
    if (in != nullptr) join(node, *in, in->next++);
    return {std::make_shared<const canvas_node>(std::move(node)), {own, {}, false}};
  }

 private:
  static std::string number(canvas_node& node, const std::string& wanted) {
    std::string id = wanted.empty() ? text_option(node, "task_id") : wanted;
    if (id.empty()) id = new_uuid();
    node.set_option("task_id", json_string(id));
    return id;
  }

  static void join(canvas_node& node, const membership& in, std::int64_t index) {
    node.set_option("group_id", json_string(in.group));
    node.set_option("group_index", std::to_string(index));
    if (in.chord.empty()) {
      node.drop_option("chord");
    } else {
      node.set_option("chord", in.chord);
    }
  }

  frozen freeze_chain(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    node.tasks = steps_of(given);
    node.drop_option("link_error");  // each step has them now
    const std::string last = id.empty() ? text_option(node, "task_id") : id;
    node.drop_option("task_id");
    std::vector<std::string> links = node.list_option("link");
    node.drop_option("link");
    outcome result;
    for (std::size_t i = node.tasks.size(); i-- > 0;) {
      const bool is_last = i + 1 == node.tasks.size();
      if (is_last && !links.empty()) node.tasks[i] = with_links(node.tasks[i], links);
      frozen step = freeze(node.tasks[i], is_last ? last : std::string(), is_last ? in : nullptr);
      node.tasks[i] = std::move(step.node);
      if (is_last) result = std::move(step.result);
    }
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(result)};
  }

  frozen freeze_group(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    outcome result{number(node, id), {}, true};
    membership own{result.id, {}, 0};
    if (in != nullptr) join(node, *in, in->next);
    node.tasks.clear();
    flatten_group(given, {}, node.tasks);
    for (canvas_ref& task : node.tasks) {
      frozen member = freeze(task, {}, in != nullptr ? in : &own);
      task = std::move(member.node);
      member.result.add_to(result.ids);
    }
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(result)};
  }

  // The header's tasks get numbers too: so sending a chord twice is not two.
  frozen freeze_chord(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    const canvas_ref told = with_errbacks(with_links(given.body, node.list_option("link")),
                                          node.list_option("link_error"));  // of a chord, they are its body's
    node.drop_option("link");
    node.drop_option("link_error");
    frozen body = freeze(told, id.empty() ? text_option(given, "task_id") : id, in);
    node.body = std::move(body.node);
    node.drop_option("task_id");
    if (node.header_id.empty()) node.header_id = new_uuid();
    membership header{node.header_id, {}, 0};
    node.tasks.clear();
    flatten_group(given, {}, node.tasks);
    for (canvas_ref& task : node.tasks) task = freeze(task, {}, &header).node;
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(body.result)};
  }

  std::string root_;
};

class planner {
 public:
  planner(send_plan& plan, std::string_view default_queue) : plan_(plan), default_queue_(default_queue) {}

  // `node` is frozen.
  void send(const canvas_node& node, position where) {
    switch (node.kind) {
      case canvas_kind::task: return send_task(node, std::move(where));
      case canvas_kind::chain: return send_chain(node, std::move(where));
      case canvas_kind::group: return send_group(node, std::move(where));
      case canvas_kind::chord: return send_chord(node, std::move(where));
    }
  }

 private:
  void send_task(const canvas_node& given, position where) {
    canvas_node node = given;
    for (const auto& [name, json] : where.overrides) node.set_option(name, json);
    task_message m;
    m.task = node.task;
    m.id = text_option(node, "task_id");
    m.args = join_array(arguments_for(node, where.arguments));
    m.kwargs = join_object(node.kwargs);
    m.callbacks = node.list_option("link");
    m.errbacks = node.list_option("link_error");
    m.chain = chain_of(node, std::move(where.chain));
    if (const auto in = membership_of(node)) {
      m.group = in->group;
      m.chord = in->chord;
      if (node.option("group_index") != nullptr) m.group_index = in->next;
    }
    m.root_id = where.root.empty() ? text_option(node, "root_id") : std::move(where.root);
    if (m.root_id.empty()) m.root_id = m.id;
    m.parent_id = where.parent.empty() ? text_option(node, "parent_id") : std::move(where.parent);
    set_settings(m, node);
    set_times(m, node, where.eta);
    plan_.messages.push_back(std::move(m));
  }

  void set_settings(task_message& m, const canvas_node& node) const {
    const registered_task* const known = find_task(m.task);
    m.queue = text_option(node, "queue");
    if (m.queue.empty()) m.queue = text_option(node, "routing_key");
    if (m.queue.empty() && known != nullptr) m.queue = known->settings.queue;
    if (m.queue.empty()) m.queue = default_queue_;
    if (const auto priority = number_option<double>(node, "priority")) {
      m.priority = 9 - static_cast<int>(std::clamp(*priority, 0.0, 9.0));  // in messages 0 is soonest
    } else if (known != nullptr) {
      m.priority = known->settings.priority;
    }
    m.ignore_result = known != nullptr && known->settings.ignore_result;
    if (const auto ignore = number_option<bool>(node, "ignore_result")) m.ignore_result = *ignore;
    m.retries = std::max(number_option<int>(node, "retries").value_or(0), 0);
    m.shadow = text_option(node, "shadow");
    m.reply_to = text_option(node, "reply_to");
    m.origin = "gen" + process_name();
    if (const std::string* const headers = node.option("headers")) {
      for (auto& [name, json] : object_parts(*headers)) m.headers[name] = std::move(json);
    }
  }

  static void set_times(task_message& m, const canvas_node& node, const std::optional<wall_time>& eta) {
    m.eta = time_option(node, "countdown");
    if (const auto own = time_option(node, "eta")) m.eta = own;
    if (eta) m.eta = eta;
    m.expires = time_option(node, "expires");
    m.time_limit = number_option<double>(node, "time_limit");
    m.soft_time_limit = number_option<double>(node, "soft_time_limit");
  }

  // What a signature brings along runs before what comes after it.
  static std::vector<std::string> chain_of(const canvas_node& node, std::vector<std::string> after) {
    for (std::string& json : node.list_option("chain")) after.push_back(std::move(json));
    return after;
  }

  void send_chain(const canvas_node& node, position where) {
    position first{arguments_for(node, where.arguments), where.root, where.parent, {}, where.eta, {}};
    first.overrides = passed_on(node, where.overrides);
    first.chain = chain_of(node, std::move(where.chain));
    for (std::size_t i = node.tasks.size(); i-- > 1;) first.chain.push_back(canvas_json(*node.tasks[i]));
    send(*node.tasks.front(), std::move(first));
  }

  void send_group(const canvas_node& node, position where) {
    const json_members overrides = passed_on(node, where.overrides);
    for (const canvas_ref& task : node.tasks) {
      send(*task, {arguments_for(node, where.arguments), where.root, where.parent, {}, where.eta, overrides});
    }
  }

  void send_chord(const canvas_node& node, position where) {
    const json_members overrides = passed_on(node, where.overrides);
    canvas_node body = *node.body;
    for (const auto& [name, json] : overrides) {
      if (name != "countdown" && name != "eta") body.set_option(name, json);
    }
    if (const auto rest = chain_of(node, std::move(where.chain)); !rest.empty()) {
      body.set_option("chain", join_array(chain_of(body, rest)));
    }
    if (!where.root.empty()) body.set_option("root_id", json_string(where.root));
    membership header{node.header_id, canvas_json(body), 0};
    freezer again(where.root);
    std::vector<canvas_ref> parts;
    for (const canvas_ref& task : node.tasks) parts.push_back(again.freeze(task, {}, &header).node);
    const position part{arguments_for(node, where.arguments), where.root, where.parent, {}, where.eta, overrides};
    if (header.next != 0) plan_.chords.emplace_back(header.group, header.next);
    for (const canvas_ref& task : parts) send(*task, part);
    if (header.next == 0) send(body, {{"[]"}, where.root, where.parent, {}, {}, {}});  // nothing to wait for
  }

  send_plan& plan_;
  std::string_view default_queue_;
};

// The ids before the last one as Celery's results name them: [[id, parent], null], or null.
std::string parents_of(const canvas_node& frozen_chain) {
  constexpr std::size_t most = 16;  // JSON may not be nested without end
  std::string parents = "null";
  if (frozen_chain.kind != canvas_kind::chain) return parents;
  const std::size_t count = frozen_chain.tasks.size() - 1;
  for (std::size_t i = count > most ? count - most : 0; i < count; ++i) {
    const canvas_node* step = frozen_chain.tasks[i].get();
    while (step->kind == canvas_kind::chord) step = step->body.get();
    const std::string* const id = step->option("task_id");
    if (id != nullptr) parents = "[[" + *id + ',' + parents + "],null]";
  }
  return parents;
}

}  // namespace

send_plan plan_signature(std::string_view signature, const plan_context& where, std::string_view default_queue) {
  canvas_ref node = parse_canvas(signature);
  position at{{}, where.root_id, where.parent_id, where.chain, where.eta, {}};
  if (where.argument) at.arguments.push_back(*where.argument);

  // What comes after something that is more than a task may change it: a group becomes a chord.
  if (node->kind != canvas_kind::task && node->kind != canvas_kind::chord &&
      (!at.chain.empty() || node->option("chain") != nullptr)) {
    canvas_node first = *node;
    std::vector<std::string> after = std::move(at.chain);
    for (std::string& json : first.list_option("chain")) after.push_back(std::move(json));
    first.drop_option("chain");
    std::vector<canvas_ref> steps{std::make_shared<const canvas_node>(std::move(first))};
    for (auto json = after.rbegin(); json != after.rend(); ++json) steps.push_back(parse_canvas(*json));
    node = std::make_shared<const canvas_node>(make_canvas(canvas_kind::chain, std::move(steps)));
    at.chain.clear();
  }

  std::optional<membership> in = membership_of(*node);
  if (!where.group.empty()) in = membership{where.group, where.chord, where.group_index.value_or(0)};
  node = with_errbacks(with_links(node, where.callbacks), where.errbacks);
  const frozen ready = freezer(where.root_id).freeze(node, where.id, in ? &*in : nullptr);

  send_plan plan;
  plan.parent_chain = parents_of(*ready.node);
  planner(plan, default_queue).send(*ready.node, std::move(at));
  plan.id = ready.result.id;
  plan.ids = ready.result.ids;
  plan.is_group = ready.result.is_group;
  return plan;
}

}  // namespace tutti::cluster
