// systems: what each competitor of the task benchmark must do with coroutines. One file per system.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace bench::task {

/// What a case gives back: 0 + 1 + ... + (count - 1), made of what each of its operations did; nothing when this system
/// has no such operation.
using sum = std::optional<std::size_t>;

/// Something that runs coroutines, on the thread of the call or on threads of its own.
class system {
 public:
  virtual ~system() = default;

  virtual sum spawn(std::size_t /*count*/) { return {}; }        ///< a task starts a child as a task, awaits it; again
  virtual sum await_child(std::size_t /*count*/) { return {}; }  ///< a task awaits a child coroutine; again
  virtual sum take_turns(std::size_t /*count*/) { return {}; }   ///< two tasks alternate
  virtual sum when_all(std::size_t /*count*/) { return {}; }     ///< a task starts `count` tasks, then awaits them all
  virtual sum timers(std::size_t /*count*/) { return {}; }       ///< all of `plan_timers` are set, then cancelled
  virtual sum generate(std::size_t /*count*/) { return {}; }     ///< a loop reads a generator

  /// Starts `count` tasks that sleep for an hour, calls `asleep` when all do, ends them. The number that slept.
  virtual std::size_t sleepers(std::size_t /*count*/, const std::function<void()>& /*asleep*/) { return 0; }
};

/// When to set which timer, and in which order to cancel them: the same for all systems, made by the first call.
struct timer_plan {
  std::vector<std::chrono::nanoseconds> delays;  ///< a minute to an hour, in no order
  std::vector<std::size_t> cancel_order;
};
const timer_plan& plan_timers(std::size_t count);

/// Makes the system with `threads` threads, if it has threads; on more than one only `when_all` is run.
using factory = std::unique_ptr<system> (*)(int threads);

std::unique_ptr<system> make_tutti(int threads);
std::unique_ptr<system> make_asio(int threads);

/// The least that each operation costs: coroutines without executor, error handling or cancellation.
std::unique_ptr<system> make_raw(int threads);

}  // namespace bench::task
