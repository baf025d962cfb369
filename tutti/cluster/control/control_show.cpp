// control_show: JSON of a worker's parts.
#include <tutti/cluster/control/control_show.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/url.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace tutti::cluster {
namespace {

constexpr std::size_t most_shown = 16 * 1024;  // of arguments; longer ones are cut, for people

std::string boolean(bool value) { return value ? "true" : "false"; }

std::string or_null(const std::string& text) { return text.empty() ? "null" : json_string(text); }

std::string arguments(const std::string& json) {
  return json.size() <= most_shown ? json : json_string(python_repr(json));
}

std::string show_broker(const std::string& text) {
  broker_url url;
  try {
    url = broker_url::parse(text);
  } catch (const bad_spec&) {
    return "{}";
  }
  const bool redis = url.scheme == "redis";
  return join_object({{"hostname", redis ? json_string(url.host) : "null"},
                      {"userid", or_null(url.user)},
                      {"virtual_host", json_string(redis ? std::to_string(url.database) : url.path)},
                      {"port", redis ? std::to_string(url.port) : "null"},
                      {"insist", "false"},
                      {"ssl", "false"},
                      {"transport", json_string(url.scheme)},
                      {"transport_options", "{}"},
                      {"login_method", "null"},
                      {"uri_prefix", "null"},
                      {"alternates", "[]"}});
}

std::string show_usage() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return json_number(static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6);
  };
  const auto count = [](long value) { return std::to_string(value); };
  return join_object({{"utime", seconds(used.ru_utime)},
                      {"stime", seconds(used.ru_stime)},
                      {"maxrss", count(used.ru_maxrss)},
                      {"ixrss", count(used.ru_ixrss)},
                      {"idrss", count(used.ru_idrss)},
                      {"isrss", count(used.ru_isrss)},
                      {"minflt", count(used.ru_minflt)},
                      {"majflt", count(used.ru_majflt)},
                      {"nswap", count(used.ru_nswap)},
                      {"inblock", count(used.ru_inblock)},
                      {"oublock", count(used.ru_oublock)},
                      {"msgsnd", count(used.ru_msgsnd)},
                      {"msgrcv", count(used.ru_msgrcv)},
                      {"nsignals", count(used.ru_nsignals)},
                      {"nvcsw", count(used.ru_nvcsw)},
                      {"nivcsw", count(used.ru_nivcsw)}});
}

std::string seconds_text(const std::optional<std::chrono::nanoseconds>& time) {
  return time ? fmt::format("{}", std::chrono::duration<double>(*time).count()) : "";
}

// An attribute as Python's str() has it; empty for one that is None or that we do not know.
std::string attribute(const task_settings& task, const std::string& item, const std::string& rate) {
  const auto python = [](bool value) { return value ? "True" : "False"; };
  if (item == "rate_limit") return rate == "0" ? "" : rate;
  if (item == "queue") return task.queue;
  if (item == "name") return task.name;
  if (item == "max_retries") return task.max_retries ? std::to_string(*task.max_retries) : "";
  if (item == "default_retry_delay") return seconds_text(task.retry_delay);
  if (item == "time_limit") return seconds_text(task.time_limit);
  if (item == "soft_time_limit") return seconds_text(task.soft_time_limit);
  if (item == "priority") return task.priority ? std::to_string(*task.priority) : "";
  if (item == "acks_late") return python(task.acknowledge == ack::late);
  if (item == "ignore_result") return python(task.ignore_result);
  if (item == "track_started") return python(task.track_started);
  return {};
}

}  // namespace

