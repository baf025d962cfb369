// until: one time limit over several waits.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/io/io_wait.hpp>

#include <algorithm>
#include <chrono>

namespace tutti::io::detail {

/// A moment, `limit` from now on tutti's clock, or none.
class until {
 public:
  explicit until(std::chrono::nanoseconds limit) noexcept : limit_(limit), at_(tutti::detail::time_after(limit)) {}
  /// What is left of it, for a wait that tells all of it when it is over; zero when it has passed.
  wait_limit left() const noexcept {
    if (limit_ == no_limit) return no_limit;
    return {std::max<std::chrono::nanoseconds>(at_ - now(), std::chrono::nanoseconds(0)), limit_};
  }
  /// All of it.
  std::chrono::nanoseconds limit() const noexcept { return limit_; }

 private:
  std::chrono::nanoseconds limit_;
  std::chrono::steady_clock::time_point at_;
};

}  // namespace tutti::io::detail
