// future: the result of a call that may still be running.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/task_state.hpp>
#include <tutti/core/unhandled.hpp>

#include <concepts>
#include <coroutine>
#include <utility>

namespace tutti {

template <class T>
class future;
template <class T>
class shared_future;

namespace detail {

[[noreturn]] void throw_no_state(const char* operation);
std::chrono::steady_clock::time_point time_after(std::chrono::nanoseconds delay) noexcept;
/// Where a coroutine suspended here goes on: this worker's pool, or 0, the default pool.
std::uint64_t resume_home() noexcept;

// What G returns for a T, or for void.
template <class G, class T>
struct then_result : std::invoke_result<G&, T> {};
template <class G>
struct then_result<G, void> : std::invoke_result<G&> {};

template <class G, class T>
concept takes_value = (std::is_void_v<T> && std::invocable<G&>) || (!std::is_void_v<T> && std::invocable<G&, T>);

template <class T>
T take_value(future_state<T>& state) {
  if constexpr (std::is_void_v<T>) {
    state.value();
  } else {
    return std::move(state.value());
  }
}

// An on_done callback: runs inline, once, and is gone.
template <class G>
struct done_callback final : ready_callback {
  explicit done_callback(G&& function) : body(std::move(function)) {}
  void on_ready(future_state_base& state) noexcept override {
    try {
      if constexpr (std::invocable<G&, std::exception_ptr>) {
        body(state.error());
      } else {
        body();
      }
    } catch (...) {
      report_unhandled(std::current_exception(), "on_done", unhandled_origin::callback);
    }
    delete this;
  }
  G body;
};

// Resumes a coroutine when a state is ready. Lives in the coroutine's frame, as callback and as queued call in one.
class resume_when_ready final : public ready_callback, public call_node {
 public:
  /// False: it is ready, do not suspend.
  bool suspend(future_state_base& state, std::coroutine_handle<> coroutine);

  void on_ready(future_state_base&) noexcept override;
  void run() noexcept override;
  // The executor is gone; a suspended coroutine must go on somewhere.
  void abandon(std::exception_ptr) noexcept override { run(); }

 private:
  std::coroutine_handle<> coroutine_;
  std::uint64_t home_ = 0;
  std::atomic<int> arrivals_{0};
};

// What co_await on a future makes. Not an aggregate: g++ 12 destroys those twice in co_await expressions.
template <class T>
class ready_awaiter {
 public:
  explicit ready_awaiter(state_ref<future_state<T>> state) noexcept : state_(std::move(state)) {}
  bool await_ready() const noexcept { return state_->is_ready(); }
  bool await_suspend(std::coroutine_handle<> coroutine) { return resume_.suspend(*state_, coroutine); }

 protected:
  state_ref<future_state<T>> state_;

 private:
  resume_when_ready resume_;
};

}  // namespace detail

/// The result, to come, of one call. Move-only; `get`, `then`, `share` and co_await take the result, once. Dropping a
/// future lets the call run on; an error nobody has seen then goes to on_unhandled.
///
/// One thread at a time may use one future object; completing it may happen on any thread.
template <class T>
class [[nodiscard]] future {
 public:
  using value_type = T;

  /// Holds nothing.
  future() = default;
  explicit future(state_ref<future_state<T>> state) noexcept : state_(std::move(state)) {}

  /// False after the result was taken, and for a future that was moved from.
  bool valid() const noexcept { return static_cast<bool>(state_); }
  /// True once get() would not block.
  bool done() const noexcept { return state_ && state_->is_ready(); }

  /// Blocks until done, then returns the result or throws the call's exception; takes the result. On a pool's worker it
  /// runs the awaited task itself if that has not begun. Throws std::logic_error when nothing is held, pool_exhausted
  /// when too many tasks of the pool block.
  T get(place here = place::current()) {
    need("get");
    state_->wait(here);
    const state_ref<future_state<T>> taken = std::move(state_);
    return detail::take_value(*taken);
  }

