// redis_link: whether a consumer can reach Redis, for all of its threads.
#pragma once
#include <atomic>
#include <string>
#include <utility>

namespace tutti::cluster::detail {

/// Logs when it changes, once each time. Thread-safe.
class redis_link {
 public:
  /// `name`: of the broker, without its password.
  explicit redis_link(std::string name) : name_(std::move(name)) {}
  void lost(const char* why) noexcept;
  void found() noexcept;
  [[nodiscard]] bool is_up() const noexcept { return state_.load() == state::up; }

 private:
  enum class state : char { untried, up, down };
  const std::string name_;
  std::atomic<state> state_{state::untried};
};

}  // namespace tutti::cluster::detail
