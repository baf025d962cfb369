// yield: lets other work of this executor run first.
#pragma once
#include <tutti/task/await.hpp>

namespace tutti {

namespace detail {

class requeue_awaiter : public own_awaiter, public resume_node {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> awaiter) noexcept {
    link_ = &awaiter.promise();
    link_->run->hold_home();
    post();
  }
  void await_resume() const noexcept {}
};

// Whether it is to stop or not.
inline requeue_awaiter let_others_run() noexcept { return {}; }

class yield_awaiter final : public requeue_awaiter {
 public:
  void await_resume() const {
    if (link_->run->stopping(*link_)) link_->run->throw_stopped("yield_now");
  }
};

}  // namespace detail

/// Puts the task behind what is queued on its executor now. Throws `cancelled` when it was asked to stop.
[[nodiscard]] inline detail::yield_awaiter yield_now() noexcept { return {}; }

}  // namespace tutti
