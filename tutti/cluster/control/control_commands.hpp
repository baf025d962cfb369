// control_commands: what a worker answers to Celery's remote control.
#pragma once
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/control/control_target.hpp>
#include <tutti/cluster/control/event_sender.hpp>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// The commands of one worker. For one thread.
class control_commands {
 public:
  /// `broker`: broker::name().
  control_commands(std::string hostname, control_target& worker, event_sender& events, std::string broker);

  /// Carries a command out; `arguments` are the members of a JSON object. Gives the answer as JSON: what Celery's own
  /// workers answer; an object with "error" for what goes wrong, and for commands that nobody knows.
  [[nodiscard]] std::string run(std::string_view name, const json_members& arguments);
  /// Sends "worker-online", "-heartbeat" or "-offline" with the worker's load.
  void tell(std::string_view type, double every);

  /// The names of all commands.
  [[nodiscard]] static std::vector<std::string> names();

 private:
  using command = std::string (control_commands::*)(const json_members& arguments);
  static const std::map<std::string, command, std::less<>>& all();

  std::string ping(const json_members& arguments);
  std::string stats(const json_members& arguments);
  std::string active(const json_members& arguments);
  std::string reserved(const json_members& arguments);
  std::string scheduled(const json_members& arguments);
  std::string revoked(const json_members& arguments);
  std::string registered(const json_members& arguments);
  std::string active_queues(const json_members& arguments);
  std::string query_task(const json_members& arguments);
  std::string report(const json_members& arguments);
  std::string revoke(const json_members& arguments);
  std::string terminate(const json_members& arguments);
  std::string rate_limit(const json_members& arguments);
  std::string shutdown(const json_members& arguments);
  std::string enable_events(const json_members& arguments);
  std::string disable_events(const json_members& arguments);
  std::string heartbeat(const json_members& arguments);
  std::string conf(const json_members& arguments);
  std::string clock(const json_members& arguments);
  std::string hello(const json_members& arguments);
  std::string revoke_these(const std::vector<std::string>& ids, bool terminate, const std::string& signal);

  std::string hostname_;
  control_target& worker_;
  event_sender& events_;
  std::string broker_;
  std::map<std::string, std::string> rates_;  // that were set from afar
};

}  // namespace tutti::cluster
