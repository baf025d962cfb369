// redis_wake: how a thread that waits for Redis is told of something else.
#pragma once
#include <poll.h>

#include <atomic>
#include <chrono>
#include <tutti/base/unique_fd.hpp>
#include <vector>

namespace tutti::cluster::detail {

/// A flag that ends a poll. set() for any thread, the rest for the one that waits.
class redis_wake {
 public:
  /// Throws os_error.
  redis_wake();
  /// Ends the wait, or the next one; take() is true then, once.
  void set() noexcept;
  /// Ends the wait only.
  void nudge() noexcept;
  [[nodiscard]] bool take() noexcept { return set_.exchange(false); }
  /// Waits until one of `fds`, to which it adds itself, is ready, or the time is up; false then. Forgets nudges.
  bool wait(std::vector<::pollfd>& fds, std::chrono::steady_clock::time_point until);
  /// The same with none.
  bool wait(std::chrono::steady_clock::time_point until);

 private:
  unique_fd fd_;
  std::atomic<bool> set_{false};
};

/// `now + patience`, which may be as long as it can be.
[[nodiscard]] std::chrono::steady_clock::time_point redis_deadline(std::chrono::nanoseconds patience) noexcept;

}  // namespace tutti::cluster::detail
