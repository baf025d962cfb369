#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace tutti::cluster::detail {
namespace {

constexpr std::array<std::string_view, 4> kind_names{"", "chain", "group", "chord"};

std::string_view first_of(std::string_view json) {
  const std::size_t at = json.find_first_not_of(" \t\r\n");
  return at == json.npos ? std::string_view() : json.substr(at, 1);
}

bool is_null(std::string_view json) { return first_of(json) == "n"; }

canvas_kind kind_of(const std::string& type, const std::string& task) {
  const std::string name =
      string_in(type).value_or(task.starts_with("celery.") && is_null(type) ? task.substr(7) : std::string());
  const auto found = std::ranges::find(kind_names, std::string_view(name));
  return found == kind_names.end() ? canvas_kind::task : static_cast<canvas_kind>(found - kind_names.begin());
}

std::vector<canvas_ref> parse_all(std::string_view json) {
  std::vector<canvas_ref> tasks;
  for (const std::string& part : array_parts(json)) tasks.push_back(parse_canvas(part));
  return tasks;
}

// Celery writes a header as a group, or as the list of its tasks; one signature alone stands for a list of one.
void parse_header(canvas_node& chord, std::string_view json) {
  if (first_of(json) == "[") {
    chord.tasks = parse_all(json);
    return;
  }
  const canvas_ref header = parse_canvas(json);
  if (header->kind == canvas_kind::group) {
    chord.tasks = header->tasks;
    if (const std::string* const id = header->option("task_id")) chord.header_id = string_in(*id).value_or("");
  } else {
    chord.tasks = {header};
  }
}

void parse_parts(canvas_node& node, json_members kwargs) {
  for (auto& [name, json] : kwargs) {
    if (node.kind == canvas_kind::task) {
      node.kwargs.emplace_back(std::move(name), std::move(json));
    } else if (name == "tasks" && node.kind != canvas_kind::chord) {
      node.tasks = parse_all(json);
    } else if (name == "header" && node.kind == canvas_kind::chord) {
      parse_header(node, json);
    } else if (name == "body" && node.kind == canvas_kind::chord && !is_null(json)) {
      node.body = parse_canvas(json);
    }
  }
  if (node.kind == canvas_kind::chord && node.body == nullptr) throw decode_error("a chord without a body");
}

// What Celery calls chunks: a group of celery.starmap, each with up to `n` of the items.
canvas_node chunks_of(const json_members& kwargs) {
  std::string task, it;
  std::size_t n = 0;
  for (const auto& [name, json] : kwargs) {
    if (name == "task") task = json;
    if (name == "it") it = json;
    if (name == "n") std::from_chars(json.data(), json.data() + json.size(), n);
  }
  if (task.empty() || it.empty() || n == 0)
    throw decode_error("celery.chunks without \"task\", \"it\", or \"n\" items");
  const std::vector<std::string> items = array_parts(it);
  std::vector<canvas_ref> parts;
  for (std::size_t at = 0; at < items.size(); at += n) {
    const auto from = items.begin() + static_cast<std::ptrdiff_t>(at);
    const std::vector<std::string> some(from, from + static_cast<std::ptrdiff_t>(std::min(n, items.size() - at)));
    canvas_node part;
    part.task = "celery.starmap";
    part.kwargs = {{"task", task}, {"it", join_array(some)}};
    part.immutable = true;
    parts.push_back(std::make_shared<const canvas_node>(std::move(part)));
  }
  return make_canvas(canvas_kind::group, std::move(parts));
}

std::string list_json(const std::vector<canvas_ref>& tasks) {
  std::string text = "[";
  for (const canvas_ref& task : tasks) {
    if (text.size() > 1) text += ',';
    text += canvas_json(*task);
  }
  return text += ']';
}

std::string header_json(const canvas_node& chord) {
  canvas_node header = make_canvas(canvas_kind::group, chord.tasks);
  if (!chord.header_id.empty()) header.set_option("task_id", json_string(chord.header_id));
  return canvas_json(header);
}

std::string kwargs_json(const canvas_node& node) {
  switch (node.kind) {
    case canvas_kind::chain:
    case canvas_kind::group: return R"({"tasks":)" + list_json(node.tasks) + '}';
    case canvas_kind::chord:
      return R"({"header":)" + header_json(node) + R"(,"body":)" + canvas_json(*node.body) + R"(,"kwargs":{}})";
    case canvas_kind::task: break;
  }
  return join_object(node.kwargs);
}

}  // namespace

