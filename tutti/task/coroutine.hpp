// coroutine: task<T>, a lazy coroutine, awaited by another one or handed to an executor.
//
// A task<T> is one coroutine that has not begun. Awaited, it runs as part of the task that awaits it, like a function
// that is called; handed to an executor, or spawned, it becomes a task of its own, with a future. Everything else in
// this module is made of these two.
#pragma once
#include <tutti/core/block_cache.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/task/await.hpp>

#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>

namespace tutti {

template <class T>
class task;

namespace detail {

// Frames are as short-lived as tasks, and freed by other threads.
struct pooled_frame {
  static void* operator new(std::size_t size) { return block_cache::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { block_cache::deallocate(frame, size); }
};

class task_promise_base : public awaiting_promise, public pooled_frame {
 public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() noexcept {
    struct hand_over {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) const noexcept { link.run->ended(link); }
      void await_resume() const noexcept {}
      coroutine_link& link;
    };
    return hand_over{*this};
  }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }
  const std::exception_ptr& error() const noexcept { return error_; }

 protected:
  std::exception_ptr error_;
};

template <class T>
class task_promise final : public task_promise_base {
 public:
  task_promise() noexcept {}
  ~task_promise() {
    if (has_value_) value_.~T();
  }
  task_promise(const task_promise&) = delete;
  task_promise& operator=(const task_promise&) = delete;

  task<T> get_return_object(std::source_location function = std::source_location::current()) noexcept;
  template <class U = T>
    requires std::convertible_to<U, T>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U>) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<U>(value));
    has_value_ = true;
  }
  /// The result, to be moved from; throws the coroutine's exception.
  T& result() {
    if (this->error_ != nullptr) std::rethrow_exception(this->error_);
    return value_;
  }

 private:
  union {
    T value_;
  };
  bool has_value_ = false;
};

template <>
class task_promise<void> final : public task_promise_base {
 public:
  task<void> get_return_object(std::source_location function = std::source_location::current()) noexcept;
  void return_void() const noexcept {}
  void result() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }
};

[[noreturn]] void throw_empty_task(const char* operation);

// What a coroutine holds while it awaits another one.
template <class T>
class task_awaiter : public own_awaiter {
 public:
  explicit task_awaiter(task<T>&& child) noexcept : child_(std::move(child)) {}
  bool await_ready() const {
    if (!child_.valid()) throw_empty_task("co_await");
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
    coroutine_link& link = child_.handle_.promise();
    coroutine_link& below = awaiter.promise();
    link.run = below.run;
    link.awaiter = &below;
    link.home = below.home;
    below.run->go_on_with(link);
  }
  T await_resume() {
    // Its frame goes with this awaiter, when the expression has been evaluated.
    if constexpr (std::is_void_v<T>) {
      child_.handle_.promise().result();
    } else {
      return std::move(child_.handle_.promise().result());
    }
  }

 private:
  task<T> child_;
};

}  // namespace detail

/// A coroutine that returns a T, or nothing, and has not begun: `task<int> answer() { co_return 42; }`. Its parameters
/// are copied, or moved, into it; what they refer to must outlive it. A lambda's captures are not part of its
/// coroutine: keep the lambda, or hand it to what takes functions that return tasks (submit, spawn, ...), which keeps
/// it.
///
///     co_await std::move(t)      runs it in the task that awaits it; gives its result or throws its exception
///     pool.submit(std::move(t))  makes it a task of its own, on that executor; gives a future
///     sync_wait(std::move(t))    runs it on this thread
///
/// Each of these takes it, once; awaiting one that is empty throws std::logic_error. Destroying one that has not begun
/// destroys its parameters and runs nothing. Move-only; not thread-safe.
///
/// A coroutine that is asked to stop (future::cancel, a timeout, a group, its executor's shutdown with `cancel`) learns
/// of it at its awaits: each that would have to wait throws `cancelled`, from then on.
template <class T = void>
class [[nodiscard("a task does nothing until it is awaited, submitted or spawned")]] task {
  static_assert(!std::is_reference_v<T>,
                "tutti: a task returns a value: what a reference refers to may be gone when the result is used; return "
                "a pointer or std::reference_wrapper if it is not");

 public:
  using value_type = T;
  using promise_type = detail::task_promise<T>;

  /// Holds nothing.
  task() = default;
  task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  task(const task&) = delete;  // a task runs once: hand it on with std::move(t)
  task& operator=(task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~task() {
    if (handle_) handle_.destroy();
  }

  /// False when it holds nothing: moved from, awaited, submitted.
  bool valid() const noexcept { return static_cast<bool>(handle_); }

  /// Runs it in the awaiting task, on whose executor it begins.
  detail::task_awaiter<T> operator co_await() && noexcept { return detail::task_awaiter<T>(std::move(*this)); }

  // For the library.
  explicit task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  const char* function_name() const noexcept { return handle_.promise().made.function_name(); }
  std::coroutine_handle<promise_type> release() noexcept { return std::exchange(handle_, {}); }

 private:
  friend class detail::task_awaiter<T>;
  std::coroutine_handle<promise_type> handle_;
};

template <class T>
inline constexpr bool is_task<task<T>> = true;

/// A function that returns a task delivers its result.
template <class T>
struct function_result<task<T>> {
  using type = T;
  static T get(task<T>&& result);  // see sync_wait.hpp
};

namespace detail {

// Functions that return a task when they are called with these arguments.
template <class F, class... A>
concept returns_task = std::invocable<F&, A...> && is_task<std::decay_t<std::invoke_result_t<F&, A...>>>;

template <class T>
task<T> task_promise<T>::get_return_object(std::source_location function) noexcept {
  const auto self = std::coroutine_handle<task_promise>::from_promise(*this);
  this->handle = self;
  this->made = function;
  return task<T>(self);
}
inline task<void> task_promise<void>::get_return_object(std::source_location function) noexcept {
  const auto self = std::coroutine_handle<task_promise>::from_promise(*this);
  handle = self;
  made = function;
  return task<void>(self);
}

}  // namespace detail
}  // namespace tutti
