// waking: what the primitives of this module share: ending several waits at once, limits, and the errors of their
// forms.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/core/handed_over.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/time_limit.hpp>

#include <string>

namespace tutti::detail {

/// Under the list's lock: all who are in it have what they waited for.
inline void hand_over_to_all(handed_over& woken, wait_list& list) noexcept {
  while (waiter* const first = list.first()) woken.add(list, *first);
}

/// `semaphore "connections"`.
inline std::string primitive_text(const wait_target& of) { return primitive_text(of.kind, of.name); }

/// Throws `cancelled` for a wait that was stopped.
inline void throw_if_stopped(wait_result result, const wait_target& by, const char* what, const place& here) {
  if (result != wait_result::stopped) return;
  throw cancelled(primitive_text(by) + ": " + what + " at " + to_string(here) + " was stopped while it waited");
}

}  // namespace tutti::detail
