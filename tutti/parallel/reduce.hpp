// reduce: loops that fold their iterations into one value.
#pragma once
#include <tutti/parallel/loop.hpp>

#include <ranges>

namespace tutti {

namespace detail {

// A floating-point sum waits for each addition to end, and compilers may not regroup it, but we may: four quarters at
// once, each in a chain of its own.
template <std::integral I, class T, class Body, class Op>
T reduce_quarters(Body& body, Op& op, T sum, I first, unsigned_count<I> quarter) {
  const I second = advance_by(first, quarter), third = advance_by(second, quarter), fourth = advance_by(third, quarter);
  sum = op(sum, body(first));
  T b = body(second), c = body(third), d = body(fourth);
  for (unsigned_count<I> i = 1; i < quarter; ++i) {
    sum = op(sum, body(advance_by(first, i)));
    b = op(b, body(advance_by(second, i)));
    c = op(c, body(advance_by(third, i)));
    d = op(d, body(advance_by(fourth, i)));
  }
  return op(op(sum, b), op(c, d));
}

// noinline: as run_block.
template <std::integral I, class T, class Body, class Op>
[[gnu::noinline]] T reduce_block(Body& body, Op& op, T sum, I first, I last) {
  if constexpr (block_body<I, Body>) {
    return op(std::move(sum), body(first, last));
  } else {
    if constexpr (std::floating_point<T>) {
      if (const auto quarter = static_cast<unsigned_count<I>>(distance(first, last) / 4); quarter >= 4) {
        sum = reduce_quarters(body, op, sum, first, quarter);
        first = advance_by(first, static_cast<unsigned_count<I>>(quarter * 4));
      }
    }
    for (I i = first; i < last; ++i) sum = op(std::move(sum), body(i));
    return sum;
  }
}

// What it returns when stopped is nobody's: the caller throws.
template <std::integral I, class T, class Body, class Op>
T reduce_loop(worker* w, I first, I last, const T& identity, Body& body, Op& op, block_sizer sizer,
              loop_control& control) {
  T sum = identity;
  while (first < last && !control.stopped()) {
    const auto left = distance(first, last);
    if (should_split(w, sizer, left)) {
      const I middle = advance_by(first, static_cast<unsigned_count<I>>(sizer.half(left)));
      auto here = [&] { return reduce_loop(this_worker, first, middle, identity, body, op, sizer, control); };
      auto there = [&] { return reduce_loop(this_worker, middle, last, identity, body, op, sizer, control); };
      auto [a, b] = fork_join_on(w, here, there);
      return control.run([&] { return op(op(std::move(sum), std::move(a)), std::move(b)); });
    }
    const std::size_t block = sizer.next(left);
    const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
    control.run([&] { sizer.run(block, [&] { sum = reduce_block(body, op, std::move(sum), first, end); }); });
    first = end;
  }
  return sum;
}

template <class R>
concept sized_random_access = std::ranges::random_access_range<R> && std::ranges::sized_range<R>;

// Without it, a std::string as an initial value could be meant as a range.
template <class Op, class T>
concept folds = std::is_invocable_r_v<T, Op&, T, T>;

template <class T, class Op>
constexpr void check_fold() {
  static_assert(std::copyable<T>,
                "tutti: what a parallel reduction or scan folds to must be copyable: each part begins with a copy");
  static_assert(
      folds<Op, T>,
      "tutti: the operation of a parallel reduction or scan takes two values of the result's type and returns "
      "one");
}

// `body` takes what with_indices makes of the bounds.
template <class I, class Body>
constexpr auto result_of_body() {
  if constexpr (block_body<I, Body>) {
    return std::type_identity<std::invoke_result_t<Body&, I, I>>();
  } else {
    return std::type_identity<std::invoke_result_t<Body&, I>>();
  }
}
template <class T, class I, class Body, class Op>
constexpr void check_result_of_body() {
  static_assert(std::is_invocable_r_v<T, Op&, T, typename decltype(result_of_body<I, Body>())::type>,
                "tutti: the operation of a parallel reduction cannot combine the identity with what the body returns");
}

template <class T, class I, class J, class Body, class Op>
T run_reduce(worker* w, const I& first, const J& last, const T& identity, Body& body, Op& op,
             const loop_options& options) {
  check_fold<T, Op>();
  loop_control control("parallel_reduce", options);
  T sum = with_indices(first, last, body, [&](auto begin, auto end, auto& at) {
    check_result_of_body<T, decltype(begin), decltype(at), Op>();
    return reduce_loop<decltype(begin), T>(w, begin, end, identity, at, op, block_sizer(control.grain()), control);
  });
  control.finish();
  return sum;
}

// ---------------------------------------------------------------- a tree that does not depend on the schedule

/// Iterations a leaf: at most 4096 leaves, and leaves of 16 where there are fewer than 64 a leaf of one would do.
constexpr std::uint64_t fixed_leaf(std::uint64_t iterations) noexcept {
  const auto parts = [&](std::uint64_t n) { return iterations / n + (iterations % n != 0 ? 1 : 0); };
  return std::max({std::uint64_t{1}, parts(4096), std::min(parts(64), std::uint64_t{16})});
}

template <std::integral I, class T, class Body, class Op>
T reduce_tree(worker* w, I first, I last, std::uint64_t leaf, const T& identity, Body& body, Op& op, patience& waits,
              loop_control& control) {
  if (control.stopped()) return identity;
  const std::uint64_t left = distance(first, last);
  if (left <= leaf) {
    return control.run([&] { return reduce_block(body, op, T(identity), first, last); });
  }
  const std::uint64_t leaves = left / leaf + (left % leaf != 0 ? 1 : 0);
  const I middle = advance_by(first, static_cast<unsigned_count<I>>(leaves / 2 * leaf));
  auto here = [&] { return reduce_tree(w, first, middle, leaf, identity, body, op, waits, control); };
  auto there = [&] {
    worker* const runner = worker_in_place_of(w);
    if (runner == w) return reduce_tree(w, middle, last, leaf, identity, body, op, waits, control);
    patience none = patience::over();
    return reduce_tree(runner, middle, last, leaf, identity, body, op, none, control);
  };
  result_box<T> a, b;
  fork_two(w, here, there, a, b, [&] { return waits.worth_it(w); });
  const result_guard<T> guard_a(a), guard_b(b);
  return control.run([&] { return op(std::move(a.value), std::move(b.value)); });
}

template <class T, class I, class J, class Body, class Op>
T run_deterministic_reduce(worker* w, const I& first, const J& last, const T& identity, Body& body, Op& op,
                           const loop_options& options) {
  check_fold<T, Op>();
  loop_control control("parallel_deterministic_reduce", options);
  T sum = with_indices(first, last, body, [&](auto begin, auto end, auto& at) -> T {
    check_result_of_body<T, decltype(begin), decltype(at), Op>();
    const std::uint64_t n = distance(begin, end);
    if (n == 0) return identity;
    patience waits;
    return reduce_tree<decltype(begin), T>(w, begin, end, control.grain().value_or(fixed_leaf(n)), identity, at, op,
                                           waits, control);
  });
  control.finish();
  return sum;
}

}  // namespace detail

/// Folds `body(i)` for each i in [first, last), integers or random access iterators, with `op`; or, for a
/// `body(first, last)`, what it makes of each block. `op` must be associative, and `identity` its neutral element; it
/// need not be commutative: operands stay in order. How they are grouped depends on the schedule, so floating-point
/// sums may differ in the last bits from run to run. Otherwise as parallel_for.
template <class I, class J, class T, class Body, class Op>
  requires detail::loop_bounds<I, J>
T parallel_reduce(I first, J last, T identity, Body&& body, Op&& op, loop_options options = {}) {
  return detail::as_worker([&](worker* w) { return detail::run_reduce(w, first, last, identity, body, op, options); });
}

/// The same on a pool; see parallel_for.
template <class I, class J, class T, class Body, class Op>
  requires detail::loop_bounds<I, J>
T parallel_reduce(local_executor& pool, I first, J last, T identity, Body&& body, Op&& op, loop_options options = {}) {
  return detail::as_worker(pool,
                           [&](worker* w) { return detail::run_reduce(w, first, last, identity, body, op, options); });
}

/// parallel_reduce with operands grouped in a tree that depends on the number of iterations and `options.grain` alone:
/// the result has the same bits on any number of workers, in each run. The tree's leaves are blocks of `grain`
/// iterations; without it there are at most 4096 leaves. A program compiled otherwise may still round otherwise.
template <class I, class J, class T, class Body, class Op>
  requires detail::loop_bounds<I, J>
T parallel_deterministic_reduce(I first, J last, T identity, Body&& body, Op&& op, loop_options options = {}) {
  return detail::as_worker(
      [&](worker* w) { return detail::run_deterministic_reduce(w, first, last, identity, body, op, options); });
}

/// The same on a pool; see parallel_for.
template <class I, class J, class T, class Body, class Op>
  requires detail::loop_bounds<I, J>
T parallel_deterministic_reduce(local_executor& pool, I first, J last, T identity, Body&& body, Op&& op,
                                loop_options options = {}) {
  return detail::as_worker(
      pool, [&](worker* w) { return detail::run_deterministic_reduce(w, first, last, identity, body, op, options); });
}

}  // namespace tutti
