// time_limit: how long a wait may take, as callers say it and as waits want it.
#pragma once
#include <tutti/core/timers.hpp>

#include <chrono>
#include <optional>

namespace tutti::detail {

/// A limit from now on, as wait_how takes it.
class time_limit {
 public:
  explicit time_limit(std::chrono::nanoseconds limit) noexcept : at_(time_after(limit)) {}
  /// Null for one that never comes.
  const std::chrono::steady_clock::time_point* deadline() const noexcept {
    return at_ == std::chrono::steady_clock::time_point::max() ? nullptr : &at_;
  }

 private:
  std::chrono::steady_clock::time_point at_;
};

/// The same as async_wait takes it.
inline std::optional<std::chrono::nanoseconds> unless_endless(std::chrono::nanoseconds limit) noexcept {
  if (limit == std::chrono::nanoseconds::max()) return std::nullopt;
  return limit;
}

}  // namespace tutti::detail