const std::string* canvas_node::option(std::string_view name) const noexcept {
  for (const auto& [key, json] : options) {
    if (key == name) return is_null(json) ? nullptr : &json;
  }
  return nullptr;
}

void canvas_node::set_option(std::string_view name, std::string json) {
  for (auto& [key, value] : options) {
    if (key == name) {
      value = std::move(json);
      return;
    }
  }
  options.emplace_back(name, std::move(json));
}

void canvas_node::drop_option(std::string_view name) {
  std::erase_if(options, [name](const auto& member) { return member.first == name; });
}

std::vector<std::string> canvas_node::list_option(std::string_view name) const {
  const std::string* const json = option(name);
  if (json == nullptr) return {};
  return first_of(*json) == "[" ? array_parts(*json) : std::vector<std::string>{*json};
}

void canvas_node::add_to_option(std::string_view name, const std::string& json) {
  std::vector<std::string> all = list_option(name);
  if (std::ranges::find(all, json) != all.end()) return;
  all.push_back(json);
  set_option(name, join_array(all));
}

canvas_node make_canvas(canvas_kind kind, std::vector<canvas_ref> tasks, canvas_ref body) {
  canvas_node made;
  made.kind = kind;
  const std::string_view name = kind_names[static_cast<std::size_t>(kind)];
  made.task = "celery." + std::string(name);
  made.type = '"' + std::string(name) + '"';
  made.tasks = std::move(tasks);
  made.body = std::move(body);
  return made;
}

canvas_ref parse_canvas(std::string_view json) {
  if (first_of(json) == "\"") {  // for Celery, a task's name is a signature of it
    canvas_node node;
    node.task = string_in(json).value_or("");
    if (node.task.empty()) throw decode_error("a signature without the name of its task: " + python_repr(json, 80));
    return std::make_shared<const canvas_node>(std::move(node));
  }
  if (first_of(json) != "{") {
    throw decode_error("a signature is a JSON object with \"task\", and not " + python_repr(json, 80));
  }
  auto node = std::make_shared<canvas_node>();
  json_members kwargs;
  for (auto& [name, value] : object_parts(json)) {
    if (is_null(value)) continue;
    if (name == "task") {
      node->task = string_in(value).value_or("");
    } else if (name == "args") {
      node->args = array_parts(value);
    } else if (name == "kwargs") {
      kwargs = object_parts(value);
    } else if (name == "options") {
      node->options = object_parts(value);
    } else if (name == "subtask_type") {
      node->type = value;
    } else if (name == "immutable") {
      node->immutable = first_of(value) == "t";
    }
  }
  if (node->task.empty()) throw decode_error("a signature without the name of its task: " + python_repr(json, 80));
  if (node->task == "celery.chunks") {
    canvas_node chunks = chunks_of(kwargs);
    chunks.options = std::move(node->options);
    return std::make_shared<const canvas_node>(std::move(chunks));
  }
  node->kind = kind_of(node->type, node->task);
  parse_parts(*node, std::move(kwargs));
  return node;
}

std::string canvas_json(const canvas_node& node) {
  return R"({"task":)" + json_string(node.task) + R"(,"args":)" + join_array(node.args) + R"(,"kwargs":)" +
         kwargs_json(node) + R"(,"options":)" + join_object(node.options) + R"(,"subtask_type":)" + node.type +
         R"(,"immutable":)" + (node.immutable ? "true" : "false") + '}';
}

}  // namespace tutti::cluster::detail
