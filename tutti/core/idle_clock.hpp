// idle_clock: a virtual clock that moves on by itself when the program has nothing left to do but wait for it.
#pragma once

namespace tutti::detail {

/// For a thread that drives a loop with nothing to do, instead of sleeping, if the clock in force moves on by itself:
/// sleeps until `idle()` is no longer true, or until every pool and all other threads that wait like this sleep too,
/// and then moves the clock to the next timer. Threads outside pools that drive a loop are known here only while they
/// sleep in it. True when the caller should look for work again; false when the clock is another one. The worker that
/// the thread is, if any, must count as blocked. `idle()`: whether the caller has still nothing to do; who changes that
/// unparks it.
bool move_idle_clock(bool (*idle)(void*), void* context);
template <class Idle>
bool move_idle_clock(Idle is_idle) {
  return move_idle_clock([](void* i) { return static_cast<bool>((*static_cast<Idle*>(i))()); }, &is_idle);
}

}  // namespace tutti::detail
