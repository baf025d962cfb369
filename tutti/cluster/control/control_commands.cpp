// control_commands: Celery's commands, by name.
#include <tutti/cluster/control/control_commands.hpp>

#include <tutti/base/log.hpp>
#include <tutti/cluster/control/control_show.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>
#include <stdexcept>

namespace tutti::cluster {
namespace {

std::string ok(std::string_view text) { return join_object({{"ok", json_string(text)}}); }
std::string wrong(std::string_view text) { return join_object({{"error", json_string(text)}}); }

// One text, or a list of them.
std::vector<std::string> texts_in(const std::string& json, std::string_view name) {
  if (json == "null") return {};
  if (const auto one = string_in(json)) return {*one};
  if (!json.starts_with('[')) throw std::invalid_argument(fmt::format("\"{}\" is no text and no list of texts", name));
  std::vector<std::string> found;
  for (const std::string& part : array_parts(json)) {
    const auto text = string_in(part);
    if (!text) throw std::invalid_argument(fmt::format("\"{}\" has a member that is no text", name));
    found.push_back(*text);
  }
  return found;
}

std::string text_argument(const json_members& arguments, std::string_view name) {
  const std::string json = member_of(arguments, name);
  const auto text = string_in(json);
  if (!text) throw std::invalid_argument(fmt::format("\"{}\" is missing, or no text", name));
  return *text;
}

std::string three_numbers(const double (&numbers)[3]) {
  std::vector<std::string> texts;
  for (const double number : numbers)
    texts.push_back(json_number(static_cast<double>(std::lround(number * 100)) / 100));
  return join_array(texts);
}

}  // namespace

const std::map<std::string, control_commands::command, std::less<>>& control_commands::all() {
  using self = control_commands;
  using table = std::map<std::string, command, std::less<>>;
  static const table& commands = *new table{
      // a worker may end later than main
      {"ping", &self::ping},
      {"stats", &self::stats},
      {"active", &self::active},
      {"dump_active", &self::active},
      {"reserved", &self::reserved},
      {"dump_reserved", &self::reserved},
      {"scheduled", &self::scheduled},
      {"dump_schedule", &self::scheduled},
      {"revoked", &self::revoked},
      {"dump_revoked", &self::revoked},
      {"registered", &self::registered},
      {"dump_tasks", &self::registered},
      {"active_queues", &self::active_queues},
      {"query_task", &self::query_task},
      {"report", &self::report},
      {"revoke", &self::revoke},
      {"terminate", &self::terminate},
      {"rate_limit", &self::rate_limit},
      {"shutdown", &self::shutdown},
      {"enable_events", &self::enable_events},
      {"disable_events", &self::disable_events},
      {"heartbeat", &self::heartbeat},
      {"conf", &self::conf},
      {"dump_conf", &self::conf},
      {"clock", &self::clock},
      {"hello", &self::hello},
  };
  return commands;
}

control_commands::control_commands(std::string hostname, control_target& worker, event_sender& events,
                                   std::string broker)
    : hostname_(std::move(hostname)), worker_(worker), events_(events), broker_(std::move(broker)) {}

std::vector<std::string> control_commands::names() {
  std::vector<std::string> found;
  for (const auto& [name, unused] : all()) found.push_back(name);
  return found;
}

std::string control_commands::run(std::string_view name, const json_members& arguments) {
  const auto found = all().find(name);
  if (found == all().end()) {
    return wrong(fmt::format("unknown command \"{}\"; known: {}", name, fmt::join(names(), ", ")));
  }
  try {
    return (this->*found->second)(arguments);
  } catch (const std::exception& failed) {
    log(log_level::debug, "a remote command failed", {{"command", name}, {"why", failed.what()}});
    return wrong(failed.what());
  }
}

void control_commands::tell(std::string_view type, double every) {
  const worker_numbers numbers = worker_.numbers();
  std::uint64_t processed = 0;
  for (const auto& [task, count] : numbers.total) processed += count;
  double load[3] = {};
  if (::getloadavg(load, 3) != 3) std::fill(std::begin(load), std::end(load), 0.0);
  events_.send(type, {{"freq", json_number(every)},
                      {"active", std::to_string(worker_.active().size())},
                      {"processed", std::to_string(processed)},
                      {"loadavg", three_numbers(load)},
                      {"sw_ident", "\"tutti\""},
                      {"sw_ver", json_string(TUTTI_VERSION)},
                      {"sw_sys", json_string(system_name())}});
}

std::string control_commands::ping(const json_members&) { return ok("pong"); }

std::string control_commands::stats(const json_members&) { return show_stats(worker_.numbers(), broker_); }

std::string control_commands::active(const json_members&) {
  std::vector<std::string> shown;
  for (const shown_task& task : worker_.active()) shown.push_back(show_task(task, hostname_));
  return join_array(shown);
}

std::string control_commands::reserved(const json_members&) {
  std::vector<std::string> shown;
  for (const shown_task& task : worker_.reserved()) shown.push_back(show_task(task, hostname_));
  return join_array(shown);
}

// Tasks that are not due wait at the broker, not here.
std::string control_commands::scheduled(const json_members&) { return "[]"; }

std::string control_commands::revoked(const json_members&) {
  std::vector<std::string> shown;
  for (const std::string& id : worker_.revoked()) shown.push_back(json_string(id));
  return join_array(shown);
}

std::string control_commands::registered(const json_members& arguments) {
  std::vector<std::string> items = texts_in(member_of(arguments, "taskinfoitems"), "taskinfoitems");
  if (items.empty()) items = {"rate_limit"};
  std::vector<std::string> shown;
  for (const registered_task* task : registered_tasks()) {
    const auto rate = rates_.find(task->settings.name);
    shown.push_back(
        json_string(show_registered(*task, items, rate == rates_.end() ? task->settings.rate_limit : rate->second)));
  }
  return join_array(shown);
}

std::string control_commands::active_queues(const json_members&) {
  std::vector<std::string> shown;
  for (const std::string& queue : worker_.queues()) shown.push_back(show_queue(queue));
  return join_array(shown);
}

std::string control_commands::query_task(const json_members& arguments) {
  const std::vector<std::string> ids = texts_in(member_of(arguments, "ids"), "ids");
  json_members found;
  const auto look = [&](const std::vector<shown_task>& tasks, const char* state) {
    for (const shown_task& task : tasks) {
      if (std::find(ids.begin(), ids.end(), task.message.id) == ids.end()) continue;
      if (member_of(found, task.message.id) != "null") continue;  // it began meanwhile
      found.emplace_back(task.message.id, join_array({json_string(state), show_task(task, hostname_)}));
    }
  };
  // In the order in which tasks move on, backwards: one that begins meanwhile is seen twice, not missed.
  const std::vector<shown_task> waiting = worker_.reserved();
  look(worker_.active(), "active");
  look(waiting, "reserved");
  return join_object(found);
}

std::string control_commands::report(const json_members&) { return ok(show_report(worker_.numbers(), broker_)); }

std::string control_commands::revoke_these(const std::vector<std::string>& ids, bool terminate,
                                           const std::string& signal) {
  if (!terminate) {
    worker_.revoke(ids, false, signal);
    log(log_level::info, "tasks were revoked", {{"ids", fmt::format("{}", fmt::join(ids, ", "))}});
    return ok(fmt::format("tasks {} flagged as revoked", fmt::join(ids, ", ")));
  }
  std::vector<std::string> known;
  const auto look = [&](const std::vector<shown_task>& tasks) {
    for (const shown_task& task : tasks) {
      const std::string& id = task.message.id;
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) continue;
      if (std::find(known.begin(), known.end(), id) == known.end()) known.push_back(id);
    }
  };
  look(worker_.reserved());
  look(worker_.active());
  worker_.revoke(ids, true, signal);
  log(log_level::info, "tasks were terminated", {{"ids", fmt::format("{}", fmt::join(ids, ", "))}});
  return ok(known.empty() ? "terminate: tasks unknown" : fmt::format("terminate: {}", fmt::join(known, ", ")));
}

