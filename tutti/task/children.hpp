// children: the tasks that a coroutine has started and waits for; behind when_all, when_any, with_timeout, task_group.
//
// Nothing is left behind: whoever has started children awaits `left(0)` before it ends, whatever happens. A stop of the
// parent is passed on to them, and waited for as well.
#pragma once
#include <tutti/task/spawn.hpp>

#include <mutex>

namespace tutti::detail {

class children {
 public:
  enum class rule : std::uint8_t {
    wait,              // each ends as it likes
    stop_after_error,  // the first error stops the others
    stop_after_first,  // the first to end stops the others
    shield,            // a stop of the parent is not passed on
    group,             // as stop_after_error, but being cancelled is no error
  };
  /// `what`: a literal, for people: "when_all".
  children(const char* what, rule r) noexcept : what_(what), rule_(r) {}
  ~children();
  children(const children&) = delete;
  children& operator=(const children&) = delete;

  /// Starts a child, the `index`th. Throws as spawn does; then there is none. `name`: as for launch_task.
  template <class T>
  future<T> spawn(task<T>&& work, std::size_t index, const call_options& options = {}, const char* name = nullptr) {
    child* const entry = enter(index);
    try {
      future<T> result = spawn_here(std::move(work), options, name);
      watch(*entry, *result.state());
      return result;
    } catch (...) {
      drop(*entry);
      throw;
    }
  }

  class waiter;
  /// Awaits that no more than `count` are left; never throws.
  waiter left(std::size_t count) noexcept;

  /// Asks all to stop, and those to come.
  void stop() noexcept { stop(/*first_too=*/true); }
  /// The same but for the first one.
  void stop_others() noexcept { stop(/*first_too=*/false); }
  bool stopping() const noexcept;
  /// From now on there are no more, unless there are some.
  bool close() noexcept;

  // Once all have ended:
  /// Throws why not all could be started, unless it is null; a child's error, which nobody will look at then, goes to
  /// on_unhandled.
  void throw_failure(const std::exception_ptr& failed) const;
  /// The same, or throws the first error of a child, or `cancelled` as throw_if_stopped.
  void throw_first_error(const std::exception_ptr& failed) const;
  /// Throws `cancelled` when the parent was asked to stop and a child has ended for that reason.
  void throw_if_stopped() const;
  std::size_t first_to_end() const noexcept { return first_to_end_; }

 private:
  struct child;
  child* enter(std::size_t index);
  void watch(child& entry, future_state_base& state) noexcept;
  void drop(child& entry) noexcept;
  void ended(child& entry, future_state_base& state) noexcept;
  void left_by_one() noexcept;
  void fail(std::exception_ptr error) noexcept;
  std::vector<state_ref<future_state_base>> left_now() const;
  void stop(bool first_too) noexcept;
  void link(child& entry) noexcept;
  void unlink(child& entry) noexcept;
  void describe(std::ostream& out) const;

  const char* const what_;
  const rule rule_;
  mutable small_mutex mutex_;  // of what follows
  child* newest_ = nullptr;    // those not asked to stop yet come first
  child* oldest_ = nullptr;
  child* spared_ = nullptr;  // the first, by stop_others
  std::size_t count_ = 0;
  waiter* waiter_ = nullptr;
  bool stopping_ = false, closed_ = false;
  bool parent_stopped_ = false, cancelled_ = false;  // and: a child ended with `cancelled`
  std::size_t first_to_end_ = none;
  std::exception_ptr first_error_;
  bool first_error_cancelled_ = false;
  static constexpr std::size_t none = ~std::size_t{0};
};

class children::waiter final : public own_awaiter, public suspension {
 public:
  waiter(children& of, std::size_t count) noexcept : suspension(of.what_), of_(of), limit_(count) {}
  bool await_ready() const noexcept;
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }
  void await_resume() noexcept {
    end();
    watched_.end();
  }

 private:
  friend class children;
  bool wait(coroutine_link& link) noexcept;
  void watch() noexcept;
  void on_stop() noexcept override;
  void describe(std::ostream& out) const override { of_.describe(out); }

  children& of_;
  const std::size_t limit_;
  // While observed: keeps those it waits for, which are known by their addresses.
  std::vector<state_ref<future_state_base>> awaited_;
  wait_graph::watched_wait watched_;
};

inline children::waiter children::left(std::size_t count) noexcept { return {*this, count}; }

/// The value of a future that is ready.
template <class T>
typename future_state<T>::value_type take_ready(future<T>& from) {
  return std::move(from.state()->value());
}

}  // namespace tutti::detail
