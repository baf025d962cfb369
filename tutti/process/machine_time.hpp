// machine_time: limits on the machine's clock, which all processes share, unlike a virtual one.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tutti::detail {

/// For poll: milliseconds until then, rounded up, 0 when it has passed; -1 for max(): no limit.
[[nodiscard]] inline int milliseconds_until(std::chrono::steady_clock::time_point deadline) noexcept {
  if (deadline == std::chrono::steady_clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000));
}

}  // namespace tutti::detail
