#include <tutti/cluster/inside/canvas_freeze.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <utility>

namespace tutti::cluster::detail {
namespace {

// Options that say what a signature is, and not how its tasks are sent.
constexpr std::array<std::string_view, 9> own_options{"task_id", "group_id",   "group_index", "chord",    "chain",
                                                      "link",    "link_error", "root_id",     "parent_id"};

json_members merged(json_members options, const json_members& overrides) {
  canvas_node both;
  both.options = std::move(options);
  for (const auto& [name, json] : overrides) both.set_option(name, json);
  return std::move(both.options);
}

void add_all(canvas_node& to, std::string_view option, const std::vector<std::string>& signatures) {
  for (const std::string& json : signatures) to.add_to_option(option, json);
}

}  // namespace

void canvas_result::add_to(std::vector<std::string>& all) const {
  if (!is_group) {
    all.push_back(id);
  } else {
    all.insert(all.end(), ids.begin(), ids.end());
  }
}

std::string text_option(const canvas_node& node, std::string_view name) {
  const std::string* const json = node.option(name);
  return json == nullptr ? std::string() : string_in(*json).value_or(std::string());
}

std::optional<membership> membership_of(const canvas_node& node) {
  membership in;
  in.group = text_option(node, "group_id");
  if (in.group.empty()) return std::nullopt;
  if (const std::string* const chord = node.option("chord")) in.chord = *chord;
  in.next = value_option<std::int64_t>(node, "group_index").value_or(0);
  return in;
}

json_members passed_on(const canvas_node& node, const json_members& overrides) {
  json_members options = node.options;
  std::erase_if(options, [](const auto& member) { return std::ranges::count(own_options, member.first) != 0; });
  return merged(std::move(options), overrides);
}

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

namespace {

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
  copy.drop_option("task_id");  // that of its end, which is another one now
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

// Gives numbers to all tasks whose results can be waited for, so that they are known before they are sent. `id` is for
// the last one, also when it has one; `in` is what it is a part of.
class freezer {
 public:
  explicit freezer(std::string root) : root_(std::move(root)) {}

  frozen_canvas freeze(const canvas_ref& given, const std::string& id, membership* in) {
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

  // What is the last of something takes that one's number, unless it has its own: Celery's chords have their header's.
  static canvas_ref heir_of(const canvas_node& whole, canvas_ref last) {
    const std::string* const id = whole.option("task_id");
    if (id == nullptr || last->option("task_id") != nullptr) return last;
    canvas_node copy = *last;
    copy.set_option("task_id", *id);
    return std::make_shared<const canvas_node>(std::move(copy));
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

  frozen_canvas freeze_chain(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    node.tasks = steps_of(given);
    node.drop_option("link_error");  // each step has them now
    node.tasks.back() = heir_of(given, std::move(node.tasks.back()));
    std::vector<std::string> links = node.list_option("link");
    node.drop_option("link");
    canvas_result result;
    for (std::size_t i = node.tasks.size(); i-- > 0;) {
      const bool is_last = i + 1 == node.tasks.size();
      if (is_last && !links.empty()) node.tasks[i] = with_links(node.tasks[i], links);
      frozen_canvas step = freeze(node.tasks[i], is_last ? id : std::string(), is_last ? in : nullptr);
      node.tasks[i] = std::move(step.node);
      if (is_last) result = std::move(step.result);
    }
    node.set_option("task_id", json_string(result.id));
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(result)};
  }

  frozen_canvas freeze_group(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    canvas_result result{number(node, id), {}, true};
    membership own{result.id, {}, 0};
    if (in != nullptr) join(node, *in, in->next);
    node.tasks.clear();
    flatten_group(given, {}, node.tasks);
    for (canvas_ref& task : node.tasks) {
      frozen_canvas member = freeze(task, {}, in != nullptr ? in : &own);
      task = std::move(member.node);
      member.result.add_to(result.ids);
    }
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(result)};
  }

  // The header's tasks get numbers too: so sending a chord twice is not two.
  frozen_canvas freeze_chord(const canvas_node& given, const std::string& id, membership* in) {
    canvas_node node = given;
    const canvas_ref told = with_errbacks(with_links(given.body, node.list_option("link")),
                                          node.list_option("link_error"));  // of a chord, they are its body's
    node.drop_option("link");
    node.drop_option("link_error");
    frozen_canvas body = freeze(heir_of(given, told), id, in);
    node.body = std::move(body.node);
    node.set_option("task_id", json_string(body.result.id));  // which Celery ends when what is before it fails
    if (node.header_id.empty()) node.header_id = new_uuid();
    membership header{node.header_id, {}, 0};
    node.tasks.clear();
    flatten_group(given, {}, node.tasks);
    for (canvas_ref& task : node.tasks) task = freeze(task, {}, &header).node;
    return {std::make_shared<const canvas_node>(std::move(node)), std::move(body.result)};
  }

  std::string root_;
};

}  // namespace

frozen_canvas freeze(const canvas_ref& given, const std::string& root, const std::string& id, membership* in) {
  return freezer(root).freeze(given, id, in);
}

}  // namespace tutti::cluster::detail
