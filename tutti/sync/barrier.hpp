// barrier: a number of participants wait for each other, phase after phase.
#pragma once
#include <tutti/core/async_wait.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

namespace tutti {

namespace detail {
class handed_over;
}  // namespace detail

/// In each phase `expected` participants, threads and coroutines alike, arrive; the last one runs the completion while
/// the others still wait, and then all go on, into the next phase. What each did before it arrived is visible to the
/// completion, and that to all who go on.
///
/// Who arrives and then cannot wait, because its time is up, it is stopped or its wait is refused, breaks the barrier:
/// all others who wait, and whoever arrives from then on, get broken_barrier, until reset(). So does a completion that
/// throws, and abort().
///
/// Thread-safe; the completion may use the barrier's snapshots, not arrive. Must outlive its waiters: destroying it
/// with one waiting is a fatal error that names it.
class barrier {
  struct participant;
  class arrival_wait;

 public:
  class awaiter;
  class timed_awaiter;

  /// `completion`: run once per phase, by the last who arrives; empty: none. `name`: shown in errors and reports; must
  /// outlive the barrier. Throws std::invalid_argument when fewer than 1 are expected.
  explicit barrier(std::ptrdiff_t expected, std::function<void()> completion = {}, std::string_view name = {});
  ~barrier();
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// Arrives, and blocks until the phase is over. True for exactly one participant in each phase: the last one, which
  /// ran the completion. Throws broken_barrier; what the completion throws, to who ran it; would_block when it would
  /// wait on the thread of a loop, pool_exhausted when a pool's worker would wait and cannot be replaced;
  /// std::logic_error when more arrive than are expected.
  bool arrive_and_wait(place here = place::current());
  /// The same; nothing, and the barrier is broken, when the time is up. `limit` is on tutti's clock; zero and less do
  /// not wait; max waits without limit.
  [[nodiscard]] std::optional<bool> arrive_and_wait_for(std::chrono::nanoseconds limit, place here = place::current());
  /// The same; when `stop` is requested first, throws `cancelled`, and the barrier is broken.
  bool arrive_and_wait(const std::stop_token& stop, place here = place::current());
  /// Arrives when awaited, and suspends the coroutine until the phase is over. When its task is asked to stop meanwhile
  /// it throws `cancelled`, and the barrier is broken.
  [[nodiscard]] awaiter arrive_and_wait_async(place here = place::current());
  /// The same for at most `limit`; gives nothing, and the barrier is broken, when the time is up.
  [[nodiscard]] timed_awaiter arrive_and_wait_for_async(std::chrono::nanoseconds limit, place here = place::current());

  /// Arrives, does not wait, and is not expected any more from the next phase on. True when it was the last of this
  /// phase, and ran the completion. Throws as arrive_and_wait; the participant has left all the same.
  bool arrive_and_drop();

  /// How many are expected in the next phase (a snapshot).
  [[nodiscard]] std::ptrdiff_t expected() const noexcept;
  /// True while it is broken (a snapshot).
  [[nodiscard]] bool broken() const noexcept;
  /// Begins a new phase, whole again. Who waits in the present one gets broken_barrier. Does not wait for a completion
  /// that is being run; who runs it gets broken_barrier, too. Never blocks.
  void reset() noexcept;
  /// Breaks the barrier: for whoever cannot go on, and does not want the others to wait for it. Never blocks.
  void abort() noexcept;

 private:
  enum class outcome : std::uint8_t { pending, passed, broken };

  bool arrive(participant& me, bool drops = false);
  bool complete(participant& me);
  void end_phase(detail::handed_over& woken, outcome how, const char* why) noexcept;
  void break_phase(const char* why, bool for_good) noexcept;
  bool leave(participant& me, const char* why) noexcept;
  void check_unbroken(const participant& me) const;
  [[noreturn]] void throw_broken(const char* why) const;
  wait_result wait(participant& me, wait_how how);

  // All state is under the list's lock, but for the outcome of each participant, which the participant looks at.
  // Who arrives, to wait or as the last, is put into `arrived_`; whatever ends the phase gives all of them the same
  // outcome, in one stretch under the lock, and wakes those of them that are in the list already. The others see their
  // outcome before they link, or under the lock when they have. So no outcome comes after another one, and who gives up
  // either has it before that, or breaks the phase for all.
  mutable wait_list waiters_;
  participant* arrived_ = nullptr;
  std::ptrdiff_t missing_;        // of this phase; 0 while its completion is being run
  std::ptrdiff_t expected_;       // from the next one on
  const char* broken_ = nullptr;  // why
  const std::function<void()> completion_;
  const wait_target self_;
};

// One arrival. On the stack of its thread, or in the awaiter.
struct barrier::participant {
  // acquire / release: what the others did before they arrived, and the completion.
  std::atomic<outcome> ended{outcome::pending};
  const char* why = nullptr;  // it was broken; before `ended`
  participant* next = nullptr;
};

class barrier::arrival_wait : public list_wait {
 public:
  bool await_ready() { return last_ = barrier_.arrive(me_); }

 protected:
  arrival_wait(barrier& at, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {})
      : list_wait(at.waiters_, what, here, limit, &at.self_), barrier_(at) {}
  ~arrival_wait() override = default;

  std::optional<bool> take_part();

 private:
  bool ready() noexcept final { return me_.ended.load(std::memory_order_acquire) != outcome::pending; }

  barrier& barrier_;
  participant me_;
  bool last_ = false;
};

/// What arrive_and_wait_async gives: await it, once; true for the one who ran the completion.
class barrier::awaiter final : public arrival_wait {
 public:
  bool await_resume() { return *take_part(); }

 private:
  friend barrier;
  using arrival_wait::arrival_wait;
};

/// What arrive_and_wait_for_async gives: await it, once; nothing when the time is up.
class barrier::timed_awaiter final : public arrival_wait {
 public:
  [[nodiscard]] std::optional<bool> await_resume() { return take_part(); }

 private:
  friend barrier;
  using arrival_wait::arrival_wait;
};

}  // namespace tutti
