// loops: the cases for threads, written once for every lock, semaphore, event and barrier.
#pragma once

#include <algorithm>
#include <mutex>
#include <stdexcept>

#include "../harness/clock.hpp"
#include "systems.hpp"

namespace bench::sync {

inline void check(bool right, const char* wrong) {
  if (!right) throw std::runtime_error(wrong);
}

/// A lock and what it protects, on cache lines of their own.
template <class Lock>
struct alignas(64) guarded {
  Lock lock;
  std::size_t first = 0, second = 0;  // always equal outside the lock
};

template <class Lock, class Guard = std::lock_guard<Lock>>
values lock_and_unlock(std::size_t count, placement) {
  guarded<Lock> data;
  keep(&data);  // somebody else could use it
  const double ns = time_ns([&] {
    for (std::size_t i = 0; i < count; ++i) {
      Guard guard(data.lock);
      ++data.first;
    }
  });
  check(data.first == count, "the count is wrong");
  return {ns / static_cast<double>(count)};
}

// Both go on until the total is reached, so that the share of each shows who was favoured.
template <class Lock, class Guard = std::lock_guard<Lock>>
values contend(std::size_t count, placement where) {
  guarded<Lock> data;
  struct alignas(64) {
    std::size_t times = 0;
  } shares[2];
  auto take_part = [&](std::size_t me) {
    for (std::size_t mine = 0;; ++mine) {
      Guard guard(data.lock);
      if (data.first == count) {
        shares[me].times = mine;
        return;
      }
      ++data.first;
    }
  };
  const double ns = together(where, {[&] { take_part(0); }, [&] { take_part(1); }});
  check(shares[0].times + shares[1].times == count, "an addition was lost");
  const auto smaller = static_cast<double>(std::min(shares[0].times, shares[1].times));
  return {static_cast<double>(count) * 1e3 / ns, smaller * 100 / static_cast<double>(count)};
}

template <class Lock, class WriteGuard, class ReadGuard>
values read_and_write(std::size_t count, placement where) {
  guarded<Lock> data;
  auto take_part = [&] {
    for (std::size_t i = 0; i < count / 2; ++i) {
      if (i % 10 == 0) {
        WriteGuard guard(data.lock);
        ++data.first;
        ++data.second;
      } else {
        ReadGuard guard(data.lock);
        check(data.first == data.second, "a reader saw half a change");
      }
    }
  };
  const double ns = together(where, {take_part, take_part});
  check(data.first == (count / 2 + 9) / 10 * 2, "a change was lost");
  return {static_cast<double>(count) * 1e3 / ns};
}

template <class Semaphore>
values acquire_and_release(std::size_t count, placement) {
  Semaphore permits(1);
  keep(&permits);
  const double ns = time_ns([&] {
    for (std::size_t i = 0; i < count; ++i) {
      permits.acquire();
      permits.release();
    }
  });
  return {ns / static_cast<double>(count)};
}

/// `Signal(0)` has release() and acquire(), as semaphores do.
template <class Signal>
values take_turns(std::size_t count, placement where) {
  struct alignas(64) line {
    Signal signal{0};
  } ping, pong;
  std::size_t turns = 0;
  const double ns = together(where, {[&] {
                                       for (std::size_t i = 0; i < count; ++i) {
                                         ++turns;
                                         ping.signal.release();
                                         pong.signal.acquire();
                                       }
                                     },
                                     [&] {
                                       for (std::size_t i = 0; i < count; ++i) {
                                         ping.signal.acquire();
                                         ++turns;
                                         pong.signal.release();
                                       }
                                     }});
  check(turns == 2 * count, "a turn was lost");
  return {ns * 1e-3 / static_cast<double>(count)};
}

/// `Event` has set(), wait() and clear().
template <class Event>
values set_and_wait(std::size_t count, placement) {
  Event event;
  keep(&event);
  const double ns = time_ns([&] {
    for (std::size_t i = 0; i < count; ++i) {
      event.set();
      event.wait();
      event.clear();
    }
  });
  return {ns / static_cast<double>(count)};
}

/// `Barrier(2)` has arrive_and_wait().
template <class Barrier>
values meet(std::size_t count, placement where) {
  Barrier barrier(2);
  // Written before a phase, read by the other one after it; only in the phase after that it may be written again.
  struct alignas(64) {
    std::size_t phase[2] = {};
  } seen[2];
  auto take_part = [&](std::size_t me) {
    for (std::size_t i = 1; i <= count; ++i) {
      seen[me].phase[i % 2] = i;
      barrier.arrive_and_wait();
      check(seen[1 - me].phase[i % 2] == i, "somebody passed alone");
    }
  };
  const double ns = together(where, {[&] { take_part(0); }, [&] { take_part(1); }});
  return {ns / static_cast<double>(count)};
}

template <class T>
values size_of(std::size_t, placement) {
  return {static_cast<double>(sizeof(T))};
}

}  // namespace bench::sync
