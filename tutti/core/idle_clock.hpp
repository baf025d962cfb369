// idle_clock: a virtual clock that moves on by itself when the program has nothing left to do but wait for it.
#pragma once

namespace tutti::detail {

/// For a thread with nothing to do, before it sleeps: if the clock in force is to move on by itself, waits until no pool
/// has anything to do either and moves it to the next timer; true if it did. False when it is another kind of clock,
/// no timer is set, or `idle()` does not hold any more.
bool advance_idle_clock(bool (*idle)(void*), void* context);
template <class Idle>
bool advance_idle_clock(Idle idle) {
  return advance_idle_clock([](void* i) { return static_cast<bool>((*static_cast<Idle*>(i))()); }, &idle);
}

}  // namespace tutti::detail