std::string control_commands::revoke(const json_members& arguments) {
  const std::string signal = member_of(arguments, "signal");
  const std::string terminate = member_of(arguments, "terminate");
  return revoke_these(texts_in(member_of(arguments, "task_id"), "task_id"), terminate == "true" || terminate == "1",
                      string_in(signal).value_or("SIGTERM"));
}

std::string control_commands::terminate(const json_members& arguments) {
  return revoke_these(texts_in(member_of(arguments, "task_id"), "task_id"), true, text_argument(arguments, "signal"));
}

std::string control_commands::rate_limit(const json_members& arguments) {
  const std::string task = text_argument(arguments, "task_name");
  const std::string json = member_of(arguments, "rate_limit");
  const bool is_missing = std::none_of(arguments.begin(), arguments.end(),
                                       [](const auto& argument) { return argument.first == "rate_limit"; });
  if (is_missing) throw std::invalid_argument("\"rate_limit\" is missing");
  const std::string rate = json == "null" ? "" : string_in(json).value_or(json);  // Python allows numbers too
  try {
    if (!worker_.rate_limit(task, rate)) return wrong("unknown task");
  } catch (const std::invalid_argument& bad) {
    return wrong(fmt::format("Invalid rate limit string: {}", bad.what()));
  }
  rates_[task] = rate;
  return ok(rate.empty() || rate == "0" ? "rate limit disabled successfully" : "new rate limit set successfully");
}

