// future: the result of a call that may still be running.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/base/function.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/task_state.hpp>
#include <tutti/core/unhandled.hpp>

#include <concepts>
#include <coroutine>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace tutti {

template <class T>
class future;
template <class T>
class shared_future;

namespace detail {

[[noreturn]] void throw_no_state(const char* operation);
/// Where a coroutine suspended here goes on: this worker's pool, or 0, the default pool.
std::uint64_t resume_home() noexcept;

// Futures made from other futures form chains, a million links long at times. What passes along a chain - a
// cancellation, a priority, the release of the last reference - recurses a little, then goes on in a loop of the
// outermost call.
void in_turn(state_ref<future_state_base> state, void (*act)(future_state_base&, int) noexcept, int argument) noexcept;
void cancel_in_turn(state_ref<future_state_base> state) noexcept;
void expedite_in_turn(state_ref<future_state_base> state, int priority) noexcept;
inline state_ref<future_state_base> another_ref(future_state_base& state) noexcept {
  state.retain();
  return state_ref<future_state_base>(&state);
}

/// Whether the calling thread is a worker of that executor (0: of default_pool()).
bool at_home(std::uint64_t home) noexcept;
/// On a worker: runs what `part` waits for, as far as it has not begun and belongs to this worker's pool. Does not
/// wait.
void run_part(future_state_base& part) noexcept;
/// For run_here of futures made from others: waits for `part` and helps meanwhile. May return before it is ready.
void help_part(future_state_base& part) noexcept;

// A reference that is given up while other threads may still look at it.
template <class State>
class source_ref {
 public:
  explicit source_ref(state_ref<State> state = {}) noexcept : state_(std::move(state)) {}
  source_ref(const source_ref&) = delete;
  source_ref& operator=(const source_ref&) = delete;
  ~source_ref() {
    if (state_) in_turn(std::move(state_), nullptr, 0);
  }
  state_ref<State> get() const noexcept {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  state_ref<State> take() noexcept {
    const std::lock_guard lock(mutex_);
    return std::move(state_);
  }
  void set(state_ref<State> state) noexcept {
    const std::lock_guard lock(mutex_);
    state_ = std::move(state);
  }

 private:
  mutable small_mutex mutex_;
  state_ref<State> state_;
};

// What G returns for a T, or for void.
template <class G, class T>
struct then_result : std::invoke_result<G&, T> {};
template <class G>
struct then_result<G, void> : std::invoke_result<G&> {};

template <class G, class T>
concept takes_value = (std::is_void_v<T> && std::invocable<G&>) || (!std::is_void_v<T> && std::invocable<G&, T>);

// As one concept, for the second is not even looked at when the first holds: that could be an error in a generic
// lambda.
template <class G, class T>
concept takes_value_or_future = takes_value<G, T> || std::invocable<G&, future<T>>;

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
        state.observe();
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
class [[nodiscard("the result comes through it; to drop it, which lets the call run on, write (void)")]] future {
 public:
  using value_type = T;

  /// Holds nothing.
  future() = default;
  future(future&&) noexcept = default;
  future(const future&) = delete;  // a future is read once: hand it on with std::move(f), or share() it
  future& operator=(future&&) noexcept = default;
  /// Holds what `state` will have. For the library.
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
  /// this_task::stop_requested) and returns false, as it does when it is done, and for a coroutine task that a loop of
  /// another thread is yet to begin: what it holds goes there, at its turn. Whoever waits hears of it. A future made
  /// from others (when_all, when_any, submit_bulk, a `then` that returned a future) passes it on to them, returns
  /// false, and is done when they are.
  bool cancel() {
    need("cancel");
    return state_->cancel();
  }

  /// Takes the result to `g`, which is called with it on the executor this future came from (on default_pool() for
  /// promises, and for combined futures whose parts came from several), never inside the completion. An error skips `g`
  /// and becomes the new future's, unless `g` takes a future<T>. A `g` that returns a future gives that future's
  /// result.
  template <class G>
  auto then(G&& g);

  /// Calls `g()`, or `g(std::exception_ptr)` with null for success, once done: on the thread that completes the call,
  /// or here if it is done. The one inline form: `g` must be short and must not block.
  template <class G>
  void on_done(G&& g) {
    need("on_done");
    state_->when_ready(*new detail::done_callback<std::decay_t<G>>(std::decay_t<G>(std::forward<G>(g))));
  }

  /// Turns it into a future that can be copied and read many times; takes the result.
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
  using value_type = T;

  /// Holds nothing.
  shared_future() = default;
  /// Holds what `state` will have. For the library.
  explicit shared_future(state_ref<future_state<T>> state) noexcept : state_(std::move(state)) {}

  /// False when nothing is held.
  bool valid() const noexcept { return static_cast<bool>(state_); }
  /// True once get() would not block.
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
  /// Blocks until done. Throws std::logic_error when nothing is held.
  void wait(place here = place::current()) const {
    if (!state_) detail::throw_no_state("wait");
    state_->wait(here);
  }
  /// Blocks until done (true) or until `limit` is over (false); zero or less only looks.
  bool wait_for(std::chrono::nanoseconds limit, place here = place::current()) const {
    if (!state_) detail::throw_no_state("wait");
    const auto deadline = detail::time_after(limit);
    return state_->wait(wait_how{.deadline = &deadline, .stop = {}, .here = here, .what = "shared_future::wait_for"}) ==
           wait_result::ready;
  }
  /// As future::cancel, for all copies.
  bool cancel() const { return state_ && state_->cancel(); }

  /// Awaits the result in a coroutine, which goes on on the executor it ran on and gets a copy.
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

