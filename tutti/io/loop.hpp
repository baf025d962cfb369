// loop: an executor whose one thread sleeps until a socket, a pipe, a timer or another thread has something for it.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/task/submit.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace tutti::io {

namespace detail {

class reactor;

/// What waits count on their loop; the loop's thread's.
class loop_notes {
 public:
  std::uint64_t id = 0;       ///< the loop's, as an executor
  mutable int under_way = 0;  ///< operations that have begun and not ended
  mutable int at_once = 0;    ///< operations that were through without a wait, since the last one that waited

  /// Whether an operation may be done without a wait: not again and again, or others would never get their turn.
  bool may_go_on() const noexcept { return ++at_once < most_at_once; }
  static constexpr int most_at_once = 16;

 protected:
  ~loop_notes() = default;
};

}  // namespace detail

/// A run_loop that waits for input and output: coroutines on it await streams, and everything else that can be awaited,
/// and go on here. Its calls run one at a time on the thread that calls `run`, first in, first out within a priority;
/// any thread may hand calls in. A call that blocks blocks them all: `co_await pool.submit(f)` moves it away.
class loop final : public run_loop {
 public:
  /// Throws os_error when the system has no descriptors for it.
  loop();

  /// The moment, on tutti's clock: what call_at counts by.
  [[nodiscard]] static std::chrono::steady_clock::time_point time() noexcept { return now(); }
  /// Calls `g()` on this loop at `when`, or soon if that has passed; not at all if the loop is shut down then. Throws
  /// as tutti::call_at. Thread-safe.
  template <class G>
    requires std::invocable<std::decay_t<G>&>
  timer call_at(std::chrono::steady_clock::time_point when, G&& g) {
    return tutti::call_at(when, [g = std::decay_t<G>(std::forward<G>(g)), home = id()]() mutable {
      start_at_home(home, call(new tutti::detail::posted<std::decay_t<G>>(std::move(g), {})));
    });
  }
  /// The same after `delay`.
  template <class Rep, class Period, class G>
    requires std::invocable<std::decay_t<G>&>
  timer call_later(std::chrono::duration<Rep, Period> delay, G&& g) {
    return call_at(tutti::detail::time_after(tutti::detail::saturated(delay)), std::forward<G>(g));
  }
  /// Asks what waits on this loop to stop, and lets `run` return when that has ended. Thread-safe.
  void stop() { shutdown(cancel); }

 private:
  explicit loop(std::shared_ptr<detail::reactor> events);
};

namespace detail {
void refuse_nested_run();
}

/// Runs `work` on a loop of its own on this thread until it has ended; returns its result or throws its exception. What
/// was handed to the loop meanwhile runs here too, and is complete when this returns. Throws std::logic_error where an
/// io::loop runs already, which would stand still meanwhile, perhaps for ever: co_await there.
template <class T>
T run(task<T> work) {
  detail::refuse_nested_run();
  loop here;
  return here.run(std::move(work));
}

}  // namespace tutti::io
