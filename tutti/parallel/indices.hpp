// indices: the bounds of loops: integers of any type, or random access iterators, which become positions.
#pragma once
#include <tutti/base/function.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti::detail {

// Iterations are counted unsigned, so that ranges wider than the type's positive half work.
template <std::integral I>
using unsigned_count = std::make_unsigned_t<I>;
template <std::integral I>
constexpr unsigned_count<I> distance(I first, I last) noexcept {
  return first < last ? static_cast<unsigned_count<I>>(static_cast<unsigned_count<I>>(last) -
                                                       static_cast<unsigned_count<I>>(first))
                      : unsigned_count<I>{0};
}
template <std::integral I>
constexpr I advance_by(I from, unsigned_count<I> n) noexcept {
  return static_cast<I>(static_cast<unsigned_count<I>>(from) + n);
}

template <class I, class... Others>
concept none_of = !(std::same_as<std::remove_cv_t<I>, Others> || ...);
/// Numbers; characters are none.
template <class I>
concept loop_index = std::integral<I> && none_of<I, bool, char, wchar_t, char8_t, char16_t, char32_t>;

/// `bound` as the loop's index type. Throws std::invalid_argument when that cannot hold it, as -1 with an unsigned end.
template <loop_index Index, loop_index I>
Index to_index(I bound) {
  if (!std::in_range<Index>(bound)) {
    throw std::invalid_argument(
        "parallel loop: the bound " + std::to_string(bound) +
        " does not fit the index type that both bounds have in common; give both the same type");
  }
  return static_cast<Index>(bound);
}

/// The length of a range whose elements are reached by position. Throws std::length_error above 2^63 - 1.
template <class N>
std::ptrdiff_t position_count(N count) {
  if (count <= 0) return 0;  // the last before the first
  const auto n = static_cast<std::ptrdiff_t>(count);
  if (n <= 0 || static_cast<N>(n) != count) {
    throw std::length_error(
        "parallel loop: the range has more than 2^63 - 1 elements; loop over the integers 0 to its size instead");
  }
  return n;
}

template <class I, class J>
concept index_bounds = loop_index<I> && loop_index<J>;
template <class I, class J>
concept iterator_bounds = std::random_access_iterator<I> && std::sized_sentinel_for<J, I>;
/// What a loop runs over: [first, last) of integers or of a random access range.
template <class I, class J>
concept loop_bounds = index_bounds<I, J> || iterator_bounds<I, J>;
/// What looks like bounds, but no loop can run over: said by an error that names the way out.
template <class I, class J>
concept wrong_bounds = !loop_bounds<I, J> && ((std::is_arithmetic_v<I> && std::is_arithmetic_v<J>) ||
                                              (std::input_or_output_iterator<I> && std::sentinel_for<J, I>));

template <class Body, class... Arguments>
constexpr bool returns_a_task() {
  if constexpr (std::invocable<Body&, Arguments...>) {
    return is_task<std::decay_t<std::invoke_result_t<Body&, Arguments...>>>;
  } else {
    return false;
  }
}

/// Says what is wrong with a body over indices or iterators of type I.
template <class Body, class I>
constexpr void check_body() {
  static_assert(
      std::invocable<Body&, I> || std::invocable<Body&, I, I>,
      "tutti: the body of a parallel loop takes one index or iterator, body(i), or a block, body(first, last); "
      "elements of a range are for parallel_for_each");
  static_assert(!returns_a_task<Body, I>() && !returns_a_task<Body, I, I>(),
                "tutti: the body of a parallel loop returns a coroutine task, which the loop would only create: use "
                "for_each_async, or sync_wait for it in the body");
}

/// `loop(begin, end, body)` with integers: for iterators with positions, and a `body` that takes these.
template <class I, class J, class Body, class Loop>
  requires loop_bounds<I, J>
decltype(auto) with_indices(const I& first, const J& last, Body& body, Loop&& loop) {
  if constexpr (index_bounds<I, J>) {
    using index = std::common_type_t<I, J>;
    check_body<Body, index>();
    return loop(to_index<index>(first), to_index<index>(last), body);
  } else {
    check_body<Body, I>();
    using step = std::iter_difference_t<I>;
    const std::ptrdiff_t count = position_count(last - first);
    if constexpr (std::invocable<Body&, I, I>) {
      auto at = [&](std::ptrdiff_t a, std::ptrdiff_t b) -> decltype(auto) {
        return std::invoke(body, first + static_cast<step>(a), first + static_cast<step>(b));
      };
      return loop(std::ptrdiff_t{0}, count, at);
    } else {
      auto at = [&](std::ptrdiff_t i) -> decltype(auto) { return std::invoke(body, first + static_cast<step>(i)); };
      return loop(std::ptrdiff_t{0}, count, at);
    }
  }
}

}  // namespace tutti::detail
