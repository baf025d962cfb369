// prefetch: how many messages a worker should hold beyond those that it runs.
#pragma once
#include <chrono>
#include <cstddef>
#include <optional>

namespace tutti::cluster {

/// As many as keep all slots busy for 20 ms, by how long tasks took lately: none for long tasks, so that others can
/// have them, thousands for tiny ones. For one thread at a time.
class prefetch_size {
 public:
  static constexpr std::size_t most = 4096;
  static constexpr std::chrono::milliseconds busy{20};
  /// What waits longer behind others is better off elsewhere.
  static constexpr std::chrono::milliseconds patience{100};

  /// `fixed`: always so many.
  prefetch_size(std::optional<std::size_t> fixed, std::size_t slots) noexcept : fixed_(fixed), slots_(slots) {}

  [[nodiscard]] bool adapts() const noexcept { return !fixed_; }
  [[nodiscard]] std::size_t get() const noexcept { return fixed_.value_or(extra_); }
  /// A task took so long.
  void took(std::chrono::nanoseconds time) noexcept;
  /// Tasks wait behind others for longer than they should: none are to, until the next one ends.
  void too_many() noexcept;

 private:
  void adapt() noexcept;

  const std::optional<std::size_t> fixed_;
  const std::size_t slots_;
  std::size_t extra_ = 0;
  double mean_ = -1;  // ns, of late; negative: unknown
};

}  // namespace tutti::cluster
