// stall_watch: names coroutines that hold a pool's worker for too long: they block it, or compute without a pause.
#pragma once
#include <tutti/core/timers.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace tutti {

/// A coroutine that has held a worker for longer than the limit.
struct stall {
  std::string task;               ///< its task's name
  std::string pool;               ///< the pool's name
  std::uint32_t worker;           ///< its number there
  std::chrono::nanoseconds held;  ///< for at least so long now
  std::string waits_in;  ///< the blocking wait it sleeps in ("future::get at f.cpp:7"), if it is one of tutti's
};

/// How to watch.
struct stall_watch_options {
  std::chrono::nanoseconds limit = std::chrono::milliseconds(100);  ///< longer than this without an await is a stall
};

/// While it lives, reports each stretch of a coroutine, from one await to the next, that holds a worker of any pool for
/// longer than the limit: a blocking call, such as future::get, a mutex or read(), or a long computation. What blocks
/// in a coroutine takes a thread from all others; co_await instead, or submit a function.
///
/// Looks four times per limit, from the timer thread, by tutti's clock, and reports each such stretch once. The price
/// is these wake-ups; what is watched pays nothing. Several may live at once.
class stall_watch {
 public:
  /// Reports to `report`, on the timer thread: short, must not block, nor destroy this; to the log, as a warning, when
  /// it is empty. Throws std::invalid_argument for a limit that is not positive.
  explicit stall_watch(stall_watch_options options = {}, std::function<void(const stall&)> report = {});
  /// Returns when no report is being made.
  ~stall_watch();
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;

 private:
  class watcher;
  std::unique_ptr<watcher> watcher_;
};

}  // namespace tutti
