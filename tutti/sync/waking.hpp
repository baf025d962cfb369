// waking: what the primitives of this module share: ending several waits at once, limits, and the errors of their
// forms.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/core/handed_over.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/timers.hpp>

#include <string>

namespace tutti::detail {

/// Under the list's lock: all who are in it have what they waited for.
inline void hand_over_to_all(handed_over& woken, wait_list& list) noexcept {
  while (waiter* const first = list.first()) woken.add(list, *first);
}

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

/// `semaphore "connections"`.
inline std::string primitive_text(const wait_target& of) { return primitive_text(of.kind, of.name); }

/// Throws `cancelled` for a wait that was stopped.
inline void throw_if_stopped(wait_result result, const wait_target& by, const char* what, const place& here) {
  if (result != wait_result::stopped) return;
  throw cancelled(primitive_text(by) + ": " + what + " at " + to_string(here) + " was stopped while it waited");
}

}  // namespace tutti::detail
