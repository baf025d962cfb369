// for_each_async: a task for each element of a range, at most so many at a time.
#pragma once
#include <tutti/task/children.hpp>

#include <ranges>
#include <stdexcept>

namespace tutti {

namespace detail {

template <class View, class F>
task<> for_each_limited(View range, std::size_t limit, F function) {
  children all("for_each_async", children::rule::stop_after_error);
  std::exception_ptr failed;
  bool left_early = false;
  try {
    std::size_t index = 0;
    for (auto&& element : range) {
      co_await all.left(limit - 1);
      // If none ever waits, nor does this task.
      left_early = all.stopping() || this_task::stop_requested();
      if (left_early) break;
      static_cast<void>(all.spawn(function(std::forward<decltype(element)>(element)), index++));
    }
  } catch (...) {
    failed = std::current_exception();
    all.stop();
  }
  co_await all.left(0);
  all.throw_first_error(failed);
  if (left_early) throw cancelled("for_each_async was stopped before the end of its range");
}

}  // namespace detail

/// Awaits `function(element)`, a task, for each element of `range`, at most `limit` of them at a time. The range is
/// read as they are started, in order; an lvalue is referred to and must live until the end, an rvalue is kept, as is
/// `function`. The first error stops the others, and is thrown when they have ended. Throws std::invalid_argument when
/// `limit` is 0.
template <std::ranges::viewable_range R, class F>
task<> for_each_async(R&& range, std::size_t limit, F function) {
  static_assert(detail::returns_task<F, std::ranges::range_reference_t<R>>,
                "tutti: for_each_async(range, limit, f): f(element) must return a task");
  if (limit == 0) throw std::invalid_argument("for_each_async: at most 0 at a time would never begin; give 1 or more");
  return detail::for_each_limited(std::views::all(std::forward<R>(range)), limit, std::move(function));
}

}  // namespace tutti