std::string show_task(const shown_task& task, const std::string& hostname) {
  const task_message& message = task.message;
  const std::string delivery_info =
      join_object({{"exchange", "\"\""},
                   {"routing_key", json_string(message.queue)},
                   {"priority", std::to_string(message.priority ? 9 - *message.priority : 0)},
                   {"redelivered", message.redelivered ? "true" : "null"}});
  return join_object({{"id", json_string(message.id)},
                      {"name", json_string(message.task)},
                      {"args", arguments(message.args)},
                      {"kwargs", arguments(message.kwargs)},
                      {"type", json_string(message.task)},
                      {"hostname", json_string(hostname)},
                      {"time_start", task.started ? json_number(unix_seconds(*task.started)) : "null"},
                      {"acknowledged", boolean(task.acknowledged)},
                      {"delivery_info", delivery_info},
                      {"worker_pid", task.pid == 0 ? "null" : std::to_string(task.pid)}});
}

std::string show_queue(const std::string& name) {
  const std::string exchange = join_object({{"name", json_string(name)},
                                            {"type", "\"direct\""},
                                            {"arguments", "null"},
                                            {"durable", "true"},
                                            {"passive", "false"},
                                            {"auto_delete", "false"},
                                            {"delivery_mode", "null"},
                                            {"no_declare", "false"}});
  return join_object({{"name", json_string(name)},
                      {"exchange", exchange},
                      {"routing_key", json_string(name)},
                      {"queue_arguments", "null"},
                      {"binding_arguments", "null"},
                      {"consumer_arguments", "null"},
                      {"durable", "true"},
                      {"exclusive", "false"},
                      {"auto_delete", "false"},
                      {"no_ack", "false"},
                      {"alias", "null"},
                      {"bindings", "[]"},
                      {"no_declare", "null"},
                      {"expires", "null"},
                      {"message_ttl", "null"},
                      {"max_length", "null"},
                      {"max_length_bytes", "null"},
                      {"max_priority", "null"}});
}

std::string show_stats(const worker_numbers& numbers, const std::string& broker) {
  json_members total;
  for (const auto& [task, count] : numbers.total) total.emplace_back(task, std::to_string(count));
  std::vector<std::string> pids;
  pids.reserve(numbers.pids.size());
  for (const int pid : numbers.pids) pids.push_back(std::to_string(pid));
  const std::uint64_t most_tasks = numbers.max_tasks_per_child;
  const std::string pool =
      join_object({{"implementation", json_string("tutti:" + numbers.pool)},
                   {"max-concurrency", std::to_string(numbers.concurrency)},
                   {"processes", join_array(pids)},
                   {"max-tasks-per-child", most_tasks == 0 ? "\"N/A\"" : std::to_string(most_tasks)},
                   {"put-guarded-by-semaphore", "false"},
                   {"timeouts", "[0,0]"}});
  const auto up = std::chrono::steady_clock::now() - numbers.since;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(up).count();
  return join_object({{"total", join_object(total)},
                      {"pid", std::to_string(::getpid())},
                      {"clock", json_string(std::to_string(control_clock::now()))},
                      {"uptime", std::to_string(seconds)},
                      {"pool", pool},
                      {"broker", show_broker(broker)},
                      {"prefetch_count", std::to_string(numbers.prefetch)},
                      {"rusage", show_usage()}});
}

std::string show_registered(const registered_task& task, const std::vector<std::string>& items,
                            const std::string& rate) {
  std::vector<std::string> said;
  for (const std::string& item : items) {
    if (const std::string value = attribute(task.settings, item, rate); !value.empty())
      said.push_back(item + '=' + value);
  }
  return said.empty() ? task.settings.name : fmt::format("{} [{}]", task.settings.name, fmt::join(said, " "));
}

std::string show_report(const worker_numbers& numbers, const std::string& broker) {
  utsname system{};
  ::uname(&system);
  return fmt::format(
      "\nsoftware -> tutti:{} c++:{}\nplatform -> system:{} machine:{}\n            kernel version:{}\n"
      "settings -> broker:{} pool:{} concurrency:{}\n",
      TUTTI_VERSION, __VERSION__, system.sysname, system.machine, system.release, broker, numbers.pool,
      numbers.concurrency);
}

std::string system_name() {
  utsname system{};
  ::uname(&system);
  return system.sysname;
}

}  // namespace tutti::cluster
