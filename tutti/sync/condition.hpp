// condition: waiting, under a mutex, until what the mutex protects is as it should be.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/core/async_wait.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/task/coroutine.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>

namespace tutti {

/// Waits until a predicate over what a mutex protects holds; there is no wait without one. It is called with the lock
/// held, which is given up while nothing has changed. Who changes something does so under the lock, and then calls
/// notify_one or notify_all, with the lock or without.
///
/// All who wait in one condition at a time use one mutex; threads hold it by a std::unique_lock, coroutines by its
/// async_guard. However a wait ends, also by an exception, the lock is held again, unless what it throws says that just
/// that was refused. Thread-safe. Must outlive its waiters: destroying it with one waiting is a fatal error that names
/// it.
class condition {
  class inside;
  class promise_to_pass_on;
  class notified_wait;
  using predicate = bool (*)(void*);

 public:
  /// `name`: shown in errors and reports; must outlive the condition.
  explicit condition(std::string_view name = {}) noexcept : self_{this, wait_rule::unknown, "condition", name} {}
  ~condition();
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Has the longest waiting waiter look at its predicate again. One that gives up in that moment passes it on. Never
  /// blocks.
  void notify_one() noexcept {
    if (inside_.load(std::memory_order_relaxed) != 0) notify(false);
  }
  /// Has all who wait now look again. Never blocks.
  void notify_all() noexcept {
    if (inside_.load(std::memory_order_relaxed) != 0) notify(true);
  }

  /// Blocks the thread until `holds()` is true. Throws not_owner when the lock is not held; what `holds` throws;
  /// would_block when it would wait on the thread of a loop, pool_exhausted when a pool's worker would wait and cannot
  /// be replaced.
  template <std::predicate Holds>
  void wait(std::unique_lock<mutex>& lock, Holds holds, place here = place::current()) {
    rounds(lock, erase(holds), std::addressof(holds),
           {.here = here, .what = "condition::wait", .instead = "wait_async()"});
  }
  /// The same for at most `limit` on tutti's clock; false when the time is up. Zero and less only look; max waits
  /// without limit.
  template <std::predicate Holds>
  [[nodiscard]] bool wait_for(std::unique_lock<mutex>& lock, std::chrono::nanoseconds limit, Holds holds,
                              place here = place::current()) {
    return rounds_for(lock, erase(holds), std::addressof(holds), limit, here);
  }
  /// The same until `stop` is requested; throws `cancelled` then.
  template <std::predicate Holds>
  void wait(std::unique_lock<mutex>& lock, const std::stop_token& stop, Holds holds, place here = place::current()) {
    rounds_until(lock, erase(holds), std::addressof(holds), stop, here);
  }

  /// Suspends the coroutine until `holds()` is true; `guard` is held before and after. Throws `cancelled` when the task
  /// is asked to stop meanwhile, not_owner when the lock is not held, and what `holds` throws.
  template <std::predicate Holds>
  [[nodiscard]] task<> wait_async(mutex::async_guard& guard, Holds holds, place here = place::current()) {
    task<bool> rounds = rounds_async<Holds>(guard, std::move(holds), {}, "condition::wait_async", here);
    co_await std::move(rounds);
  }
  /// The same for at most `limit`; gives false when the time is up.
  template <std::predicate Holds>
  [[nodiscard]] task<bool> wait_for_async(mutex::async_guard& guard, std::chrono::nanoseconds limit, Holds holds,
                                          place here = place::current()) {
    return rounds_async<Holds>(guard, std::move(holds), limit, "condition::wait_for_async", here);
  }

 private:
  template <class Holds>
  static predicate erase(Holds&) noexcept {
    return [](void* holds) { return static_cast<bool>((*static_cast<Holds*>(holds))()); };
  }
  wait_result rounds(std::unique_lock<mutex>& lock, predicate holds, void* context, wait_how how);
  bool rounds_for(std::unique_lock<mutex>& lock, predicate holds, void* context, std::chrono::nanoseconds limit,
                  const place& here);
  void rounds_until(std::unique_lock<mutex>& lock, predicate holds, void* context, const std::stop_token& stop,
                    const place& here);
  template <class Holds>
  task<bool> rounds_async(mutex::async_guard& guard, Holds holds, std::optional<std::chrono::nanoseconds> limit,
                          const char* what, place here);
  void check_held(bool held, const char* what, const place& here) const;
  void notify(bool all) noexcept;

  // Nobody misses a notification. A waiter, while it holds the lock and after its predicate was false, adds itself to
  // `inside_` and notes `notifications_`; only then it gives the lock up. Who changes something holds the lock later
  // than that, so it finds the waiter in `inside_` and counts a notification. The waiter finds that it was counted
  // before it goes to sleep, or under the list's lock, its entry linked; or it is in the list, and woken.
  //
  // So notify_one may have more than one look again, if they are still on their way to the list: they find nothing, and
  // go on. It never has none. What is counted is not data: the lock is what makes changes visible, hence relaxed.
  std::atomic<std::uint32_t> inside_{0};
  std::atomic<std::uint64_t> notifications_{0};  // written under the list's lock
  wait_list waiters_;
  const wait_target self_;
};

// From before the lock is given up until it is held again.
class condition::inside {
 public:
  explicit inside(condition& of) noexcept : of_(of) { of.inside_.fetch_add(1, std::memory_order_relaxed); }
  ~inside() { of_.inside_.fetch_sub(1, std::memory_order_relaxed); }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;
  bool notified() const noexcept { return of_.notifications_.load(std::memory_order_relaxed) != before_; }

 private:
  condition& of_;
  const std::uint64_t before_ = of_.notifications_.load(std::memory_order_relaxed);
};

// Whoever was notified and then gives up has the next one look.
class condition::promise_to_pass_on {
 public:
  explicit promise_to_pass_on(condition& of) noexcept : of_(of) {}
  ~promise_to_pass_on() {
    if (notified) of_.notify_one();
  }
  promise_to_pass_on(const promise_to_pass_on&) = delete;
  promise_to_pass_on& operator=(const promise_to_pass_on&) = delete;
  bool notified = false;

 private:
  condition& of_;
};

class condition::notified_wait final : public list_wait {
 public:
  notified_wait(condition& of, const inside& since, const char* what, const place& here,
                std::optional<std::chrono::nanoseconds> limit)
      : list_wait(of.waiters_, what, here, limit, &of.self_), since_(since) {}
  bool await_resume() { return finish() == wait_result::ready; }

 private:
  bool ready() noexcept override { return since_.notified(); }
  const inside& since_;
};

template <class Holds>
task<bool> condition::rounds_async(mutex::async_guard& guard, Holds holds,
                                   std::optional<std::chrono::nanoseconds> limit, const char* what, place here) {
  check_held(guard.owns_lock(), what, here);
  const auto deadline = detail::time_after(limit.value_or(std::chrono::nanoseconds::max()));
  const bool limited = deadline != std::chrono::steady_clock::time_point::max();
  promise_to_pass_on given(*this);
  std::exception_ptr error;
  while (!holds()) {
    if (error != nullptr) std::rethrow_exception(error);
    std::optional<std::chrono::nanoseconds> left;
    if (limited) left = deadline - now();
    if (limited && *left <= left->zero()) co_return false;
    const inside waits(*this);
    guard.unlock();
    try {
      notified_wait notified(*this, waits, what, here, left);
      const bool looks_again = co_await notified;
      given.notified |= looks_again;
    } catch (...) {
      error = std::current_exception();
    }
    co_await guard.relock_async(here);
  }
  given.notified = false;
  co_return true;
}

}  // namespace tutti
