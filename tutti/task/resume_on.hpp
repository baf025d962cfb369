// resume_on: moves a coroutine to another executor.
#pragma once
#include <tutti/core/local_executor.hpp>
#include <tutti/task/await.hpp>

namespace tutti {

namespace detail {

class move_awaiter final : public own_awaiter, public resume_node {
 public:
  explicit move_awaiter(std::uint64_t to) noexcept : to_(to) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
    return move(awaiter.promise());
  }
  void await_resume() const;

 private:
  bool move(coroutine_link& link) noexcept;
  const std::uint64_t to_;
  bool refused_ = false;
};

}  // namespace detail

/// Awaits being run by `target`: the coroutine that awaits this goes on there, and so do those that it awaits from now
/// on. The one that awaits *it* goes on where it was. `target` must accept work now; from then on it is not finished
/// before the coroutine has ended or moved on. Throws `closed` when it is shut down, `cancelled` when the task was
/// asked to stop.
[[nodiscard]] inline detail::move_awaiter resume_on(local_executor& target) noexcept {
  return detail::move_awaiter(executor_access::home(target));
}

}  // namespace tutti
