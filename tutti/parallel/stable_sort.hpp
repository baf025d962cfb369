// stable_sort: stable sorts over all cores.
#pragma once
#include <tutti/parallel/in_place.hpp>
#include <tutti/parallel/merge_sort.hpp>
#include <tutti/parallel/ordered.hpp>
#include <tutti/parallel/quick_sort.hpp>

namespace tutti {

namespace detail {

template <class T, class Comp>
inline constexpr bool is_plain_order = std::same_as<Comp, std::ranges::less> || std::same_as<Comp, std::less<>> ||
                                       std::same_as<Comp, std::less<T>> || std::same_as<Comp, std::ranges::greater> ||
                                       std::same_as<Comp, std::greater<>> || std::same_as<Comp, std::greater<T>>;

// Integers that are equal are the same, so that nobody can tell whether a sort of them was stable.
template <class T, class Comp, class Proj>
inline constexpr bool equal_is_same = std::integral<T> && is_plain_order<T, Comp> && std::same_as<Proj, std::identity>;

template <class I, class Comp, class Proj>
void run_stable_sort(worker* w, I begin, I end, Comp& comp, Proj& proj, const loop_options& options) {
  using T = std::iter_value_t<I>;
  loop_control control("parallel_stable_sort", options);
  with_pointers(begin, end, [&](auto first, auto last) {
    using iterator = decltype(first);
    using order = element_order<Comp, Proj>;
    const order less(comp, proj);
    if (put_in_order_if_simple(w, first, last, less, control)) return;
    if constexpr (equal_is_same<T, Comp, Proj>) {
      quick_sorter<iterator, order>(less, control).run(w, first, last);
    } else if constexpr (std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>) {
      merge_sorter<iterator, order>(first, last, less, control).run(w);
    } else {
      sort_by_position(w, first, last, less, control);
    }
  });
  control.finish();
}

}  // namespace detail

/// Sorts elements so that `comp(proj(b), proj(a))` is false for each a before b, and equal ones keep their order. O(n
/// log n) comparisons; O(n) when the range is sorted or strictly descending. Elements need only be movable.
///
/// Memory: a buffer for as many elements as the range has, or of two integers an element when their moves may throw;
/// none for integers in their own order. Throws std::bad_alloc when there is no room for it, before anything moves.
///
/// Whatever the comparator answers or throws, stop requests, exceptions, pools, blocking and nesting: as parallel_sort.
template <std::input_or_output_iterator I, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_stable_sort(I first, I last, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  detail::check_order<I, Comp, Proj>();
  detail::as_worker([&](worker* w) { detail::run_stable_sort(w, first, last, comp, proj, options); });
}
template <std::ranges::range R, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_stable_sort(R&& range, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  parallel_stable_sort(first, std::ranges::next(first, std::ranges::end(range)), std::move(comp), std::move(proj),
                       options);
}

/// The same on a pool; see parallel_sort.
template <std::input_or_output_iterator I, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_stable_sort(local_executor& pool, I first, I last, Comp comp = {}, Proj proj = {},
                          loop_options options = {}) {
  detail::check_order<I, Comp, Proj>();
  detail::as_worker(pool, [&](worker* w) { detail::run_stable_sort(w, first, last, comp, proj, options); });
}
template <std::ranges::range R, class Comp = std::ranges::less, class Proj = std::identity>
void parallel_stable_sort(local_executor& pool, R&& range, Comp comp = {}, Proj proj = {}, loop_options options = {}) {
  const auto first = std::ranges::begin(range);
  parallel_stable_sort(pool, first, std::ranges::next(first, std::ranges::end(range)), std::move(comp), std::move(proj),
                       options);
}

}  // namespace tutti
