// with_timeout: a time limit on a task; shield: a task that a stop does not reach.
#pragma once
#include <tutti/task/children.hpp>

namespace tutti {

namespace detail {

template <class T>
task<T> run_child(const char* what, children::rule rule, task<T> work, const char* name,
                  std::optional<std::chrono::nanoseconds> timeout) {
  children one(what, rule);
  future<T> result;
  std::exception_ptr failed;
  try {
    result = one.spawn(std::move(work), 0, {.name = {}, .priority = 0, .timeout = timeout}, name);
  } catch (...) {
    failed = std::current_exception();
  }
  co_await one.left(0);
  if (failed != nullptr) std::rethrow_exception(failed);
  co_return result.get();
}

template <class A>
inline constexpr bool has_future = is_task<std::remove_cvref_t<A>> || is_future<std::remove_cvref_t<A>>;
template <class A>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

}  // namespace detail

/// Runs `work`, and stops it when it has not ended after `limit` on tutti's clock; when it then ends for that reason,
/// throws `timed_out`, which names it, as `name` or its function, and what it waited for. It has ended in any case, so
/// what it refers to may go. A result that came all the same is given, another error thrown. Zero or less stops it at
/// its first wait; a huge limit is none.
template <class T, class Rep, class Period>
task<T> with_timeout(task<T> work, std::chrono::duration<Rep, Period> limit, std::string_view name = {}) {
  if (!work.valid()) detail::throw_empty_task("with_timeout");
  const char* const shown = name.empty() ? work.function_name() : intern(name);
  return detail::run_child("with_timeout", detail::children::rule::stop_after_error, std::move(work), shown,
                           detail::saturated(limit));
}
/// The same for a future, which is cancelled; it has the name of its call.
template <class T, class Rep, class Period>
task<T> with_timeout(future<T> awaited, std::chrono::duration<Rep, Period> limit) {
  if (!awaited.valid()) detail::throw_no_state("with_timeout");
  const char* const shown = awaited.state()->describe();
  return detail::run_child("with_timeout", detail::children::rule::stop_after_error,
                           detail::await_future(std::move(awaited)), shown, detail::saturated(limit));
}
/// Nothing else can be stopped.
template <class A, class Limit, class... Name>
  requires(!(detail::has_future<A> && detail::is_duration<Limit>))
auto with_timeout(A&&, Limit, Name&&...) {
  static_assert(detail::has_future<A>,
                "tutti: with_timeout(work, limit): work is a task or a future: call the function that returns one, "
                "with_timeout(f(), limit); one that blocks: pool.submit(f)");
  static_assert(detail::is_duration<Limit>, "tutti: with_timeout(work, limit): limit is a duration, such as 2s");
  return task<>();
}

/// Runs `work` out of reach of whoever asks the awaiting task to stop: it is awaited to its end and gives its result;
/// the awaiting task learns of the stop at its next wait. For what must not be left half done, such as cleaning up. A
/// shutdown of the executor with `cancel` reaches it all the same.
template <class T>
task<T> shield(task<T> work) {
  if (!work.valid()) detail::throw_empty_task("shield");
  const char* const shown = work.function_name();
  return detail::run_child("shield", detail::children::rule::shield, std::move(work), shown, std::nullopt);
}
/// The same for a future.
template <class T>
task<T> shield(future<T> awaited) {
  return shield(detail::await_future(std::move(awaited)));
}

}  // namespace tutti
