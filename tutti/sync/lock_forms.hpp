// lock_forms: the blocking forms of every lock, written once; what has to be done when the short way did not do.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/sync/lock_words.hpp>

#include <chrono>
#include <stop_token>

namespace tutti::detail {

/// `Lock`: see the section for this file in exclusive_lock.hpp. `me`: who locks, and how.
template <class Lock>
wait_result lock_how(Lock& lock, lock_word me, wait_how how) {
  const wait_target wanted = lock.target(me);
  how.target = &wanted;
  how.instead = lock.words(me).instead;
  const auto at_once = [&] { return lock.try_take(me); };
  const auto taken = [&] {
    if (at_once()) return wait_result::ready;
    lock.refuse_relock(me, how.what, how.here);
    if (!lock.crowded()) {
      if (const auto early = wait_list::spin(at_once, how)) return *early;
    }
    bool tried = false;
    try {
      return lock.waiters().sleep([&] { return lock.take_or_queue(me, std::exchange(tried, true)); }, how,
                                  as_context(me));
    } catch (...) {
      lock.left(me);
      throw;
    }
  }();
  if (taken == wait_result::ready) {
    wait_graph::holds(wanted, how.here);
  } else {
    lock.left(me);
  }
  return taken;
}

template <class Lock>
void lock_now(Lock& lock, lock_word me, const place& here) {
  lock_how(lock, me, {.here = here, .what = lock.words(me).lock});
}

template <class Lock>
bool lock_try(Lock& lock, lock_word me, const place& here) noexcept {
  if (!lock.try_take(me)) return false;
  wait_graph::holds(lock.target(me), here, false);
  return true;
}

template <class Lock>
bool lock_within(Lock& lock, lock_word me, std::chrono::nanoseconds limit, const place& here) {
  if (limit <= limit.zero()) return lock_try(lock, me, here);
  const auto deadline = time_after(limit);
  const bool endless = deadline == std::chrono::steady_clock::time_point::max();
  return lock_how(lock, me,
                  {.deadline = endless ? nullptr : &deadline, .here = here, .what = lock.words(me).lock_for}) ==
         wait_result::ready;
}

template <class Lock>
void lock_unless_stopped(Lock& lock, lock_word me, const std::stop_token& stop, const place& here) {
  const lock_words& words = lock.words(me);
  if (lock_how(lock, me, {.stop = stop, .here = here, .what = words.lock}) == wait_result::ready) return;
  throw cancelled(primitive_text(words.kind, lock.name()) + ": asked to stop while it waited in " + words.lock +
                  " at " + to_string(here));
}

}  // namespace tutti::detail
