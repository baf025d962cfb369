// await: what a task may await, and how: tasks, futures, the awaiters of this library, and those of others.
#pragma once
#include <tutti/core/future.hpp>
#include <tutti/core/suspension.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace tutti {

template <class T>
class task;

namespace detail {

// ---------------------------------------------------------------- futures

// Waits for a future. One that belongs to the coroutine is asked to stop with it, and waited for all the same: what
// runs there may use what lives here.
class future_wait_base : public own_awaiter, public suspension, public ready_callback {
 protected:
  explicit future_wait_base(bool owned) noexcept : suspension("a future"), owned_(owned) {}
  ~future_wait_base() override = default;
  /// Ready, or a task that has not begun and was begun now, and was ready at once.
  static bool ready(future_state_base& state) noexcept {
    return state.is_ready() || (!state.has_begun() && begin_now(state));
  }
  static bool begin_now(future_state_base& state) noexcept;
  bool wait(coroutine_link& link, future_state_base& state);
  void end_owned();
  void end_shared();
  void on_ready(future_state_base&) noexcept override { ticket().claim(0); }
  void on_stop() noexcept override;
  void describe(std::ostream& out) const override;

 private:
  void watch() noexcept;

  future_state_base* state_ = nullptr;
  wait_graph::watched_wait watched_;
  std::exception_ptr refused_;
  const bool owned_;
};

template <class T>
class future_wait : public future_wait_base {
 public:
  future_wait(state_ref<future_state<T>> state, bool owned, const char* what)
      : future_wait_base(owned), state_(std::move(state)) {
    if (!state_) throw_no_state(what);
  }
  bool await_ready() const noexcept { return this->ready(*state_); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return this->wait(awaiter.promise(), *state_);
  }

 protected:
  state_ref<future_state<T>> state_;
};

template <class T>
class future_awaiter final : public future_wait<T> {
 public:
  explicit future_awaiter(future<T>&& f) : future_wait<T>(f.take_state(), true, "co_await") {}
  T await_resume() {
    this->end_owned();
    return take_value(*this->state_);
  }
};

template <class T>
class shared_future_awaiter final : public future_wait<T> {
 public:
  explicit shared_future_awaiter(const shared_future<T>& f) : future_wait<T>(f.share_state(), false, "co_await") {}
  T await_resume() {
    this->end_shared();
    if constexpr (std::is_void_v<T>) {
      this->state_->value();
    } else {
      return std::as_const(this->state_->value());
    }
  }
};

// ---------------------------------------------------------------- awaitables of others

template <class A>
concept has_member_co_await = requires(A&& a) { static_cast<A&&>(a).operator co_await(); };
template <class A>
concept has_free_co_await = requires(A&& a) { operator co_await(static_cast<A&&>(a)); };

template <class A>
concept has_await_functions = requires(A& a) {
  static_cast<bool>(a.await_ready());
  a.await_resume();
};

template <class A>
decltype(auto) awaiter_of(A&& awaitable) {
  if constexpr (has_member_co_await<A>) {
    return static_cast<A&&>(awaitable).operator co_await();
  } else if constexpr (has_free_co_await<A>) {
    return operator co_await(static_cast<A&&>(awaitable));
  } else {
    return static_cast<A&&>(awaitable);
  }
}

// A coroutine that tells somebody when it is resumed, and is gone; or that it was destroyed.
struct resume_notice {
  static constexpr std::uint32_t resumed = 0, destroyed = 1;
  struct promise_type {
    explicit promise_type(wait_ticket& t) noexcept : ticket(&t) {}
    ~promise_type() { tell(destroyed); }
    promise_type(const promise_type&) = delete;
    promise_type& operator=(const promise_type&) = delete;
    resume_notice get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    auto initial_suspend() noexcept {
      struct until_resumed : std::suspend_always {
        explicit until_resumed(promise_type& p) noexcept : promise(p) {}
        void await_resume() const noexcept { promise.tell(resumed); }
        promise_type& promise;
      };
      return until_resumed(*this);
    }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
    void tell(std::uint32_t how) noexcept {
      if (wait_ticket* const told = std::exchange(ticket, nullptr)) told->claim(how);
    }
    wait_ticket* ticket;
  };
  /// Nobody needs to be told any more.
  void drop() const noexcept {
    handle.promise().ticket = nullptr;
    handle.destroy();
  }
  std::coroutine_handle<promise_type> handle;
};
resume_notice notify_when_resumed(wait_ticket& ticket);

// Awaits what another library made, which resumes what awaits it on any thread it likes: a resume_notice, so that the
// task goes on on its own executor. A stop cannot reach that wait. What the awaiter's functions throw is thrown by the
// await.
template <class Awaiter>
class foreign_awaiter final : public own_awaiter, public suspension {
 public:
  template <class A>
  foreign_awaiter(std::in_place_t, A&& awaitable)
      : suspension("an awaitable of another library"), awaiter_(awaiter_of(static_cast<A&&>(awaitable))) {}
  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    begin(awaiter.promise());
    const resume_notice notice = notify_when_resumed(ticket());
    const std::coroutine_handle<> handle = notice.handle;
    using suspends = decltype(awaiter_.await_suspend(handle));
    std::coroutine_handle<> next;
    try {
      if constexpr (std::is_void_v<suspends>) {
        awaiter_.await_suspend(handle);
      } else if constexpr (std::is_same_v<suspends, bool>) {
        if (!awaiter_.await_suspend(handle)) {
          notice.drop();
          return false;
        }
      } else {
        next = awaiter_.await_suspend(handle);
      }
    } catch (...) {
      notice.drop();
      throw;
    }
    if (next) [&]() noexcept { next.resume(); }();
    return commit();
  }
  decltype(auto) await_resume() {
    if (end() == resume_notice::destroyed) {
      throw closed("what a task awaited was destroyed, and never resumed it: an awaitable of another library");
    }
    return awaiter_.await_resume();
  }

