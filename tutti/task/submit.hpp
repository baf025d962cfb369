// submit: a task handed to an executor becomes a task of its own, with a future.
#pragma once
#include <tutti/core/executor.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/task/coroutine.hpp>

#include <algorithm>

namespace tutti {

namespace detail {

// A task of its own: the run of its coroutines and the state of its future, in one allocation.
template <class T>
class task_run final : public coroutine_run, public future_state<T>, public pooled {
 public:
  task_run(std::uint64_t home, std::coroutine_handle<task_promise<T>> outermost) noexcept
      : coroutine_run(outermost.promise()), future_state<T>(2, home), outermost_(outermost) {}
  ~task_run() override {
    this->drop_limits();
    if (outermost_) destroy_outermost();  // never begun
  }

  future_state_base& state() noexcept override { return *this; }

 private:
  void collect() noexcept override {
    task_promise<T>& promise = outermost_.promise();
    if (promise.error() != nullptr) {
      this->set_error(this->final_error(promise.error()));
    } else if constexpr (std::is_void_v<T>) {
      this->construct();
    } else {
      this->construct(std::move(promise.result()));
    }
    // Before anybody can see that it has ended: what its coroutine refers to may go then.
    std::exchange(outermost_, {}).destroy();
  }
  void destroy_outermost() noexcept override { std::exchange(outermost_, {}).destroy(); }
  void drop() noexcept override { destroy_outermost(); }
  // What its coroutine was given may be that thread's alone.
  bool is_dropped_at_home() const noexcept override { return is_driven_elsewhere(future_state_base::home()); }
  bool is_over() const noexcept override { return this->has_begun(); }
  bool run_here() noexcept override { return this->begin_here(); }
  bool begin_awaited() noexcept override { return run_here(); }
  void expedite(int priority) noexcept override {
    if (!this->has_begun() && priority > this->priority()) expedite_queued(*this, *this, priority);
  }
  void cancel_sources() noexcept override { this->stop_waiting(); }
  std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept override {
    return this->run_deadline();
  }
  const char* describe() const noexcept override { return this->name(); }

  std::coroutine_handle<task_promise<T>> outermost_;
};

// Makes a task of its own, and hands it to `start`. `name`: unless the options give one; null: its function's.
template <class T, class Start>
future<T> launch_task(std::uint64_t home, const call_options& options, const char* name, task<T>&& work, Start start) {
  if (!work.valid()) throw_empty_task("submit");
  // Owned by its future and the call from here on; the coroutine by it.
  if (name == nullptr) name = work.function_name();
  auto* const run = new task_run<T>(home, work.release());
  future<T> result{state_ref<future_state<T>>(static_cast<future_state<T>*>(run))};
  call queued(run);
  try {
    run->configure(options, name);
    start(std::move(queued));
  } catch (...) {
    result.state()->observe();  // the caller gets the exception instead
    throw;
  }
  return result;
}

template <class T>
task<T> await_future(future<T> awaited) {
  co_return co_await std::move(awaited);
}

// What may be tried again after an error.
inline bool may_try_again(int retries) {
  return retries > 0 && !this_task::stop_requested() && is_retryable(std::current_exception());
}

// Runs a function that returns a task; the function lives here.
template <class G>
std::decay_t<std::invoke_result_t<G&>> call_kept(G function, int retries) {
  for (;; --retries) {
    try {
      co_return co_await function();
    } catch (...) {
      if (!may_try_again(retries)) throw;
    }
  }
}

// The same for a portable function, whose arguments live here.
template <auto F>
typename function_traits<F>::raw_result call_with(typename function_traits<F>::stored_args arguments, int retries) {
  using traits = function_traits<F>;
  if constexpr (std::copy_constructible<typename traits::stored_args>) {
    for (; retries > 0; --retries) {
      try {
        auto copy = arguments;  // values are moved out of them
        co_return co_await traits::call(copy);
      } catch (...) {
        if (!may_try_again(retries)) throw;
      }
    }
  }
  co_return co_await traits::call(arguments);
}

void refuse_retries(const call_options& options);

template <class T>
future<T> launch_on(executor& target, call_options options, const char* name, task<T>&& work) {
  return launch_task(executor_access::home(target), options, name, std::move(work),
                     [&](call queued) { executor_access::start(target, std::move(queued)); });
}

}  // namespace detail

// What the `submit` of executors that share memory does with tasks, and with functions that return one.

template <class T>
future<T> submit_task(executor& target, const call_options& options, task<T> work) {
  detail::refuse_retries(options);
  return detail::launch_on(target, options, nullptr, std::move(work));
}
template <class G>
auto submit_task_function(executor& target, const call_options& options, G function) {
  return detail::launch_on(target, options, "", detail::call_kept(std::move(function), options.retries));
}
template <auto F, class Arguments>
auto submit_task_function(executor& target, const call_options& options, const char* name, Arguments arguments) {
  return detail::launch_on(target, options, name, detail::call_with<F>(std::move(arguments), options.retries));
}

}  // namespace tutti
