#include <tutti/base/json.hpp>
#include <tutti/cluster/inside/canvas_node.hpp>
#include <tutti/cluster/inside/send_json.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <stdexcept>

namespace tutti::cluster {

using detail::canvas_kind;
using detail::canvas_node;
using detail::canvas_ref;

/// The nodes of signatures.
class canvas_access {
 public:
  static const canvas_ref& node(const signature& of) noexcept { return of.node_; }
  static signature make(canvas_node node) { return signature(std::make_shared<const canvas_node>(std::move(node))); }
  static group_signature make_group(canvas_node node) {
    return group_signature(std::make_shared<const canvas_node>(std::move(node)));
  }
};

namespace {

std::string seconds_json(std::chrono::nanoseconds time) {
  return encode_json(std::chrono::duration<double>(time).count());
}

void set_members(canvas_node& node, const send_options& options) {
  if (options.countdown) node.set_option("countdown", seconds_json(*options.countdown));
  if (options.eta) node.set_option("eta", json_string(iso_time(*options.eta)));
  const wall_time epoch{};
  if (const auto after = options.expires.from(epoch)) {
    // A duration moves with the moment that it is counted from, a moment does not.
    const bool is_moment = options.expires.from(epoch + std::chrono::hours(1)) == after;
    node.set_option("expires", is_moment ? json_string(iso_time(*after)) : seconds_json(*after - epoch));
  }
  if (options.priority) node.set_option("priority", std::to_string(9 - *options.priority));  // in messages 0 is soonest
  if (!options.queue.empty()) node.set_option("queue", json_string(options.queue));
  if (options.headers.size() != 0) {
    detail::json_members headers;
    for (const extra_header& header : options.headers) {
      headers.emplace_back(header.name, detail::header_json(header));
    }
    node.set_option("headers", join_object(headers));
  }
  if (options.time_limit) node.set_option("time_limit", seconds_json(*options.time_limit));
  if (options.soft_time_limit) node.set_option("soft_time_limit", seconds_json(*options.soft_time_limit));
  if (options.ignore_result) node.set_option("ignore_result", "true");
}

// A chain as its steps, anything else as one step.
void add_steps(std::vector<canvas_ref>& steps, const canvas_ref& node) {
  if (node->kind == canvas_kind::chain && node->options.empty() && node->args.empty() && !node->immutable) {
    steps.insert(steps.end(), node->tasks.begin(), node->tasks.end());
  } else {
    steps.push_back(node);
  }
}

std::vector<canvas_ref> nodes_of(const std::vector<signature>& tasks) {
  std::vector<canvas_ref> nodes;
  nodes.reserve(tasks.size());
  for (const signature& task : tasks) nodes.push_back(canvas_access::node(task));
  return nodes;
}

}  // namespace

signature::signature(std::string_view task, detail::call_arguments arguments) {
  if (task.empty()) throw std::invalid_argument("a signature needs the name of its task");
  canvas_node node;
  node.task = task;
  node.args = std::move(arguments.args);
  node.kwargs = std::move(arguments.kwargs);
  node_ = std::make_shared<const canvas_node>(std::move(node));
}

signature signature::from_json(std::string_view text) { return signature(detail::parse_canvas(text)); }

std::string signature::json() const { return canvas_json(*node_); }

std::string signature::name() const { return node_->kind == canvas_kind::task ? node_->task : std::string(); }

signature signature::set(const send_options& options) const {
  detail::check_options(options);
  if (!options.id.empty() || options.where != nullptr) {
    throw std::invalid_argument("signature::set: id and where are for apply_async, which sends it");
  }
  canvas_node node = *node_;
  set_members(node, options);
  signature made = canvas_access::make(std::move(node));
  if (const signature* const callback = options.link.get()) made = made.link(*callback);
  if (const signature* const errback = options.link_error.get()) made = made.on_error(*errback);
  return made;
}

signature signature::link(const signature& callback) const {
  canvas_node node = *node_;
  if (node.kind == canvas_kind::group) {
    throw std::invalid_argument("a group has no one result that a linked task could get: use a chord");
  }
  if (node.kind == canvas_kind::chord) {
    node.body = signature(node.body).link(callback).node_;
  } else {
    node.add_to_option("link", callback.json());
  }
  return canvas_access::make(std::move(node));
}

signature signature::on_error(const signature& errback) const {
  canvas_node node = *node_;
  if (node.kind == canvas_kind::group) {
    for (canvas_ref& task : node.tasks) task = signature(task).on_error(errback).node_;
  } else if (node.kind == canvas_kind::chord) {
    node.body = signature(node.body).on_error(errback).node_;
  } else {
    node.add_to_option("link_error", errback.json());
  }
  return canvas_access::make(std::move(node));
}

signature signature::immutable() const {
  canvas_node node = *node_;
  node.immutable = true;
  return canvas_access::make(std::move(node));
}

detail::sent_canvas signature::send(const app& where, const send_options& options,
                                    detail::call_arguments arguments) const {
  detail::check_options(options);
  canvas_node node = *node_;
  set_members(node, options);
  node.drop_option("countdown");
  if (options.eta) node.drop_option("eta");
  if (const std::string* const own = node_->option("countdown"); own != nullptr && !options.countdown && !options.eta) {
    node.set_option("countdown", *own);
  }
  plan_context context;
  context.eta = detail::start_time(options);
  if (!node.immutable) {
    node.args.insert(node.args.begin(), arguments.args.begin(), arguments.args.end());
    if (!arguments.kwargs.empty() && node.kind != canvas_kind::task) {
      throw std::invalid_argument("arguments by name are for one task, not for a " + node.task.substr(7));
    }
    for (auto& [name, json] : arguments.kwargs) {
      std::erase_if(node.kwargs, [&](const auto& member) { return member.first == name; });
      node.kwargs.emplace_back(std::move(name), std::move(json));
    }
  }
  context.id = options.id;
  if (const signature* const callback = options.link.get()) context.callbacks.push_back(callback->json());
  if (const signature* const errback = options.link_error.get()) context.errbacks.push_back(errback->json());
  detail::caller_task caller = detail::calling_task();
  context.root_id = std::move(caller.root_id);
  context.parent_id = std::move(caller.id);
  send_plan plan = plan_signature(canvas_json(node), context, where.options().queue);
  detail::send_all(where, plan);
  return {std::move(plan.id), std::move(plan.ids), plan.is_group, std::move(plan.ignored), std::move(plan.before)};
}

group_signature group(const std::vector<signature>& tasks) {
  return canvas_access::make_group(make_canvas(canvas_kind::group, nodes_of(tasks)));
}

signature operator|(const signature& first, const signature& next) {
  return chain(std::vector<signature>{first, next});
}

signature chain(const std::vector<signature>& tasks) {
  std::vector<canvas_ref> steps;
  for (const signature& task : tasks) add_steps(steps, canvas_access::node(task));
  return canvas_access::make(make_canvas(canvas_kind::chain, std::move(steps)));
}

signature chord(const std::vector<signature>& header, const signature& body) {
  return canvas_access::make(make_canvas(canvas_kind::chord, nodes_of(header), canvas_access::node(body)));
}

}  // namespace tutti::cluster