 private:
  void on_stop() noexcept override {}
  Awaiter awaiter_;  // or a reference to it
};

// ---------------------------------------------------------------- the promise's part

// An awaiter that stands in the co_await expression itself: g++ 12 would copy it if await_transform returned a
// reference.
template <class Awaiter>
class awaiter_ref {
 public:
  explicit awaiter_ref(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}
  bool await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> coroutine) {
    return awaiter_.await_suspend(coroutine);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;
};

/// What coroutines of ours may await. Notes where, for `dump`.
class awaiting_promise : public coroutine_link {
 public:
  template <class T>
  auto await_transform(future<T>&& awaited, std::source_location where = std::source_location::current()) {
    this->at = where;
    return future_awaiter<T>(std::move(awaited));
  }
  template <class T>
  auto await_transform(const shared_future<T>& awaited, std::source_location where = std::source_location::current()) {
    this->at = where;
    return shared_future_awaiter<T>(awaited);
  }
  template <class T>
  auto await_transform(shared_future<T>& awaited, std::source_location where = std::source_location::current()) {
    return await_transform(std::as_const(awaited), where);
  }
  template <class T>
  auto await_transform(shared_future<T>&& awaited, std::source_location where = std::source_location::current()) {
    return await_transform(std::as_const(awaited), where);
  }
  template <class A>
  decltype(auto) await_transform(A&& awaitable, std::source_location where = std::source_location::current()) {
    this->at = where;
    using plain = std::remove_cvref_t<A>;
    using awaiter_type = decltype(awaiter_of(static_cast<A&&>(awaitable)));
    if constexpr ((is_task<plain> || is_future<plain>) && !std::is_same_v<A, plain>) {
      static_assert(
          sizeof(A) == 0,
          "tutti: awaiting takes a task or a future: write co_await std::move(t), with a t that is not const");
      return await_transform(plain(), where);  // of the same type, so that this stays the only error
    } else if constexpr (!has_await_functions<std::remove_reference_t<awaiter_type>>) {
      static_assert(sizeof(A) == 0,
                    "tutti: this cannot be awaited: co_await takes tasks, futures, what functions ending in _async or "
                    "sleep_for, yield_now, resume_on and next() return, and awaitables of other libraries");
      return std::suspend_never();
    } else if constexpr (std::derived_from<std::remove_cvref_t<A>, own_awaiter>) {
      return awaiter_ref<std::remove_reference_t<A>>(awaitable);
    } else if constexpr (std::derived_from<std::remove_cvref_t<awaiter_type>, own_awaiter>) {
      return awaiter_of(static_cast<A&&>(awaitable));
    } else {
      return foreign_awaiter<awaiter_type>(std::in_place, static_cast<A&&>(awaitable));
    }
  }
};

}  // namespace detail
}  // namespace tutti
