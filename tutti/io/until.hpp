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
  explicit until(time_limit limit) noexcept : limit_(limit), at_(tutti::detail::time_after(limit)) {}
  /// What is left of it, for a wait that tells all of it when it is over; zero when it has passed.
  time_limit left() const noexcept {
    if (limit_ == no_limit) return no_limit;
    return {std::max<std::chrono::nanoseconds>(at_ - now(), std::chrono::nanoseconds(0)), limit_.told()};
  }
  /// All of it.
  time_limit limit() const noexcept { return limit_; }

 private:
  time_limit limit_;
  std::chrono::steady_clock::time_point at_;
};

}  // namespace tutti::io::detail
