#include <tutti/cluster/inside/eager.hpp>
#include <tutti/cluster/inside/send_json.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <stdexcept>

namespace tutti::cluster::detail {
namespace {

const std::string& origin() {
  static const std::string& name = *new std::string("gen" + process_name());  // as that of the host
  return name;
}

double seconds_of(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

app app_for(const send_options& options) { return options.where != nullptr ? *options.where : app::current(); }

void check_options(const send_options& options) {
  if (options.priority && (*options.priority < 0 || *options.priority > 9)) {
    throw std::invalid_argument("priority " + std::to_string(*options.priority) +
                                " is not within 0 to 9 (bigger is sooner)");
  }
  const auto check_limit = [](const auto& limit, const char* what) {
    if (limit && *limit <= std::chrono::nanoseconds::zero()) {
      throw std::invalid_argument(std::string(what) + " is not positive; leave it out for none");
    }
  };
  check_limit(options.time_limit, "time_limit");
  check_limit(options.soft_time_limit, "soft_time_limit");
  if (options.countdown && options.eta) throw std::invalid_argument("both countdown and eta are given: one says when");
}

std::optional<wall_time> start_time(const send_options& options) {
  if (!options.countdown) return options.eta;
  const std::chrono::nanoseconds longest = longest_wait;
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<wall_time::duration>(std::clamp(*options.countdown, -longest, longest));
}

std::string header_json(const extra_header& header) {
  return header.is_json ? json_text(json{std::string(header.value)}) : json_string(header.value);
}

caller_task calling_task() {
  if (!this_call::running()) return {};
  const task_message& caller = this_call::message();
  return {caller.root_id.empty() ? caller.id : caller.root_id, caller.id};
}

task_message make_message(const app& where, std::string_view task, call_arguments arguments,
                          const send_options& options, const task_settings* settings) {
  check_options(options);
  if (task.empty()) throw std::invalid_argument("a task without a name cannot be sent");
  if (settings == nullptr) {
    if (const registered_task* const known = find_task(task)) settings = &known->settings;
  }
  task_message m;
  m.task = task;
  m.id = options.id.empty() ? new_uuid() : std::string(options.id);
  m.args = join_array(arguments.args);
  m.kwargs = join_object(arguments.kwargs);
  if (const signature* const link = options.link.get()) m.callbacks.push_back(link->json());
  if (const signature* const errback = options.link_error.get()) m.errbacks.push_back(errback->json());
  m.queue = where.options().queue;
  if (settings != nullptr) {
    if (!settings->queue.empty()) m.queue = settings->queue;
    m.priority = settings->priority;
    m.ignore_result = settings->ignore_result;
  }
  if (!options.queue.empty()) m.queue = options.queue;
  if (options.priority) m.priority = options.priority;
  if (options.ignore_result) m.ignore_result = true;
  m.eta = start_time(options);
  m.expires = options.expires.from(std::chrono::system_clock::now());
  if (options.time_limit) m.time_limit = seconds_of(*options.time_limit);
  if (options.soft_time_limit) m.soft_time_limit = seconds_of(*options.soft_time_limit);
  for (const extra_header& header : options.headers) m.headers[std::string(header.name)] = header_json(header);
  caller_task caller = calling_task();
  m.root_id = caller.root_id.empty() ? m.id : std::move(caller.root_id);
  m.parent_id = std::move(caller.id);
  m.origin = origin();
  return m;
}

void send_message(const app& where, const task_message& message) {
  if (where.options().eager) {
    send_plan plan;
    plan.messages.push_back(message);
    return run_eagerly(where, plan);
  }
  const outgoing_message out = to_send(message);
  where.tasks()->publish(std::span(&out, 1));
}

void send_all(const app& where, const send_plan& plan) {
  if (where.options().eager) return run_eagerly(where, plan);
  std::vector<outgoing_message> out;
  out.reserve(plan.messages.size());
  for (const task_message& message : plan.messages) out.push_back(to_send(message));  // or none is sent
  for (const auto& [group, size] : plan.chords) where.results()->begin_chord(group, size);
  if (!out.empty()) where.tasks()->publish(out);
}

}  // namespace tutti::cluster::detail