  // For the library.
  state_ref<future_state<T>> share_state() const noexcept { return state_; }

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
  then_invoke(G&& g, state_ref<future_state<T>> source) : function(std::move(g)), from(std::move(source)) {}
  auto operator()(bool) {
    const state_ref<future_state<T>> source = from.take();  // no longer than needed: chains are long
    return call_then(function, *source);
  }
  G function;
  source_ref<future_state<T>> from;
};

// The continuation: a call that is started when its source is ready.
template <class U, class G, class T>
class then_state final : public task_state<U, then_invoke<G, T>>, public ready_callback {
 public:
  using base = task_state<U, then_invoke<G, T>>;
  then_state(std::uint64_t home, G&& g, state_ref<future_state<T>> from) : base(home, std::move(g), std::move(from)) {
    this->configure({}, "then");
  }
  void on_ready(future_state_base& source) noexcept override {
    source.observe();         // its error is ours now
    if (this->has_begun()) {  // cancelled, or run by who waits for it
      this->release();
    } else if (takes_value<G, T> && source.error() != nullptr) {
      // No need to go anywhere to pass an error on.
      if (this->claim()) {
        std::exception_ptr error = source.error();
        static_cast<void>(this->invoke_.from.take());
        this->settle_error(std::move(error));
      }
      this->release();
    } else {
      start_at_home(this->home(), call(this));
    }
  }
  bool is_follow_up() const noexcept override { return true; }
  bool run_here() noexcept override {
    if (const auto source = this->invoke_.from.get()) {
      help_part(*source);
      if (!source->is_ready() || !at_home(this->home())) return true;
    }
    return this->run_if_home();
  }
  void expedite(int priority) noexcept override {
    auto source = this->invoke_.from.get();
    if (source && !source->is_ready()) {
      expedite_in_turn(std::move(source), priority);
    } else if (!this->has_begun()) {
      this->expedite_call(priority);
    }
  }
  void cancel_sources() noexcept override {
    if (auto source = this->invoke_.from.get()) cancel_in_turn(std::move(source));
  }
};

// A future of a future, flattened. Claimed at birth: cancelling asks the sources, and it is done when they are.
template <class T>
class flat_state final : public future_state<T> {
 public:
  explicit flat_state(future<future<T>> outer)
      : future_state<T>(3, outer.state()->home()), outer_(outer.take_state()), on_outer_(*this), on_inner_(*this) {
    this->claim();
  }
  void begin() { outer_.get()->when_ready(on_outer_); }

 private:
  struct outer_callback final : ready_callback {
    explicit outer_callback(flat_state& state) : self(state) {}
    void on_ready(future_state_base& outer) noexcept override {
      self.outer_done(static_cast<future_state<future<T>>&>(outer));
    }
    flat_state& self;
  };
  struct inner_callback final : ready_callback {
    explicit inner_callback(flat_state& state) : self(state) {}
    void on_ready(future_state_base& inner) noexcept override { self.inner_done(static_cast<future_state<T>&>(inner)); }
    flat_state& self;
  };
  void outer_done(future_state<future<T>>& outer) noexcept {
    outer.observe();
    if (outer.error() != nullptr) {
      this->settle_error(outer.error());
      this->release();
    } else if (!outer.value().valid()) {
      this->settle_error(std::make_exception_ptr(std::logic_error("then: the function returned an empty future")));
      this->release();
    } else {
      state_ref<future_state<T>> inner = outer.value().take_state();
      inner_.set(inner);
      // Whoever cancels sets the flag before looking for the inner one.
      if (this->stop_requested()) cancel_in_turn(another_ref(*inner));
      inner->when_ready(on_inner_);
    }
    static_cast<void>(outer_.take());
    this->release();
  }
  void inner_done(future_state<T>& inner) noexcept {
    inner.observe();
    if (inner.error() != nullptr) {
      this->settle_error(inner.error());
    } else {
      this->settle_value(std::move(inner.value()));
    }
    if (auto done = inner_.take()) in_turn(std::move(done), nullptr, 0);
    this->release();
  }
  bool run_here() noexcept override {
    if (const auto outer = outer_.get()) help_part(*outer);
    if (const auto inner = inner_.get()) help_part(*inner);
    return true;
  }
  void expedite(int priority) noexcept override {
    if (auto outer = outer_.get()) expedite_in_turn(std::move(outer), priority);
    if (auto inner = inner_.get()) expedite_in_turn(std::move(inner), priority);
  }
  void cancel_sources() noexcept override {
    if (auto outer = outer_.get()) cancel_in_turn(std::move(outer));
    if (auto inner = inner_.get()) cancel_in_turn(std::move(inner));
  }

  source_ref<future_state<future<T>>> outer_;
  source_ref<future_state<T>> inner_;
  outer_callback on_outer_;
  inner_callback on_inner_;
};

}  // namespace detail

template <class T>
template <class G>
auto future<T>::then(G&& g) {
  using function = std::decay_t<G>;
  static_assert(detail::takes_value_or_future<function, T>, "tutti: then(g): g must take the result, or the future");
  need("then");
  using U = std::decay_t<detail::then_value<function, T>>;
  static_assert(!is_task<U>,
                "tutti: then(g): g returns a coroutine task, which then would only create: co_await the future in a "
                "coroutine, and then that task");
  const state_ref<future_state<T>> from = state_;
  auto* made = new detail::then_state<U, function, T>(from->home(), function(std::forward<G>(g)), std::move(state_));
  future<U> result{state_ref<future_state<U>>(made)};
  from->when_ready(*made);
  if constexpr (detail::is_future<U>) {
    using V = typename U::value_type;
    auto* flat = new detail::flat_state<V>(std::move(result));
    U inner{state_ref<future_state<V>>(flat)};
    flat->begin();
    return inner;
  } else {
    return result;
  }
}

}  // namespace tutti
