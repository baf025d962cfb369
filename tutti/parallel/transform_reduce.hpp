// transform_reduce: folds what a function makes of a range's elements, or of pairs of two ranges.
#pragma once
#include <tutti/parallel/reduce.hpp>

#include <functional>
#include <ranges>

namespace tutti {

namespace detail {

// Parts begin with their first element, not with a neutral one: `init` counts once, as in the standard.
template <class T, class At, class Op>
T run_transform_reduce(worker* w, std::ptrdiff_t count, T init, At& at, Op& op, const loop_options& options) {
  check_fold<T, Op>();
  loop_control control("parallel_transform_reduce", options);
  using part = std::optional<T>;
  auto block = [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    return part(reduce_block<std::ptrdiff_t, T>(at, op, T(at(first)), first + 1, last));
  };
  auto join = [&](part a, part b) {
    return !a ? std::move(b) : !b ? std::move(a) : part(op(*std::move(a), *std::move(b)));
  };
  part sum = reduce_loop<std::ptrdiff_t, part>(w, 0, count, part(), block, join, block_sizer(control.grain()), control);
  control.finish();
  return sum ? T(op(std::move(init), *std::move(sum))) : std::move(init);
}

template <class R, class T, class Op, class Transform>
T transform_reduce_one(worker* w, R& range, T init, Op& op, Transform& transform, const loop_options& options) {
  const auto first = std::ranges::begin(range);
  using step = std::ranges::range_difference_t<R>;
  auto at = [&](std::ptrdiff_t i) -> decltype(auto) { return std::invoke(transform, first[static_cast<step>(i)]); };
  return run_transform_reduce<T>(w, position_count(std::ranges::size(range)), std::move(init), at, op, options);
}

template <class R, class S, class T, class Op, class Transform>
T transform_reduce_two(worker* w, R& left, S& right, T init, Op& op, Transform& transform,
                       const loop_options& options) {
  const auto count = position_count(std::ranges::size(left));
  if (std::ranges::size(right) < std::ranges::size(left)) {
    throw std::invalid_argument("parallel_transform_reduce: the second range has " +
                                std::to_string(std::ranges::size(right)) + " elements, the first " +
                                std::to_string(count) + "; it needs as many");
  }
  const auto a = std::ranges::begin(left);
  const auto b = std::ranges::begin(right);
  auto at = [&](std::ptrdiff_t i) -> decltype(auto) {
    return std::invoke(transform, a[static_cast<std::ranges::range_difference_t<R>>(i)],
                       b[static_cast<std::ranges::range_difference_t<S>>(i)]);
  };
  return run_transform_reduce<T>(w, count, std::move(init), at, op, options);
}

}  // namespace detail

/// Folds `init` and `transform(x)` for each x of a range with random access, in order, with the associative `op`; as
/// std::transform_reduce, but `op` need not be commutative. `init` counts once. Grouping, exceptions, stop requests,
/// pools: as parallel_reduce.
template <detail::sized_random_access R, class T, class Op, class Transform>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>> && detail::folds<Op, T>
T parallel_transform_reduce(R&& range, T init, Op&& op, Transform&& transform, loop_options options = {}) {
  return detail::as_worker(
      [&](worker* w) { return detail::transform_reduce_one<R>(w, range, std::move(init), op, transform, options); });
}
/// The same on a pool.
template <detail::sized_random_access R, class T, class Op, class Transform>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>> && detail::folds<Op, T>
T parallel_transform_reduce(local_executor& pool, R&& range, T init, Op&& op, Transform&& transform,
                            loop_options options = {}) {
  return detail::as_worker(pool, [&](worker* w) {
    return detail::transform_reduce_one<R>(w, range, std::move(init), op, transform, options);
  });
}

/// The same with `transform(x, y)` for the pairs of two ranges, as many as the first one has: by default their inner
/// product. Throws std::invalid_argument when the second is shorter.
template <detail::sized_random_access R, detail::sized_random_access S, class T, class Op = std::plus<>,
          class Transform = std::multiplies<>>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>, std::ranges::range_reference_t<S>> &&
           detail::folds<Op, T>
T parallel_transform_reduce(R&& left, S&& right, T init, Op&& op = {}, Transform&& transform = {},
                            loop_options options = {}) {
  return detail::as_worker([&](worker* w) {
    return detail::transform_reduce_two<R, S>(w, left, right, std::move(init), op, transform, options);
  });
}
/// The same on a pool.
template <detail::sized_random_access R, detail::sized_random_access S, class T, class Op = std::plus<>,
          class Transform = std::multiplies<>>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>, std::ranges::range_reference_t<S>> &&
           detail::folds<Op, T>
T parallel_transform_reduce(local_executor& pool, R&& left, S&& right, T init, Op&& op = {}, Transform&& transform = {},
                            loop_options options = {}) {
  return detail::as_worker(pool, [&](worker* w) {
    return detail::transform_reduce_two<R, S>(w, left, right, std::move(init), op, transform, options);
  });
}

}  // namespace tutti
