// in_place: what the algorithms that rearrange elements accept, and how they get at it.
#pragma once
#include <concepts>
#include <functional>
#include <iterator>
#include <memory>
#include <ranges>
#include <type_traits>

namespace tutti::detail {

template <class I>
inline constexpr bool refers_to_objects =
    std::is_lvalue_reference_v<std::iter_reference_t<I>> &&
    !std::is_const_v<std::remove_reference_t<std::iter_reference_t<I>>> &&
    std::same_as<std::remove_cvref_t<std::iter_reference_t<I>>, std::iter_value_t<I>>;

template <class I>
constexpr void check_elements() {
  static_assert(std::random_access_iterator<I>,
                "tutti: this parallel algorithm needs random access; move the elements to a std::vector");
  static_assert(refers_to_objects<I>,
                "tutti: this parallel algorithm rearranges elements in place: they must be objects that are not const, "
                "and no stand-ins such as the bits of a std::vector<bool>");
  static_assert(std::movable<std::iter_value_t<I>>,
                "tutti: this parallel algorithm rearranges elements in place: they must be movable");
}

template <class I, class Comp, class Proj>
constexpr void check_order() {
  check_elements<I>();
  static_assert(std::invocable<Proj&, std::iter_reference_t<I>>,
                "tutti: the projection cannot be called with an element");
  static_assert(std::predicate<Comp&, std::invoke_result_t<Proj&, std::iter_reference_t<I>>,
                               std::invoke_result_t<Proj&, std::iter_reference_t<I>>>,
                "tutti: the comparator must take two elements (or two projections of them) and return bool");
}

template <class I, class Pred>
constexpr void check_predicate() {
  check_elements<I>();
  static_assert(std::predicate<Pred&, std::iter_reference_t<I>>,
                "tutti: the predicate must take an element and return bool");
}

/// `f(first, last)`, with pointers where elements are contiguous: one instance of the algorithm for each element type.
template <class I, class F>
decltype(auto) with_pointers(I first, I last, F&& f) {
  if constexpr (std::contiguous_iterator<I>) {
    return f(std::to_address(first), std::to_address(first) + (last - first));
  } else {
    return f(first, last);
  }
}

}  // namespace tutti::detail
