// redis_subscription: a connection that hears what is published.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>
#include <tutti/cluster/inside/brokers/redis_wake.hpp>

namespace tutti::cluster::detail {

/// What was heard.
struct redis_heard {
  enum class kind : char { message, subscribed, other };
  kind what = kind::other;
  std::string channel;  ///< or the pattern that was subscribed
  std::string text;
};

/// For one thread at a time. A line that is silent for long is asked whether it lives.
class redis_subscription {
 public:
  redis_subscription(const broker_url& where, std::chrono::milliseconds patience);

  /// Throws redis_lost, or broker_error when Redis refuses.
  void open();
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return line_.is_open(); }
  /// SUBSCRIBE and the like, which is answered by what is heard.
  void send(const redis_request& request) { line_.send(request); }
  /// The next that is here already. Throws redis_lost, or broker_error when Redis refuses.
  std::optional<redis_heard> hear_now();
  /// Waits until there may be something, `wake` comes or the time is up; false then. Throws redis_lost.
  bool wait(redis_wake& wake, std::chrono::steady_clock::time_point until);

 private:
  using clock = std::chrono::steady_clock;
  const broker_url where_;
  redis_connection line_;
  const std::chrono::milliseconds patience_;
  clock::time_point heard_{};  // the last sign of life
  bool asked_ = false;         // for one
};

}  // namespace tutti::cluster::detail
