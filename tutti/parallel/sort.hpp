// sort: sorts over all cores.
#pragma once
#include <tutti/parallel/in_place.hpp>
#include <tutti/parallel/ordered.hpp>
#include <tutti/parallel/quick_sort.hpp>

namespace tutti {

namespace detail {

template <class I, class Comp, class Proj>
void run_sort(worker* w, I begin, I end, Comp& comp, Proj& proj, const loop_options& options) {
  loop_control control("parallel_sort", options);
  with_pointers(begin, end, [&](auto first, auto last) {
    const element_order<Comp, Proj> less(comp, proj);
    if (put_in_order_if_simple(w, first, last, less, control)) return;
    quick_sorter<decltype(first), element_order<Comp, Proj>>(less, control).run(w, first, last);
  });
  control.finish();
}

}  // namespace detail

/// Sorts elements in place so that `comp(proj(b), proj(a))` is false for each a before b. Not stable. O(n log n)
/// comparisons whatever the input is; O(n) when it is sorted or strictly descending, or has few distinct keys. Memory:
/// the stack alone. Elements need only be movable.
///
/// Whatever the comparator answers (a strict weak order or not) and whatever it throws, no element is lost, none is
/// doubled, and nothing outside the range is touched; only the order is unspecified then. The same holds after a stop:
/// when `options.stop`, or the task this runs in, was asked to stop before the end, it throws `cancelled`. A move or
/// swap that throws leaves valid elements of unspecified value. `comp` and `proj` are called from several threads at
/// once. `options.grain` has no effect. On a pool's worker it uses that pool, elsewhere the caller becomes a worker of
/// default_pool() meanwhile. Blocks until all is sorted; nests freely.
template <std::input_or_output_iterator I, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_sort(I first, I last, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  detail::check_order<I, Comp, Proj>();
  detail::as_worker([&](worker* w) { detail::run_sort(w, first, last, comp, proj, options); });
}
template <std::ranges::range R, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_sort(R&& range, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  parallel_sort(first, std::ranges::next(first, std::ranges::end(range)), std::move(comp), std::move(proj), options);
}

/// The same on a pool: the caller works along, as a guest if it is not one of the pool's workers. Any other
/// local_executor than a thread_pool has the caller sort alone.
template <std::input_or_output_iterator I, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_sort(local_executor& pool, I first, I last, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  detail::check_order<I, Comp, Proj>();
  detail::as_worker(pool, [&](worker* w) { detail::run_sort(w, first, last, comp, proj, options); });
}
template <std::ranges::range R, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_sort(local_executor& pool, R&& range, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  parallel_sort(pool, first, std::ranges::next(first, std::ranges::end(range)), std::move(comp), std::move(proj),
                options);
}

}  // namespace tutti
