// redis_listeners: those who hear broadcasts and answers through Redis.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_subscription.hpp>
#include <utility>

namespace tutti::cluster::detail {

/// Hears a channel of kombu's fanout.
class redis_fanout_listener final : public listener {
 public:
  /// Subscribed when this returns. Throws broker_error when that takes longer than the broker's patience.
  redis_fanout_listener(const broker_url& where, const broker_options& options, const std::string& channel);
  [[nodiscard]] std::optional<std::string> receive(std::chrono::nanoseconds patience) override;
  void wake() noexcept override { wake_.set(); }
  [[nodiscard]] bool has_missed() noexcept override { return std::exchange(has_subscribed_, false); }

 private:
  using clock = std::chrono::steady_clock;
  std::optional<std::string> hear(clock::time_point until);

  const std::string pattern_;
  redis_subscription line_;
  bool has_subscribed_ = false;  // since that was last asked
  std::string why_;              // it was lost
  redis_wake wake_;
  redis_backoff backoff_;
};

/// Takes from the list of answers to one routing key, which is bound for as long as this lives.
class redis_answer_listener final : public listener {
 public:
  /// Throws broker_error when the broker cannot be reached.
  redis_answer_listener(std::shared_ptr<redis_clients> clients, std::string routing_key);
  ~redis_answer_listener() override;
  [[nodiscard]] std::optional<std::string> receive(std::chrono::nanoseconds patience) override;
  void wake() noexcept override { wake_.set(); }

 private:
  void bind();

  const std::shared_ptr<redis_clients> clients_;
  const std::string routing_key_, queue_;
  redis_connection line_;  // on which one BRPOP waits, when `asked_`
  bool asked_ = false;
  redis_wake wake_;
  redis_backoff backoff_;
};

}  // namespace tutti::cluster::detail
