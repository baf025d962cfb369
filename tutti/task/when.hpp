// when: several tasks at once: when_all, when_all_settled, when_any.
#pragma once
#include <tutti/core/when.hpp>
#include <tutti/task/children.hpp>
#include <tutti/task/yield.hpp>

#include <ranges>
#include <tuple>
#include <variant>
#include <vector>

namespace tutti {

/// A result or an error.
template <class T>
class outcome {
 public:
  using value_type = typename future_state<T>::value_type;
  outcome(value_type value) : held_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  outcome(std::exception_ptr error)
      : held_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return held_.index() == 0; }
  /// The result; throws the error.
  value_type& value() & {
    if (!has_value()) std::rethrow_exception(std::get<1>(held_));
    return std::get<0>(held_);
  }
  const value_type& value() const& { return const_cast<outcome*>(this)->value(); }
  value_type&& value() && { return std::move(value()); }
  /// The error; null when there is a result.
  std::exception_ptr error() const noexcept { return has_value() ? nullptr : std::get<1>(held_); }

 private:
  std::variant<value_type, std::exception_ptr> held_;
};

namespace detail {

template <class T>
using value_of = typename future_state<T>::value_type;

template <class R>
concept task_range = std::ranges::input_range<R> && is_task<std::remove_cvref_t<std::ranges::range_reference_t<R>>>;
template <class R>
using range_result = typename std::remove_cvref_t<std::ranges::range_reference_t<R>>::value_type;

template <class R>
auto gather(R&& tasks) {
  static_assert(!std::is_lvalue_reference_v<R>,
                "tutti: awaiting takes the tasks: hand the range over with std::move(tasks)");
  std::vector<task<range_result<R>>> all;
  if constexpr (std::ranges::sized_range<R>) all.reserve(static_cast<std::size_t>(std::ranges::size(tasks)));
  for (auto&& one : tasks) all.push_back(std::move(one));
  return all;
}

// Starts all, or, when that fails, stops those that were and gives the reason; `left(0)` comes next.
template <class T>
task<std::exception_ptr> start_all(children& all, std::vector<task<T>>& tasks, std::vector<future<T>>& results) {
  // Of many, some run while the next are not there yet: what they touch is still in the caches.
  constexpr std::size_t at_once = 128;
  try {
    results.reserve(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (i % at_once == at_once - 1) co_await let_others_run();
      results.push_back(all.spawn(std::move(tasks[i]), i));
    }
    co_return nullptr;
  } catch (...) {
    all.stop();
    co_return std::current_exception();
  }
}
template <class... T>
std::exception_ptr start_all(children& all, std::tuple<task<T>...>& tasks, std::tuple<future<T>...>& results) noexcept {
  try {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((std::get<I>(results) = all.spawn(std::move(std::get<I>(tasks)), I)), ...);
    }(std::index_sequence_for<T...>());
    return nullptr;
  } catch (...) {
    all.stop();
    return std::current_exception();
  }
}

template <class T>
outcome<T> outcome_of(future<T>& ready) {
  if (const std::exception_ptr& error = ready.state()->error()) return error;
  return take_ready(ready);
}

template <class T>
task<std::conditional_t<std::is_void_v<T>, void, std::vector<value_of<T>>>> all_of(std::vector<task<T>> tasks) {
  children all("when_all", children::rule::stop_after_error);
  std::vector<future<T>> results;
  const std::exception_ptr failed = co_await start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_first_error(failed);
  if constexpr (!std::is_void_v<T>) {
    std::vector<T> values;
    values.reserve(results.size());
    for (auto& result : results) values.push_back(take_ready(result));
    co_return values;
  }
}

template <class... T>
task<std::conditional_t<(std::is_void_v<T> && ...), void, std::tuple<value_of<T>...>>> all_of(
    std::tuple<task<T>...> tasks) {
  children all("when_all", children::rule::stop_after_error);
  std::tuple<future<T>...> results;
  const std::exception_ptr failed = start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_first_error(failed);
  if constexpr (!(std::is_void_v<T> && ...)) {
    co_return std::apply([](auto&... result) { return std::tuple<value_of<T>...>(take_ready(result)...); }, results);
  }
}

template <class T>
task<std::vector<outcome<T>>> all_settled(std::vector<task<T>> tasks) {
  children all("when_all_settled", children::rule::wait);
  std::vector<future<T>> results;
  const std::exception_ptr failed = co_await start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_failure(failed);
  all.throw_if_stopped();
  std::vector<outcome<T>> outcomes;
  outcomes.reserve(results.size());
  for (auto& result : results) outcomes.push_back(outcome_of(result));
  co_return outcomes;
}