  /// Blocks until done, like get, but leaves the result.
  void wait(place here = place::current()) const {
    need("wait");
    state_->wait(here);
  }
  /// Blocks until done (true) or until `limit` is over (false); zero or less only looks.
  bool wait_for(std::chrono::nanoseconds limit, place here = place::current()) const {
    return wait_until(detail::time_after(limit), here);
  }
  /// Blocks until done (true) or until `deadline` on tutti's clock (false).
  bool wait_until(std::chrono::steady_clock::time_point deadline, place here = place::current()) const {
    need("wait");
    return state_->wait(wait_how{.deadline = &deadline, .stop = {}, .here = here, .what = "future::wait_until"}) ==
           wait_result::ready;
  }
  /// Blocks until done (ready) or until stop is requested (stopped).
  wait_result wait(stop_ref stop, place here = place::current()) const {
    need("wait");
    return state_->wait(wait_how{.deadline = nullptr, .stop = stop, .here = here, .what = "future::wait"});
  }

  /// Completes the call with `cancelled` if it has not begun, and returns true. If it runs, asks it to stop (see
  /// this_task::stop_requested) and returns false, as it does when it is done. Whoever waits hears of it.
  bool cancel() {
    need("cancel");
    return state_->cancel();
  }

  /// Takes the result to `g`, which is called with it on the executor this future came from (on default_pool() for
  /// promises and combined futures), never inside the completion. An error skips `g` and becomes the new future's, unless
  /// `g` takes a future<T>. A `g` that returns a future gives that future's result.
  template <class G>
  auto then(G&& g);

  /// Calls `g()`, or `g(std::exception_ptr)` with null for success, once done: on the thread that completes the call, or
  /// here if it is done. The one inline form: `g` must be short and must not block.
  template <class G>
  void on_done(G&& g) {
    need("on_done");
    state_->when_ready(*new detail::done_callback<std::decay_t<G>>(std::decay_t<G>(std::forward<G>(g))));
  }

  /// Turns it into a future that can be copied and read many times.
  shared_future<T> share() {
    need("share");
    return shared_future<T>(std::move(state_));
  }

  /// Awaits the result in a coroutine, which goes on on the executor it ran on; takes the result.
  auto operator co_await() && {
    need("co_await");
    class awaiter : public detail::ready_awaiter<T> {
     public:
      using detail::ready_awaiter<T>::ready_awaiter;
      T await_resume() { return detail::take_value(*this->state_); }
    };
    return awaiter(std::move(state_));
  }

  // For the library.
  future_state<T>* state() const noexcept { return state_.get(); }
  state_ref<future_state<T>> take_state() noexcept { return std::move(state_); }

 private:
  void need(const char* operation) const {
    if (!state_) [[unlikely]]
      detail::throw_no_state(operation);
  }
  state_ref<future_state<T>> state_;
};

/// A future that can be copied; every copy reads the same result. Copies may be used by different threads at once.
template <class T>
class [[nodiscard]] shared_future {
 public:
  shared_future() = default;
  explicit shared_future(state_ref<future_state<T>> state) noexcept : state_(std::move(state)) {}

  bool valid() const noexcept { return static_cast<bool>(state_); }
  bool done() const noexcept { return state_ && state_->is_ready(); }

  /// Blocks until done, then returns a reference that lives as long as a copy does, or throws the call's exception.
  decltype(auto) get(place here = place::current()) const {
    wait(here);
    if constexpr (std::is_void_v<T>) {
      state_->value();
    } else {
      return static_cast<const T&>(state_->value());
    }
  }
  void wait(place here = place::current()) const {
    if (!state_) detail::throw_no_state("wait");
    state_->wait(here);
  }
  bool wait_for(std::chrono::nanoseconds limit, place here = place::current()) const {
    if (!state_) detail::throw_no_state("wait");
    const auto deadline = detail::time_after(limit);
    return state_->wait(wait_how{.deadline = &deadline, .stop = {}, .here = here, .what = "shared_future::wait_for"}) ==
           wait_result::ready;
  }
  /// As future::cancel, for all copies.
  bool cancel() const { return state_ && state_->cancel(); }

  auto operator co_await() const {
    if (!state_) detail::throw_no_state("co_await");
    class awaiter : public detail::ready_awaiter<T> {
     public:
      using detail::ready_awaiter<T>::ready_awaiter;
      T await_resume() {
        if constexpr (std::is_void_v<T>) {
          this->state_->value();
        } else {
          return std::as_const(this->state_->value());
        }
      }
    };
    return awaiter(state_);
  }

