// sleep: a coroutine that waits for a time, without holding a thread.
#pragma once
#include <tutti/core/suspension.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/task/await.hpp>

#include <chrono>

namespace tutti {

namespace detail {

class sleep_awaiter final : public own_awaiter, public suspension, private timer_entry {
 public:
  sleep_awaiter(const char* what, std::chrono::steady_clock::time_point until) noexcept
      : suspension(what), until_(until) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }
  void await_resume();

 private:
  bool wait(coroutine_link& link);
  void due() noexcept override { ticket().claim(0); }

  const std::chrono::steady_clock::time_point until_;
};

}  // namespace detail

/// Awaits until `duration` is over on tutti's clock, steady or virtual; zero or less lets others run, like yield_now; a
/// huge one lasts until the task is asked to stop. Throws `cancelled` then.
template <class Rep, class Period>
[[nodiscard]] detail::sleep_awaiter sleep_for(std::chrono::duration<Rep, Period> duration) noexcept {
  return {"sleep_for", detail::time_after(detail::saturated(duration))};
}
/// The same until `when`; at once, but for others that are queued, when that has passed.
[[nodiscard]] inline detail::sleep_awaiter sleep_until(std::chrono::steady_clock::time_point when) noexcept {
  return {"sleep_until", when};
}

}  // namespace tutti
