// control_client: broadcasts commands, and collects what comes back.
#include <tutti/cluster/control_client.hpp>

#include <tutti/base/log.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>

namespace tutti::cluster {
namespace {

constexpr std::string_view exchange = "celery.pidbox";
constexpr std::string_view reply_exchange = "reply.celery.pidbox";

// `more`: members that a question has besides.
void send(const app& where, const std::string& command, const std::string& arguments,
          const std::vector<std::string>& workers, const json_members& more, double expires) {
  std::vector<std::string> names;
  names.reserve(workers.size());
  for (const std::string& worker : workers) names.push_back(json_string(worker));
  (void)object_parts(arguments);  // who asks for nonsense hears of it here
  json_members message = {{"method", json_string(command)},
                          {"arguments", arguments},
                          {"destination", names.empty() ? "null" : join_array(names)},
                          {"pattern", "null"},
                          {"matcher", "null"}};
  message.insert(message.end(), more.begin(), more.end());
  const json_members headers = {{"clock", std::to_string(control_clock::forward())}, {"expires", json_number(expires)}};
  where.tasks()->broadcast(std::string(exchange), wrap_control(join_object(message), headers, exchange, ""));
}

}  // namespace

std::map<std::string, std::string> ask_workers(const app& where, const std::string& command,
                                               const std::string& arguments, const std::vector<std::string>& workers,
                                               std::chrono::milliseconds patience) {
  using clock = std::chrono::steady_clock;
  const std::string key = new_uuid();
  const std::string ticket = json_string(new_uuid());
  const std::unique_ptr<listener> answers = where.tasks()->answers(key);
  const std::string reply_to =
      join_object({{"exchange", json_string(reply_exchange)}, {"routing_key", json_string(key)}});
  send(where, command, arguments, workers, {{"ticket", ticket}, {"reply_to", reply_to}},
       unix_seconds(std::chrono::system_clock::now() + patience));

  std::map<std::string, std::string> found;
  const auto all_said = [&] {
    return !workers.empty() &&
           std::all_of(workers.begin(), workers.end(), [&](const std::string& name) { return found.contains(name); });
  };
  const clock::time_point end = clock::now() + patience;
  while (!all_said()) {
    const auto left = end - clock::now();
    if (left <= clock::duration::zero()) break;
    const auto text = answers->receive(left);
    if (!text) continue;
    try {
      const control_envelope envelope = unwrap_control(*text);
      const std::string named = member_of(envelope.headers, "ticket");
      if (named != "null" && named != ticket) continue;
      for (const auto& [worker, answer] : object_parts(envelope.body)) found.insert_or_assign(worker, answer);
    } catch (const std::exception& bad) {
      log(log_level::debug, "an answer of a worker was ignored", {{"why", bad.what()}});
    }
  }
  return found;
}

void tell_workers(const app& where, const std::string& command, const std::string& arguments,
                  const std::vector<std::string>& workers) {
  send(where, command, arguments, workers, {}, 0);
}

}  // namespace tutti::cluster
