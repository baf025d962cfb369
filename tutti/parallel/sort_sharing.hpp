// sort_sharing: when a sort forks, and when a fork of it may wake somebody.
#pragma once
#include <tutti/core/scheduler.hpp>
#include <tutti/parallel/loop.hpp>

#include <chrono>
#include <cstddef>

namespace tutti::detail {

/// Of one sort; begins with it.
class sort_sharing {
 public:
  static constexpr std::ptrdiff_t least_to_fork = 256;  // a fork costs 2 ns

  /// Asked at a fork of `n` elements, when somebody wants work. What is offered is the oldest fork, the largest.
  bool worth_offering(const worker* w, std::ptrdiff_t n) const noexcept {
    return n >= takes_long || w->pool->anyone_searching() ||
           std::chrono::steady_clock::now() - begin_ >= worth_a_wake_up;
  }

 private:
  static constexpr std::ptrdiff_t takes_long = 4096;  // 40 us or more, however cheap elements are

  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace tutti::detail