template <class... T>
task<std::tuple<outcome<T>...>> all_settled(std::tuple<task<T>...> tasks) {
  children all("when_all_settled", children::rule::wait);
  std::tuple<future<T>...> results;
  const std::exception_ptr failed = start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_failure(failed);
  all.throw_if_stopped();
  co_return std::apply([](auto&... result) { return std::tuple<outcome<T>...>(outcome_of(result)...); }, results);
}

template <class T>
task<first_done<T>> any_of(std::vector<task<T>> tasks) {
  if (tasks.empty()) throw std::invalid_argument("when_any: no tasks: nothing would ever be first");
  children all("when_any", children::rule::stop_after_first);
  std::vector<future<T>> results;
  const std::exception_ptr failed = co_await start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_failure(failed);
  const std::size_t first = all.first_to_end();
  co_return first_done<T>{first, take_ready(results[first])};
}

template <class... T>
task<first_done<std::variant<value_of<T>...>>> any_of(std::tuple<task<T>...> tasks) {
  using variant = std::variant<value_of<T>...>;
  children all("when_any", children::rule::stop_after_first);
  std::tuple<future<T>...> results;
  const std::exception_ptr failed = start_all(all, tasks, results);
  co_await all.left(0);
  all.throw_failure(failed);
  const std::size_t first = all.first_to_end();
  std::optional<variant> value;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((I == first ? static_cast<void>(value.emplace(std::in_place_index<I>, take_ready(std::get<I>(results)))) : void()),
     ...);
  }(std::index_sequence_for<T...>());
  co_return first_done<variant>{first, std::move(*value)};
}

// Neither all tasks, nor all futures, nor a range: nothing that when_all or another one takes.
template <class... A>
concept no_parts = sizeof...(A) >= 1 && !(is_task<std::remove_cvref_t<A>> && ...) &&
                   !(is_future<std::remove_cvref_t<A>> && ...) && !(std::ranges::range<A> && ...);
template <class... A>
auto refuse_parts() {
  static_assert(sizeof...(A) == 0,
                "tutti: when_all, when_any and when_all_settled take tasks, when_all also futures, but not both: call "
                "the functions that return tasks, when_all(a(), b()), and keep a lambda in a variable until the end; a "
                "future becomes a task by a coroutine that awaits it");
  return task<>();
}

}  // namespace detail

/// Runs the tasks beside each other, on the executor of who awaits this, and gives all results: a vector in the order
/// of the range, or nothing for task<void>. The first error stops the others; when all have ended it is thrown, and
/// further ones go to on_unhandled. A stop is passed on to all. The range is taken: an rvalue.
template <detail::task_range R>
auto when_all(R&& tasks) {
  return detail::all_of(detail::gather(std::forward<R>(tasks)));
}
/// The same for tasks of different types: a tuple, with std::monostate for void; nothing when all are void.
template <class... T>
  requires(sizeof...(T) >= 1)
auto when_all(task<T>... tasks) {
  return detail::all_of(std::tuple<task<T>...>(std::move(tasks)...));
}
template <class... A>
  requires detail::no_parts<A...>
auto when_all(A&&...) {
  return detail::refuse_parts<A...>();
}

/// As when_all, but each ends as it likes, and gives its result or its error: a vector of `outcome`. Throws `cancelled`
/// when a stop has ended one of them.
template <detail::task_range R>
auto when_all_settled(R&& tasks) {
  return detail::all_settled(detail::gather(std::forward<R>(tasks)));
}
/// The same for tasks of different types: a tuple.
template <class... T>
  requires(sizeof...(T) >= 1)
auto when_all_settled(task<T>... tasks) {
  return detail::all_settled(std::tuple<task<T>...>(std::move(tasks)...));
}
template <class... A>
  requires detail::no_parts<A...>
auto when_all_settled(A&&...) {
  return detail::refuse_parts<A...>();
}

/// Runs the tasks beside each other; the first to end gives its position and its result, or throws its error. The
/// others are stopped, and have ended when this gives a result; theirs is dropped, and their errors go to on_unhandled.
/// One that ends at the same moment, before the stop reaches it, is dropped with what it has: a task that takes
/// something (reads bytes, receives an element) loses it so. For a time limit use with_timeout or the call's own, for
/// several channels select; or let the task put what it has taken where it is kept.
/// Throws std::invalid_argument for an empty range: nothing would ever be first.
template <detail::task_range R>
auto when_any(R&& tasks) {
  return detail::any_of(detail::gather(std::forward<R>(tasks)));
}
/// The same for tasks of different types: the value is a variant with one alternative for each, in order.
template <class... T>
  requires(sizeof...(T) >= 1)
auto when_any(task<T>... tasks) {
  return detail::any_of(std::tuple<task<T>...>(std::move(tasks)...));
}
template <class... A>
  requires detail::no_parts<A...>
auto when_any(A&&...) {
  return detail::refuse_parts<A...>();
}

}  // namespace tutti
