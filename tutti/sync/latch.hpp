// latch: a count that reaches zero once and then lets everyone through.
#pragma once
#include <tutti/core/async_wait.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string_view>

namespace tutti {

/// Waiters, threads and coroutines alike, pass once `count` events were counted; from then on it stays open.
/// Thread-safe. Must outlive its waiters: destroying it with one waiting is a fatal error that names it. Who counts
/// need not be outlived: whoever has passed may destroy it.
class latch {
  class open_wait;

 public:
  class awaiter;
  class timed_awaiter;

  /// `count`: events to wait for; 0 is born open. `name`: shown in errors and reports; must outlive the latch. Throws
  /// std::invalid_argument when the count is negative.
  explicit latch(std::ptrdiff_t count, std::string_view name = {});
  ~latch();
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  /// Counts `n` events, and on the last one wakes all waiters. Never blocks. Throws std::logic_error below zero, and
  /// std::invalid_argument for a negative n; then nothing was counted.
  void count_down(std::ptrdiff_t n = 1);

  /// True once open; what happened before each count_down is then visible. Never blocks.
  [[nodiscard]] bool try_wait() const noexcept { return left_.load(std::memory_order_acquire) == 0; }

  /// Blocks the thread until open. Throws would_block when it would wait on the thread of a loop, pool_exhausted when a
  /// pool's worker would wait and cannot be replaced.
  void wait(place here = place::current());
  /// The same for at most `limit` on tutti's clock; false when the time is up. Zero and less only look; max waits
  /// without limit.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit, place here = place::current());
  /// The same until `stop` is requested; throws `cancelled` then.
  void wait(const std::stop_token& stop, place here = place::current());
  /// Suspends the coroutine until open. Throws `cancelled` when its task is asked to stop meanwhile.
  [[nodiscard]] awaiter wait_async(place here = place::current());
  /// The same for at most `limit`; gives false when the time is up.
  [[nodiscard]] timed_awaiter wait_for_async(std::chrono::nanoseconds limit, place here = place::current());

  /// Counts `n` events and waits for the others: count_down(n), then wait.
  void arrive_and_wait(std::ptrdiff_t n = 1, place here = place::current());
  /// The same in a coroutine. Counts when it is called, not when it is awaited.
  [[nodiscard]] awaiter arrive_and_wait_async(std::ptrdiff_t n = 1, place here = place::current());

 private:
  wait_result pass(wait_how how);

  // Goes down only. A step that leaves it above zero touches nothing else; the one to zero is made under the list's
  // lock, together with waking those in the list. So a waiter, which looks at it once more under that lock when its
  // entry is linked, either sees zero or is seen; and the destructor, which takes the lock, waits for the last counter
  // to be out of it.
  std::atomic<std::ptrdiff_t> left_;
  wait_list waiters_;  // stays empty once left_ is 0
  const wait_target self_;
};

class latch::open_wait : public list_wait {
 protected:
  open_wait(latch& waited, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {})
      : list_wait(waited.waiters_, what, here, limit, &waited.self_), latch_(waited) {}
  ~open_wait() override = default;

 private:
  bool ready() noexcept final { return latch_.try_wait(); }
  latch& latch_;
};

/// What wait_async gives: await it, once.
class latch::awaiter final : public open_wait {
 public:
  void await_resume() { finish(); }

 private:
  friend latch;
  using open_wait::open_wait;
};

/// What wait_for_async gives: await it, once; true if open.
class latch::timed_awaiter final : public open_wait {
 public:
  [[nodiscard]] bool await_resume() { return finish() == wait_result::ready; }

 private:
  friend latch;
  using open_wait::open_wait;
};

}  // namespace tutti