 private:
  state_ref<future_state<T>> state_;
};

namespace detail {

template <class T>
inline constexpr bool is_future = false;
template <class T>
inline constexpr bool is_future<future<T>> = true;

template <class G, class T>
auto call_then(G& g, future_state<T>& from) {
  if constexpr (takes_value<G, T>) {
    if constexpr (std::is_void_v<T>) {
      from.value();
      return g();
    } else {
      return g(std::move(from.value()));
    }
  } else {
    from.observe();
    from.retain();
    return g(future<T>(state_ref<future_state<T>>(&from)));
  }
}

template <class G, class T>
using then_value = decltype(call_then(std::declval<G&>(), std::declval<future_state<T>&>()));

template <class G, class T>
struct then_invoke {
  G function;
  state_ref<future_state<T>> from;
  auto operator()(bool) { return call_then(function, *from); }
};

// The continuation: a call that is started when its source is ready.
template <class U, class G, class T>
class then_state final : public task_state<U, then_invoke<G, T>>, public ready_callback {
 public:
  using base = task_state<U, then_invoke<G, T>>;
  then_state(std::uint64_t home, G&& g, state_ref<future_state<T>> from)
      : base(home, then_invoke<G, T>{std::move(g), std::move(from)}) {
    this->configure({}, "then");
  }
  void on_ready(future_state_base& from) noexcept override {
    if (takes_value<G, T> && from.error() != nullptr) {
      this->abandon(from.error());  // no need to go anywhere to pass an error on
    } else {
      start_at_home(this->home(), call(this));
    }
  }
  void cancel_sources() noexcept override { this->invoke_.from->cancel(); }
};

// A future of a future, flattened.
template <class T>
class flat_state final : public future_state<T> {
 public:
  explicit flat_state(future<future<T>> outer) : future_state<T>(3), outer_(outer.take_state()), on_outer_(*this), on_inner_(*this) {
    outer_->when_ready(on_outer_);
  }

 private:
  struct outer_callback final : ready_callback {
    explicit outer_callback(flat_state& state) : self(state) {}
    void on_ready(future_state_base& outer) noexcept override {
      if (outer.error() != nullptr) {
        self.settle_error(outer.error());
        self.release();
      } else if (!self.outer_->value().valid()) {
        self.settle_error(std::make_exception_ptr(std::logic_error("then: the function returned an empty future")));
        self.release();
      } else {
        self.inner_ = self.outer_->value().take_state();
        self.inner_->when_ready(self.on_inner_);
      }
      self.release();
    }
    flat_state& self;
  };
  struct inner_callback final : ready_callback {
    explicit inner_callback(flat_state& state) : self(state) {}
    void on_ready(future_state_base& inner) noexcept override {
      if (inner.error() != nullptr) {
        self.settle_error(inner.error());
      } else {
        self.settle_value(std::move(self.inner_->value()));
      }
      self.release();
    }
    flat_state& self;
  };
  void cancel_sources() noexcept override { outer_->cancel(); }

  state_ref<future_state<future<T>>> outer_;
  state_ref<future_state<T>> inner_;
  outer_callback on_outer_;
  inner_callback on_inner_;
};

}  // namespace detail

template <class T>
template <class G>
auto future<T>::then(G&& g) {
  using function = std::decay_t<G>;
  static_assert(detail::takes_value<function, T> || std::invocable<function&, future<T>>,
                "tutti: then(g): g must take the result, or the future");
  need("then");
  using U = std::decay_t<detail::then_value<function, T>>;
  future_state<T>& from = *state_;
  auto* made = new detail::then_state<U, function, T>(from.home(), function(std::forward<G>(g)), std::move(state_));
  future<U> result{state_ref<future_state<U>>(made)};
  from.when_ready(*made);
  if constexpr (detail::is_future<U>) {
    return U(state_ref<future_state<typename U::value_type>>(
        new detail::flat_state<typename U::value_type>(std::move(result))));
  } else {
    return result;
  }
}

}  // namespace tutti
