// task_group: tasks that are started one by one and cannot outlive the block they belong to.
#pragma once
#include <tutti/task/children.hpp>

#include <memory>
#include <optional>

namespace tutti {

/// The children of one `run`: what is spawned into it has ended when `run` has.
///
///     co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
///       group.spawn(serve(first));
///       group.spawn([&]() -> tutti::task<> { co_await work(); });
///       co_await tutti::sleep_for(1s);
///     });
///
/// A handle: it can be copied, and kept beyond the block, after which `spawn` throws `closed`. Thread-safe.
class task_group {
 public:
  /// Runs `body(group)`, a task, and awaits it and all that was spawned into the group, by it or by its children; gives
  /// the body's result. The first error of any of them stops all others, and is thrown when they have ended; further
  /// ones go to on_unhandled. A child that ends with `cancelled` is no error. A stop is passed on to all. `body` is
  /// kept until the end.
  template <class Body>
  static auto run(Body body) {
    constexpr bool returns_task = detail::returns_task<Body, task_group&>;
    static_assert(returns_task, "tutti: task_group::run(body): body(group) must return a task");
    if constexpr (returns_task) return run_all(std::move(body));
  }

  /// Starts a child on the executor of the calling code. Throws `closed` when the group has ended.
  void spawn(task<> work, const call_options& options = {}) {
    static_cast<void>(state_->spawn(std::move(work), 1, options));
  }
  /// The same for a child with a result. Its error is the group's too.
  template <class T>
    requires(!std::is_void_v<T>)
  future<T> spawn(task<T> work, const call_options& options = {}) {
    return state_->spawn(std::move(work), 1, options);
  }
  /// The same for a function that returns a task; it is kept until the child has ended.
  template <class G>
    requires detail::returns_task<std::decay_t<G>>
  auto spawn(G&& g, call_options options = {}) {
    const int retries = std::exchange(options.retries, 0);
    return spawn(detail::call_kept(std::decay_t<G>(std::forward<G>(g)), retries), options);
  }

  /// Asks all children to stop, and those to come, but not the body.
  void stop() const noexcept { state_->stop_others(); }

 private:
  task_group() = default;

  template <class Body>
  static auto run_all(Body body) -> std::decay_t<std::invoke_result_t<Body&, task_group&>> {
    task_group group;
    auto& state = *group.state_;
    using task_type = std::decay_t<std::invoke_result_t<Body&, task_group&>>;
    std::optional<future<typename task_type::value_type>> result;
    std::exception_ptr failed;
    try {
      result = state.spawn(body(group), 0);
    } catch (...) {
      failed = std::current_exception();
      state.stop();
    }
    do {
      co_await state.left(0);
    } while (!state.close());
    state.throw_first_error(failed);
    co_return result->get();
  }

  std::shared_ptr<detail::children> state_ =
      std::make_shared<detail::children>("task_group", detail::children::rule::group);
};

}  // namespace tutti
