// How Celery lays a canvas out, and so do we: a chain is its first task, whose message carries the others in reverse; a
// group followed by something is a chord; a group within a group is part of it. The last task of whatever stands in a
// group carries that group's id, its place in it, and the chord's body, in its options.
#include <tutti/base/error.hpp>
#include <tutti/base/json.hpp>
#include <tutti/cluster/canvas_plan.hpp>
#include <tutti/cluster/inside/canvas_freeze.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/send_options.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace tutti::cluster {
namespace {

using detail::canvas_json;
using detail::canvas_kind;
using detail::canvas_node;
using detail::canvas_ref;
using detail::freeze;
using detail::json_members;
using detail::make_canvas;
using detail::membership;
using detail::membership_of;
using detail::parse_canvas;
using detail::passed_on;
using detail::text_option;
using detail::value_option;
using detail::with_errbacks;
using detail::with_links;

struct position {
  std::vector<std::string> arguments = {};  // put before its own
  std::string root, parent;
  std::vector<std::string> chain = {};  // what comes after it; the next one is the last
  std::optional<wall_time> eta = {};
  json_members overrides = {};  // options of what it is in
};

wall_time from_now(double seconds) {
  constexpr std::chrono::duration<double> longest = longest_wait;
  const auto wait = std::clamp(std::chrono::duration<double>(seconds), -longest, longest);
  return std::chrono::system_clock::now() + std::chrono::duration_cast<wall_time::duration>(wait);
}

// A moment, or seconds from now.
std::optional<wall_time> time_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  if (json == nullptr) return std::nullopt;
  if (const auto text = string_in(*json)) return from_iso_time(*text);
  return from_now(value_option<double>(node, name).value());
}

std::vector<std::string> arguments_for(const canvas_node& node, const std::vector<std::string>& given) {
  std::vector<std::string> all;
  if (!node.immutable) all = given;
  all.insert(all.end(), node.args.begin(), node.args.end());
  return all;
}

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
    if (const auto priority = value_option<double>(node, "priority")) {
      m.priority = 9 - static_cast<int>(std::clamp(*priority, 0.0, 9.0));  // in messages 0 is soonest
    } else if (known != nullptr) {
      m.priority = known->settings.priority;
    }
    m.ignore_result = known != nullptr && known->settings.ignore_result;
    if (const auto ignore = value_option<bool>(node, "ignore_result")) m.ignore_result = *ignore;
    m.retries = std::max(value_option<int>(node, "retries").value_or(0), 0);
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
    m.time_limit = value_option<double>(node, "time_limit");
    m.soft_time_limit = value_option<double>(node, "soft_time_limit");
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
    std::vector<canvas_ref> parts;
    parts.reserve(node.tasks.size());
    for (const canvas_ref& task : node.tasks) parts.push_back(freeze(task, where.root, {}, &header).node);
    const position part{arguments_for(node, where.arguments), where.root, where.parent, {}, where.eta, overrides};
    if (header.next != 0) plan_.chords.emplace_back(header.group, header.next);
    for (const canvas_ref& task : parts) send(*task, part);
    if (header.next == 0) send(body, {{"[]"}, where.root, where.parent, {}, {}, {}});  // nothing to wait for
  }

  send_plan& plan_;
  std::string_view default_queue_;
};

// Of each task whose result is the canvas', in order, whether nobody keeps that: options go where planner sends them.
void add_ignored(std::vector<bool>& all, const canvas_node& node, const json_members& overrides) {
  canvas_node told;
  told.options = passed_on(node, overrides);
  switch (node.kind) {
    case canvas_kind::task: {
      const registered_task* const known = find_task(node.task);
      all.push_back((known != nullptr && known->settings.ignore_result) ||
                    value_option<bool>(told, "ignore_result").value_or(false));
      break;
    }
    case canvas_kind::chain:
      add_ignored(all, *node.tasks.back(), node.tasks.size() == 1 ? told.options : json_members());
      break;
    case canvas_kind::group:
      for (const canvas_ref& task : node.tasks) add_ignored(all, *task, told.options);
      break;
    case canvas_kind::chord: add_ignored(all, *node.body, told.options); break;
  }
}

void add_before(std::vector<earlier_tasks>& all, const canvas_node& node, const earlier_tasks& before);

// What comes before the ends of a part, behind `to`.
void add_within(std::vector<earlier_task>& to, const canvas_node& part, bool in_header) {
  std::vector<earlier_tasks> within;
  add_before(within, part, std::make_shared<std::vector<earlier_task>>());
  std::set<earlier_tasks> added;  // parts of a group share theirs
  for (const earlier_tasks& list : within) {
    if (!added.insert(list).second) continue;
    for (const earlier_task& one : *list) to.push_back({one.id, one.in_header || in_header});
  }
}

// Of each task whose result is the canvas', in order: `before`, and the tasks that come before it in its chains. When
// one of these ends badly it will not come, of which Celery's workers do not always tell.
void add_before(std::vector<earlier_tasks>& all, const canvas_node& node, const earlier_tasks& before) {
  switch (node.kind) {
    case canvas_kind::task: all.push_back(before); break;
    case canvas_kind::chain: {
      const auto more = std::make_shared<std::vector<earlier_task>>(*before);
      for (std::size_t i = 0; i + 1 < node.tasks.size(); ++i) {
        add_within(*more, *node.tasks[i], false);
        more->push_back({text_option(*node.tasks[i], "task_id")});
      }
      add_before(all, *node.tasks.back(), more);
      break;
    }
    case canvas_kind::group:
      for (const canvas_ref& task : node.tasks) add_before(all, *task, before);
      break;
    case canvas_kind::chord: {
      const auto more = std::make_shared<std::vector<earlier_task>>(*before);
      for (const canvas_ref& task : node.tasks) add_within(*more, *task, true);
      add_before(all, *node.body, more);
      break;
    }
  }
}

// The ids before the last one as Celery's results name them: [[id, parent], null], or null.
std::string parents_of(const canvas_node& frozen_chain) {
  constexpr std::size_t most = 16;  // JSON may not be nested without end
  std::string parents = "null";
  if (frozen_chain.kind != canvas_kind::chain) return parents;
  const std::size_t count = frozen_chain.tasks.size() - 1;
  for (std::size_t i = count > most ? count - most : 0; i < count; ++i) {
    const std::string* const id = frozen_chain.tasks[i]->option("task_id");
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
  const detail::frozen_canvas ready = freeze(node, where.root_id, where.id, in ? &*in : nullptr);

  send_plan plan;
  add_ignored(plan.ignored, *ready.node, {});
  add_before(plan.before, *ready.node, std::make_shared<std::vector<earlier_task>>());
  plan.parent_chain = parents_of(*ready.node);
  planner(plan, default_queue).send(*ready.node, std::move(at));
  plan.id = ready.result.id;
  plan.ids = ready.result.ids;
  plan.is_group = ready.result.is_group;
  return plan;
}

}  // namespace tutti::cluster
