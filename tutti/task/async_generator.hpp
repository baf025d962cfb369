// async_generator: a sequence of values made by a coroutine that may await between them.
#pragma once
#include <tutti/task/coroutine.hpp>

#include <optional>
#include <stdexcept>

namespace tutti {

template <class T>
class async_generator;

namespace detail {

template <class T>
class async_generator_promise final : public awaiting_promise, public pooled_frame {
 public:
  async_generator<T> get_return_object(std::source_location function = std::source_location::current()) noexcept;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() noexcept {
    over = true;
    return back{*this};
  }
  template <class U = T>
    requires std::constructible_from<T, U>
  auto yield_value(U&& next) {
    value.emplace(std::forward<U>(next));
    return back{*this};
  }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { error = std::current_exception(); }

  std::optional<T> value;
  std::exception_ptr error;
  bool over = false;
  bool waiting = false;  // between next() and the value

 private:
  // Gives the thread back to who awaits the next value.
  struct back : own_awaiter {
    explicit back(async_generator_promise& p) noexcept : promise(p) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept { promise.run->ended(promise); }
    void await_resume() const noexcept {}
    async_generator_promise& promise;
  };
};

template <class T>
class next_awaiter final : public own_awaiter {
 public:
  explicit next_awaiter(async_generator_promise<T>* from) noexcept : from_(from) {}
  bool await_ready() const {
    if (from_ == nullptr) throw std::logic_error("async_generator: next(): it holds nothing: it was moved from");
    if (from_->waiting) {
      throw std::logic_error("async_generator: next(): another task awaits the next value; one at a time");
    }
    return from_->over;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
    coroutine_link& below = awaiter.promise();
    from_->waiting = true;
    from_->run = below.run;
    from_->awaiter = &below;
    from_->home = below.home;
    below.run->go_on_with(*from_);
  }
  std::optional<T> await_resume() {
    from_->waiting = false;
    if (from_->error != nullptr) std::rethrow_exception(std::exchange(from_->error, nullptr));
    return std::exchange(from_->value, std::nullopt);
  }

 private:
  async_generator_promise<T>* from_;
};

}  // namespace detail

/// A coroutine that makes values one by one, and may co_await in between; it runs as part of the task that awaits the
/// next one. See `generator` for one that does not wait.
///
///     tutti::async_generator<int> ticks() {
///       for (int i = 0;; ++i) {
///         co_await tutti::sleep_for(1s);
///         co_yield i;
///       }
///     }
///     auto source = ticks();
///     while (auto tick = co_await source.next()) use(*tick);
///
/// Destroying it destroys what its coroutine holds, wherever it stopped. Move-only; for one task at a time. It goes on
/// on the executor of who awaits the next value: a resume_on in it lasts until its next co_yield. Do not hold a
/// task_local binding across a co_yield: it would be in force for the consumer.
template <class T>
class [[nodiscard]] async_generator {
  static_assert(std::is_object_v<T>, "tutti: async_generator yields values: give the type of an object");

 public:
  using value_type = T;
  using promise_type = detail::async_generator_promise<T>;

  /// Holds nothing.
  async_generator() = default;
  async_generator(async_generator&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  async_generator& operator=(async_generator&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~async_generator() {
    if (handle_) handle_.destroy();
  }

  /// Awaits the next value; nothing at the end, and from then on. Throws what the coroutine throws, which ends it.
  [[nodiscard]] detail::next_awaiter<T> next() noexcept {
    return detail::next_awaiter<T>(handle_ ? &handle_.promise() : nullptr);
  }

  // For the library.
  explicit async_generator(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

 private:
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <class T>
async_generator<T> async_generator_promise<T>::get_return_object(std::source_location function) noexcept {
  const auto self = std::coroutine_handle<async_generator_promise>::from_promise(*this);
  this->handle = self;
  this->made = function;
  return async_generator<T>(self);
}
}  // namespace detail

}  // namespace tutti
