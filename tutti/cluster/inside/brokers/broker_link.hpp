// broker_link: whether a consumer can reach its broker, for all of its threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace tutti::cluster::detail {

/// What a consumer does, each on a line of its own: one that is up says nothing of the others.
enum class broker_line : std::uint8_t { receiving = 1, settling = 2, keeping = 4 };

/// Up when one line was found and none is lost. Logs when that changes, once each time. Thread-safe.
class broker_link {
 public:
  /// `name`: of the broker, without its password.
  explicit broker_link(std::string name) : name_(std::move(name)) {}
  void lost(broker_line which, const char* why) noexcept;
  void found(broker_line which) noexcept;
  [[nodiscard]] bool is_up() const noexcept { return state_.load() == tried; }

 private:
  static constexpr std::uint8_t tried = 8;
  const std::string name_;
  std::atomic<std::uint8_t> state_{0};  // the lines that are lost, and `tried`
};

}  // namespace tutti::cluster::detail
