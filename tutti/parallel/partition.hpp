// partition: divides elements by a predicate, in place or into a new vector, over all cores.
#pragma once
#include <tutti/parallel/block_partition.hpp>
#include <tutti/parallel/filter.hpp>
#include <tutti/parallel/in_place.hpp>
#include <tutti/parallel/loop.hpp>

#include <array>

namespace tutti {

namespace detail {

// Few elements are divided by one thread; but if asking about them takes long, that is shared.
template <std::ptrdiff_t Most, class It, class Pred>
It partition_few(worker* w, It first, It last, Pred& pred, loop_control& control) {
  const auto n = static_cast<std::ptrdiff_t>(last - first);
  if (w == nullptr || n < 2) return serial_partition(first, last, pred);
  std::array<bool, Most> answers;
  auto ask = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
    for (std::ptrdiff_t i = from; i < to; ++i) {
      answers[static_cast<std::size_t>(i)] = pred(first[static_cast<std::iter_difference_t<It>>(i)]);
    }
  };
  for_loop(w, std::ptrdiff_t{0}, n, ask, block_sizer(), control);
  if (control.stopped()) return first;
  return partition_by_swaps(first, last, [&](It i) { return answers[static_cast<std::size_t>(i - first)]; });
}

template <class I, class Pred>
I run_partition(worker* w, I begin, I end, Pred& pred, const loop_options& options) {
  loop_control control("parallel_partition", options);
  const auto border = with_pointers(begin, end, [&](auto first, auto last) {
    auto asked = [&](std::iter_value_t<I>& x) { return static_cast<bool>(std::invoke(pred, x)); };
    using together = block_partition<decltype(first), decltype(asked)>;
    if (control.stopped()) return last - first;
    if (last - first < together::least) return partition_few<together::least>(w, first, last, asked, control) - first;
    return together(first, last, asked, control).run(w, patience()) - first;
  });
  control.finish();
  return begin + border;
}

}  // namespace detail

/// Rearranges elements in place so that those for which `pred` holds come first, and returns where the others begin.
/// Not stable. Calls `pred` once for each element, from several threads at once. Elements need only be movable; no
/// memory but the stack is used.
///
/// An exception of `pred` arrives, and a stop request (of `options.stop` or the task this runs in) is thrown as
/// `cancelled`: then all elements are still there, in any order. A swap that throws leaves valid elements of
/// unspecified value. `options.grain` has no effect. Pools, blocking and nesting: as parallel_sort.
template <std::input_or_output_iterator I, class Pred>
I parallel_partition(I first, I last, Pred pred, loop_options options = {}) {
  detail::check_predicate<I, Pred>();
  return detail::as_worker([&](worker* w) { return detail::run_partition(w, first, last, pred, options); });
}
template <std::ranges::range R, class Pred>
std::ranges::borrowed_iterator_t<R> parallel_partition(R&& range, Pred pred, loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  return parallel_partition(first, std::ranges::next(first, std::ranges::end(range)), std::move(pred), options);
}
/// The same on a pool.
template <std::input_or_output_iterator I, class Pred>
I parallel_partition(local_executor& pool, I first, I last, Pred pred, loop_options options = {}) {
  detail::check_predicate<I, Pred>();
  return detail::as_worker(pool, [&](worker* w) { return detail::run_partition(w, first, last, pred, options); });
}
template <std::ranges::range R, class Pred>
std::ranges::borrowed_iterator_t<R> parallel_partition(local_executor& pool, R&& range, Pred pred,
                                                       loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  return parallel_partition(pool, first, std::ranges::next(first, std::ranges::end(range)), std::move(pred), options);
}

/// Copies of the elements for which `pred` holds, in their order. Calls `pred` once for each element, from several
/// threads at once. Memory: the result's, up to twice over while parts are put together. Exceptions, stop requests,
/// pools, blocking: as parallel_partition; the range is only read.
template <std::ranges::range R, class Pred>
std::vector<std::ranges::range_value_t<R>> parallel_filter(R&& range, Pred pred, loop_options options = {}) {
  return detail::as_worker([&](worker* w) { return detail::run_filter(w, range, pred, options); });
}
/// The same on a pool.
template <std::ranges::range R, class Pred>
std::vector<std::ranges::range_value_t<R>> parallel_filter(local_executor& pool, R&& range, Pred pred,
                                                           loop_options options = {}) {
  return detail::as_worker(pool, [&](worker* w) { return detail::run_filter(w, range, pred, options); });
}

}  // namespace tutti
