// until: one time limit over several waits.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/io/io_wait.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace tutti::io::detail {

/// A moment, `limit` from now on tutti's clock, or none.
class until {
 public:
  explicit until(std::chrono::nanoseconds limit) noexcept : limit_(limit), at_(tutti::detail::time_after(limit)) {}
  /// What is left of it: no_limit, or zero when it has passed. All of it the first time: what is told of it then is
  /// what the caller has said.
  std::chrono::nanoseconds left() noexcept {
    if (limit_ == no_limit || !std::exchange(begun_, true)) return limit_;
    return std::max<std::chrono::nanoseconds>(at_ - now(), std::chrono::nanoseconds(0));
  }
  /// All of it, as it was given.
  std::chrono::nanoseconds limit() const noexcept { return limit_; }

 private:
  std::chrono::nanoseconds limit_;
  std::chrono::steady_clock::time_point at_;
  bool begun_ = false;
};

}  // namespace tutti::io::detail