std::string control_commands::shutdown(const json_members&) {
  log(log_level::warn, "told from afar to shut down", {{"worker", hostname_}});
  worker_.shutdown(true);
  return ok("shutting down");
}

std::string control_commands::enable_events(const json_members&) {
  if (events_.enabled()) return ok("task events already enabled");
  worker_.enable_events(true);
  return ok("task events enabled");
}

std::string control_commands::disable_events(const json_members&) {
  if (!events_.enabled()) return ok("task events already disabled");
  worker_.enable_events(false);
  return ok("task events disabled");
}

std::string control_commands::heartbeat(const json_members&) {
  tell("worker-heartbeat", 5);
  return "null";
}

// What a person needs to know, by Celery's names; nothing that is secret.
std::string control_commands::conf(const json_members&) {
  const worker_numbers numbers = worker_.numbers();
  return join_object({{"broker_url", json_string(broker_)},
                      {"worker_concurrency", std::to_string(numbers.concurrency)},
                      {"worker_pool", json_string(numbers.pool)},
                      {"task_acks_late", "true"},
                      {"accept_content", "[\"json\"]"}});
}

std::string control_commands::clock(const json_members&) {
  return join_object({{"clock", std::to_string(control_clock::now())}});
}

// A worker of Celery's begins: it tells what it knows to be revoked, and wants to know what we know. What both know is
// not news: it would be kept as if it had been revoked now, for ever.
std::string control_commands::hello(const json_members& arguments) {
  if (string_in(member_of(arguments, "from_node")) == hostname_) return "null";
  if (const std::string revoked = member_of(arguments, "revoked"); revoked.starts_with('{')) {
    std::vector<std::string> ids;
    const std::vector<std::string> known = worker_.revoked();
    const std::set<std::string_view> old(known.begin(), known.end());
    for (const auto& [id, when] : object_parts(revoked)) {
      if (!old.contains(id)) ids.push_back(id);
    }
    if (!ids.empty()) worker_.revoke(ids, false, "SIGTERM");
  }
  // Celery wants the moment on the monotonic clock, and a number with a point.
  const std::string now =
      json_number(std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count());
  json_members known;
  for (const std::string& id : worker_.revoked()) known.emplace_back(id, join_array({now, json_string(id)}));
  return join_object({{"revoked", join_object(known)}, {"clock", std::to_string(control_clock::forward())}});
}

}  // namespace tutti::cluster
