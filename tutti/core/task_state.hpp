// task_state: a submitted call and the state of its future, in one allocation.
#pragma once
#include <tutti/core/block_cache.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/task_values.hpp>
#include <tutti/core/timers.hpp>

#include <limits>

namespace tutti {

/// Queues a call that is queued already once more, with a priority that a waiter lends it: whichever entry comes first
/// runs it. `queued` lives while `state` does; its run() does nothing, and gives a reference up, when it has begun.
void expedite_queued(call_node& queued, future_state_base& state, int priority) noexcept;

/// What does not depend on the result's type. Two references at birth: the future's and the queue's.
class task_state_base : public call_node {
 public:
  /// Name, priority, timeout, retries and stop token of the call; copies what it needs.
  void configure(const call_options& options, const char* default_name);

  void run() noexcept final;
  void abandon(std::exception_ptr error) noexcept final;
  std::optional<std::chrono::steady_clock::time_point> call_deadline() const noexcept;

 protected:
  task_state_base() : values_(task_values::current()) {}
  ~task_state_base() override { drop_extras(); }

  /// Calls the function, settles with its result and ends this handle to the call; throws what the function throws, and
  /// then does neither. `last`: the arguments may be moved from.
  virtual void invoke(bool last) = 0;
  virtual future_state_base& state() noexcept = 0;

  call_limits limits() const noexcept;
  bool may_time_out() const noexcept { return extras_ != nullptr; }
  /// Waits for a stop callback that runs: what it looks at must still be there.
  void drop_extras() noexcept {
    if (extras_ != nullptr) [[unlikely]]
      delete_extras();
  }
  bool run_if_home() noexcept;
  void expedite_call(int priority) noexcept;

 private:
  struct extras;
  // Ends a handle to the call.
  void execute() noexcept;
  void attempt_until_done() noexcept;
  timer arm_timeout();
  void delete_extras() noexcept;

  std::atomic<int> lent_{std::numeric_limits<int>::min()};  // by waiters of a higher priority
  task_values_ref values_;
  extras* extras_ = nullptr;  // only for calls with a timeout, retries or a stop token
};

/// A call whose result has type R. `Invoke` is called with `bool last` and returns the result.
///
/// The bases stand in this order so that what each run touches lies in two cache lines of three: the queue's part and
/// the status word in the first, the callable and the result in the last.
template <class R, class Invoke>
class task_state : public task_state_base, public future_state<R>, public pooled {
 public:
  template <class... A>
  explicit task_state(std::uint64_t home, A&&... arguments)
      : future_state<R>(2, home), invoke_(std::forward<A>(arguments)...) {}
  ~task_state() override { this->drop_extras(); }

 protected:
  void invoke(bool last) override {
    if constexpr (std::is_void_v<R>) {
      invoke_(last);
      settle();
    } else {
      settle(invoke_(last));
    }
  }
  future_state_base& state() noexcept override { return *this; }
  bool is_over() const noexcept override { return this->has_begun(); }
  std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept override { return call_deadline(); }
  // A call of an executor that does not share memory (home 0) runs there and nowhere else.
  bool run_here() noexcept override { return this->home() != 0 && run_if_home(); }
  void expedite(int priority) noexcept override {
    if (this->home() != 0 && !this->has_begun()) expedite_call(priority);
  }
  const char* describe() const noexcept override { return this->name(); }

  Invoke invoke_;

 private:
  // Who claimed a task without a timeout is the only one to settle it.
  template <class... A>
  void settle(A&&... result) {
    if (may_time_out()) [[unlikely]] {
      this->settle_value(std::forward<A>(result)...);
      this->release();
    } else {
      this->settle_and_release(std::forward<A>(result)...);
    }
  }
};

}  // namespace tutti
