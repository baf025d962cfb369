// redis_watch: hears of results through Redis, and asks for those that were there before.
#pragma once
#include <chrono>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_subscription.hpp>
#include <tutti/cluster/result_store.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tutti::cluster::detail {

/// Key and channel of a task's result.
[[nodiscard]] std::string result_key(std::string_view id);

/// Adds `command` with all these keys: as many commands as it takes to keep nobody waiting for long.
void add_result_keys(redis_request& request, std::string_view command, std::span<const std::string> ids);

/// See result_watch. Both connections belong to the thread in next(), which does what add() and remove() ask for. A
/// result is asked for when its subscription is confirmed: what was stored before is found then, and what is stored
/// later is heard.
class redis_watch final : public result_watch {
 public:
  redis_watch(const broker_url& where, const broker_options& options);

  void add(std::span<const std::string> ids) override;
  void remove(std::span<const std::string> ids) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> next(std::chrono::nanoseconds patience) override;
  void wake() noexcept override { wake_.set(); }

 private:
  using found = std::vector<std::pair<std::string, std::string>>;
  void subscribe();
  void hear(found& results);
  void ask(found& results);

  const std::string name_;

  std::mutex mutex_;
  std::unordered_set<std::string> wanted_;
  std::vector<std::string> added_, removed_;  // since subscribe() has looked; ids may be in both, and in vain

  redis_wake wake_;
  redis_subscription line_;
  redis_connection asking_;
  std::deque<std::string> confirmed_;  // to be asked for
  bool refused_ = false;               // since results were last found, and said so
  redis_backoff backoff_;
};

}  // namespace tutti::cluster::detail
