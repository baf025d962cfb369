// thread: a thread with a name, whose exception arrives where it is joined.
#pragma once
#include <tutti/core/task_state.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/task/await.hpp>

#include <chrono>
#include <functional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

namespace tutti {

namespace detail {

// The function of a thread and its arguments, which end with the call, not with the thread's result.
template <class F, class... Args>
class thread_body {
 public:
  template <class G, class... A>
  explicit thread_body(std::in_place_t, G&& function, A&&... arguments)
      : function_(std::forward<G>(function)), arguments_(std::forward<A>(arguments)...) {}

  void operator()(bool) {
    F function(std::move(function_));
    std::tuple<Args...> arguments(std::move(arguments_));
    std::apply(
        [&](Args&... each) {
          if constexpr (std::is_invocable_v<F, std::stop_token, Args...>) {
            static_cast<void>(std::invoke(std::move(function), this_task::stop_token(), std::move(each)...));
          } else {
            static_cast<void>(std::invoke(std::move(function), std::move(each)...));
          }
        },
        arguments);
  }

 private:
  F function_;
  std::tuple<Args...> arguments_;
};

template <class F, class... Args>
concept runs_in_thread = std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...> ||
                         std::is_invocable_v<std::decay_t<F>, std::stop_token, std::decay_t<Args>...>;

}  // namespace detail

/// Runs a function on a thread of its own, as one task: this_task::name() and stop_requested() work in it, task locals
/// follow it, locks belong to it, and dumps and deadlock reports show it by its name. Move-only. One object is used by
/// one thread at a time, but for request_stop() and done(), which may be called while it is joined.
class thread {
 public:
  class join_awaiter;

  /// Holds none.
  thread() noexcept = default;
  /// Starts `f(args...)`, or `f(std::stop_token, args...)` if it can be called so, with copies of all of them. What it
  /// returns is dropped. `name` is copied; the system's tools show the first 15 bytes of it. Throws std::system_error
  /// when the system refuses a thread.
  template <class F, class... Args>
    requires detail::runs_in_thread<F, Args...>
  explicit thread(std::string_view name, F&& f, Args&&... args) {
    using body = detail::thread_body<std::decay_t<F>, std::decay_t<Args>...>;
    auto* const made = new task_state<void, body>(0, std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
    start(name, *made, state_ref<future_state<void>>(made));
  }
  thread(thread&&) noexcept = default;
  /// Requests stop and joins, as the destructor, before it takes over the other.
  thread& operator=(thread&& other) noexcept;
  /// If it was not joined: requests stop, blocks until the function has returned, and hands an exception to
  /// on_unhandled. A wait that a deadlock watch refuses is a fatal error here.
  ~thread() { finish(); }

  /// True from the start until it was joined.
  [[nodiscard]] bool joinable() const noexcept { return native_.joinable(); }
  /// True once join would not block.
  [[nodiscard]] bool done() const noexcept { return state_ && state_->is_ready(); }
  /// Of the system's thread; that of no thread when not joinable.
  [[nodiscard]] std::thread::id id() const noexcept { return native_.get_id(); }
  /// As given, or "". Lives as long as the program.
  [[nodiscard]] std::string_view name() const noexcept { return state_ ? state_->describe() : ""; }

  /// Blocks until the function has returned; throws what it threw. Throws std::logic_error when not joinable, deadlock
  /// when a thread would join itself, would_block on the thread of a loop, pool_exhausted when a pool's worker would
  /// wait and cannot be replaced; then it still is to be joined.
  void join(place here = place::current());
  /// The same for at most `limit` on tutti's clock; false when the time is up. Zero and less only look; max waits
  /// without limit.
  [[nodiscard]] bool join_for(std::chrono::nanoseconds limit, place here = place::current());
  /// The same until `stop` is requested; throws `cancelled` then. The thread itself is not asked to stop.
  void join(const std::stop_token& stop, place here = place::current());
  /// Suspends the coroutine until the function has returned; throws what it threw. Throws `cancelled` when its task is
  /// asked to stop meanwhile. Throws as join when not joinable.
  [[nodiscard]] join_awaiter join_async();

  /// Asks the function to stop: through its stop token, and this_task::stop_requested() in it. Never blocks.
  void request_stop() noexcept {
    if (state_) state_->request_stop();
  }

 private:
  void start(std::string_view name, task_state_base& work, state_ref<future_state<void>> state);
  void check_joinable(const char* form) const;
  wait_result wait(const wait_how& how);
  void take_result();
  void finish() noexcept;

  // Its party, for observers of waits, is the state: that is who the code on it acts for. It stays after a join, so
  // that request_stop and done may come then.
  state_ref<future_state<void>> state_;
  std::thread native_;
};

/// What join_async gives: await it, once.
class thread::join_awaiter final : public detail::future_wait<void> {
 public:
  void await_resume() {
    end_shared();
    thread_.take_result();
  }

 private:
  friend thread;
  explicit join_awaiter(thread& joined) : future_wait<void>(joined.state_, false, "join_async"), thread_(joined) {}
  thread& thread_;
};

}  // namespace tutti
