// promise: the other end of a future, for results that do not come from a submitted call.
#pragma once
#include <tutti/core/future.hpp>

#include <stdexcept>

namespace tutti {

/// Makes one future and completes it, from any thread. Destroyed without having done so, it completes the future with
/// broken_promise. Move-only. If the reader cancelled meanwhile, what is set is dropped.
template <class T>
class promise {
 public:
  /// Makes the future's place; get_future hands the future out.
  promise() : state_(new future_state<T>(1)) {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&& other) noexcept {
    if (this == &other) return *this;
    promise old(std::move(*this));
    state_ = std::move(other.state_);
    satisfied_ = other.satisfied_;
    retrieved_ = other.retrieved_;
    dropped_ = other.dropped_;
    return *this;
  }
  ~promise() {
    if (!state_ || satisfied_) return;
    if (!retrieved_) state_->observe();
    state_->settle_error(
        std::make_exception_ptr(broken_promise("promise destroyed before set_value or set_exception")));
  }

  /// Throws std::logic_error the second time.
  future<T> get_future() {
    check(!retrieved_, "get_future: the future was handed out already");
    retrieved_ = true;
    return future<T>(state_);
  }

  /// Completes the future with a value constructed from the arguments; for void, none. Wakes all who wait;
  /// continuations are handed to their executor, on_done callbacks run here. Throws std::logic_error when completed
  /// already.
  template <class... A>
    requires std::constructible_from<typename future_state<T>::value_type, A...>
  void set_value(A&&... arguments) {
    check(!satisfied_, "set_value: completed already");
    satisfied_ = true;
    dropped_ = state_->is_ready();
    // A reader that wakes may destroy this promise before settle_value returns.
    future_state<T>& state = *state_;
    const auto kept = detail::another_ref(state);
    state.settle_value(std::forward<A>(arguments)...);
  }
  /// Completes the future with an error.
  void set_exception(std::exception_ptr error) {
    check(!satisfied_, "set_exception: completed already");
    satisfied_ = true;
    dropped_ = state_->is_ready();
    future_state<T>& state = *state_;
    const auto kept = detail::another_ref(state);
    state.settle_error(std::move(error));
  }
  /// True when the reader has cancelled before the result was set: the work may be given up.
  bool stop_requested() const noexcept {
    return state_ && (state_->stop_requested() || (satisfied_ ? dropped_ : state_->is_ready()));
  }

 private:
  void check(bool ok, const char* message) const {
    if (!state_) throw std::logic_error("promise: moved from");
    if (!ok) throw std::logic_error(std::string("promise::") + message);
  }
  state_ref<future_state<T>> state_;
  bool satisfied_ = false;
  bool retrieved_ = false;
  bool dropped_ = false;  // what was set came after a cancel
};

/// A future that is done.
template <class T>
future<std::decay_t<T>> make_ready_future(T&& value) {
  promise<std::decay_t<T>> made;
  made.set_value(std::forward<T>(value));
  return made.get_future();
}

}  // namespace tutti
