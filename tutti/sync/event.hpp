// event: a flag that others wait for.
#pragma once
#include <tutti/core/async_wait.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string_view>

namespace tutti {

/// Who takes the flag of an event down again.
enum class event_reset : std::uint8_t {
  manual,     ///< clear(); until then everybody passes
  automatic,  ///< the one who passes
};

/// Threads and coroutines wait until somebody sets the flag. What happened before set() is visible to those whom it
/// lets pass. Thread-safe. Must outlive its waiters: destroying it with one waiting is a fatal error that names it. Who
/// sets it need not be outlived: whoever has passed may destroy it.
class event {
  class set_wait;

 public:
  class awaiter;
  class timed_awaiter;

  /// The flag is down. `name`: shown in errors and reports; must outlive the event.
  explicit event(event_reset reset = event_reset::manual, std::string_view name = {}) noexcept;
  ~event();
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Lets pass whoever waits now, even if the flag is taken down before they run, and sets the flag. Automatic: lets
  /// the longest waiting one pass, or sets the flag if nobody waits; setting it twice is setting it once. Never blocks.
  void set() noexcept { signal(flag); }
  /// Takes the flag down. Never blocks.
  void clear() noexcept;
  /// set() and clear() in one step: lets pass those who wait now (automatic: one of them), and nobody else.
  void pulse() noexcept { signal(0); }
  /// True while the flag is set (a snapshot).
  [[nodiscard]] bool is_set() const noexcept { return (word_.load(std::memory_order_acquire) & flag) != 0; }

  /// True if the flag is set; automatic: takes it down. Never blocks.
  [[nodiscard]] bool try_wait() noexcept;
  /// Blocks the thread until it may pass. Throws would_block when it would wait on the thread of a loop, pool_exhausted
  /// when a pool's worker would wait and cannot be replaced.
  void wait(place here = place::current());
  /// The same for at most `limit` on tutti's clock; false when the time is up. Zero and less only try; max waits
  /// without limit.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit, place here = place::current());
  /// The same until `stop` is requested; throws `cancelled` then.
  void wait(const std::stop_token& stop, place here = place::current());
  /// Suspends the coroutine until it may pass; it waits from the call on. Throws `cancelled` when its task is asked to
  /// stop meanwhile.
  [[nodiscard]] awaiter wait_async(place here = place::current());
  /// The same for at most `limit`; gives false when the time is up.
  [[nodiscard]] timed_awaiter wait_for_async(std::chrono::nanoseconds limit, place here = place::current());

 private:
  static constexpr std::uint64_t flag = 1, waiting = 2, one_generation = 4;

  std::uint64_t generation() const noexcept { return word_.load(std::memory_order_relaxed) / one_generation; }
  bool try_pass(std::uint64_t since, std::uint64_t note) noexcept;
  void signal(std::uint64_t flag_after) noexcept;
  void signal_waiting(std::uint64_t flag_after) noexcept;
  wait_result pass(wait_how how);

  // The flag; how often it was set or pulsed; and whether somebody may be in the list, which sends whoever signals to
  // the list's lock. Manual: who finds another generation than when it began to wait may pass, so that nobody misses a
  // set() that was taken back, on whatever way to the list it is. Automatic: who is in the list has its turn granted
  // there; who is not yet takes the flag.
  //
  // No waiter is missed: it sets `waiting` under the list's lock, its entry linked, in the step that finds the flag
  // down; so a later signal finds `waiting` set. Only a signal clears it, under that lock, with the list empty. One
  // that does not find it set touches nothing else: whoever passes because of it may destroy the event. One that does
  // is in the lock, which the destructor takes.
  std::atomic<std::uint64_t> word_{0};
  wait_list waiters_;
  const wait_target self_;
  const event_reset reset_;
};

class event::set_wait : public list_wait {
 protected:
  set_wait(event& waited, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {})
      : list_wait(waited.waiters_, what, here, limit, &waited.self_), event_(waited) {}
  ~set_wait() override = default;

 private:
  bool ready() noexcept final { return event_.try_pass(since_, waiting); }
  event& event_;
  const std::uint64_t since_ = event_.generation();
};

/// What wait_async gives: await it, once.
class event::awaiter final : public set_wait {
 public:
  void await_resume() { finish(); }

 private:
  friend event;
  using set_wait::set_wait;
};

/// What wait_for_async gives: await it, once; true if it may pass.
class event::timed_awaiter final : public set_wait {
 public:
  [[nodiscard]] bool await_resume() { return finish() == wait_result::ready; }

 private:
  friend event;
  using set_wait::set_wait;
};

}  // namespace tutti
