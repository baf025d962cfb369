// rate_limits: when a task may begin, of those that may not be run as often as they come.
#pragma once
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::cluster {

/// The time between two tasks at a rate like "10/s", "100/m", "1/h" or "5" (a second); nothing for "" and "0": no
/// limit. Throws std::invalid_argument.
[[nodiscard]] std::optional<std::chrono::nanoseconds> parse_rate(std::string_view rate);

/// A token for each task that is limited, one at a time: tasks that come at once begin evenly. Thread-safe.
class rate_limits {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Replaces what a task's own settings say. Throws std::invalid_argument.
  void set(const std::string& task, std::string_view rate);
  struct turn {
    time_point begin;  ///< not before
    bool is_taken;     ///< it has its token; else it has to ask again
  };
  /// When a task whose own limit is `rate` may begin: `now` when it is not limited. Its token is taken unless that is
  /// more than `most_ahead` from now.
  [[nodiscard]] turn take(const std::string& task, const std::string& rate, time_point now,
                          std::chrono::nanoseconds most_ahead);

 private:
  struct bucket {
    std::optional<std::chrono::nanoseconds> apart;
    time_point free{};  // the next token's moment
  };
  std::mutex mutex_;
  std::map<std::string, bucket> buckets_;
};

}  // namespace tutti::cluster
