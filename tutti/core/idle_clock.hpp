// idle_clock: a virtual clock that moves on by itself when the program has nothing left to do but wait for it.
#pragma once

namespace tutti {
class scheduler;
}

namespace tutti::detail {

/// For a thread with nothing to do, before it sleeps: if the clock in force is to move on by itself, waits until no
/// pool has anything to do either and moves it to the next timer; true when the caller should look for work again,
/// false when it may sleep. `idle()` tells whether the caller has still nothing to do. `own`: the pool whose worker it
/// is, or null.
bool advance_idle_clock(const scheduler* own, bool (*idle)(void*), void* context);
template <class Idle>
bool advance_idle_clock(const scheduler* own, Idle is_idle) {
  return advance_idle_clock(own, [](void* i) { return static_cast<bool>((*static_cast<Idle*>(i))()); }, &is_idle);
}

}  // namespace tutti::detail
