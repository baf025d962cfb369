// for: a loop whose iterations may run on several workers at once.
#pragma once
#include <tutti/parallel/loop.hpp>

#include <ranges>

namespace tutti {

namespace detail {

template <class I, class J, class Body>
void run_for(worker* w, const I& first, const J& last, Body& body, const loop_options& options) {
  loop_control control("parallel_for", options);
  with_indices(first, last, body, [&](auto begin, auto end, auto& at) {
    for_loop(w, begin, end, at, block_sizer(control.grain()), control);
  });
  control.finish();
}

template <class R>
constexpr void needs_bounds() {
  static_assert(!std::ranges::range<R>,
                "tutti: parallel_for takes bounds, (first, last, body); the elements of a range are for "
                "parallel_for_each(range, body)");
}
template <class I, class J>
constexpr void needs_other_bounds() {
  static_assert(!wrong_bounds<I, J>,
                "tutti: the bounds of a parallel loop are integers or random access iterators; the elements of other "
                "ranges are for parallel_for_each(range, body)");
}

}  // namespace detail

/// Calls `body(i)` for each i in [first, last), integers or random access iterators; or `body(first, last)` for blocks
/// that make it up; each once, in no particular order, at once where workers are free. Returns when all calls have.
/// Needs no grain size: work is divided when a worker asks for it.
///
/// An exception stops what has not begun, and one of those thrown is thrown again here. Throws `cancelled` when
/// iterations were left out because `options.stop`, or the task this runs in, was asked to stop. On a pool's worker it
/// uses that pool, elsewhere the caller becomes a worker of default_pool() meanwhile. Nests freely. `body` is called
/// from several threads at once.
template <class I, class J, class Body>
  requires detail::loop_bounds<I, J>
void parallel_for(I first, J last, Body&& body, loop_options options = {}) {
  detail::as_worker([&](worker* w) { detail::run_for(w, first, last, body, options); });
}

/// The same on a pool: the caller works along, as a guest if it is not one of the pool's workers. Any other
/// local_executor than a thread_pool runs the loop serially on the caller.
template <class I, class J, class Body>
  requires detail::loop_bounds<I, J>
void parallel_for(local_executor& pool, I first, J last, Body&& body, loop_options options = {}) {
  detail::as_worker(pool, [&](worker* w) { detail::run_for(w, first, last, body, options); });
}

/// No such loops: for what is easily taken for one, the compiler names the right one.
template <std::ranges::range R, class Body>
void parallel_for(R&&, Body&&, loop_options = {}) {
  detail::needs_bounds<R>();
}
template <std::ranges::range R, class Body>
void parallel_for(local_executor&, R&&, Body&&, loop_options = {}) {
  detail::needs_bounds<R>();
}
template <class I, class J, class Body>
  requires detail::wrong_bounds<I, J>
void parallel_for(I, J, Body&&, loop_options = {}) {
  detail::needs_other_bounds<I, J>();
}
template <class I, class J, class Body>
  requires detail::wrong_bounds<I, J>
void parallel_for(local_executor&, I, J, Body&&, loop_options = {}) {
  detail::needs_other_bounds<I, J>();
}

}  // namespace tutti
