// systems: what the competitors of the sync benchmark offer. One file per system.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "../harness/team.hpp"

namespace bench::sync {

/// What is measured.
enum class what {
  mutex,      ///< one thread locks and unlocks, nobody else wants the lock; nanoseconds
  recursive,  ///< the same with a lock that its owner may lock again
  exclusive,  ///< the same with a lock of readers and writers, for writing
  shared,     ///< the same, for reading
  contended,  ///< two threads add to a number under a lock; million times per second, the smaller share in percent
  readers,    ///< two threads, nine times of ten for reading; million times per second
  semaphore,  ///< one thread takes and gives back a permit; nanoseconds
  semaphore_turns,  ///< two threads hand permits to and fro; microseconds per round trip
  event,            ///< one thread sets an event, waits for it, clears it; nanoseconds
  event_turns,      ///< two threads set events for each other; microseconds per round trip
  barrier,          ///< two threads meet; nanoseconds per phase
  async_mutex,      ///< one coroutine locks and unlocks; nanoseconds
  async_turns,      ///< two coroutines of one thread hand the lock to each other; nanoseconds per lock
  mutex_size,       ///< bytes
  shared_size,      ///< bytes of a lock of readers and writers
};

using values = std::vector<double>;

/// What a system has for a case: one repetition of `count` operations. Throws when their effect is wrong.
struct offer {
  what which;
  const char* system;
  values (*run)(std::size_t count, placement where);
};
using offers = std::vector<offer>;

offers of_std();
offers of_absl();
offers of_tutti();
offers of_watched_tutti();  ///< while the deadlock watch looks on
offers of_tutti_coroutines();
offers of_asio();

/// Lets `count` coroutines wait for a lock that is taken, calls `waiting` when all do, lets them have it. How many did.
using waiters = std::size_t (*)(std::size_t count, const std::function<void()>& waiting);
std::size_t tutti_waiters(std::size_t count, const std::function<void()>& waiting);
std::size_t asio_waiters(std::size_t count, const std::function<void()>& waiting);

}  // namespace bench::sync
