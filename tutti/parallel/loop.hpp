// loop: how the parallel loops share their iterations: serially, until somebody asks for work.
//
// A loop runs in blocks of a few microseconds. Between blocks it looks at one flag; when an idle worker has raised it,
// the loop forks the second half of what is left and goes on with the first (lazy binary splitting: Tzannes, Caragea,
// Barua, Vishkin, PPoPP 2010, with the fork_deque's flag in place of a look at the queue). On a busy machine a loop
// splits almost never.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/core/scheduler.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace tutti {

class local_executor;

namespace detail {

/// The loops that this thread has run last: short ones in quick succession are as good a reason to wake somebody as a
/// long one.
struct recent_loops {
  static constexpr std::chrono::nanoseconds quick = std::chrono::microseconds(50);

  std::chrono::steady_clock::time_point end{};
  std::chrono::nanoseconds spent{0};
};
inline constinit thread_local recent_loops these_recent_loops{};

/// Finds how many iterations make a block: doubles until a block takes long enough, which it learns from the clock.
class block_sizer {
 public:
  /// Waking a sleeping worker costs microseconds and takes it tens of them: not worth it for a loop that is over by
  /// then.
  static constexpr std::chrono::nanoseconds worth_a_wake_up = std::chrono::microseconds(40);

  /// Shorter near the end, so that somebody who asks then need not wait for all that is left.
  std::size_t next(std::uint64_t left) const noexcept {
    return std::min(size_, static_cast<std::size_t>(std::max({left / 4, std::uint64_t{size_} / 4, std::uint64_t{1}})));
  }
  /// Runs a block of `n` iterations.
  template <class Block>
  void run(std::size_t n, Block&& block) {
    if (n < size_) return block();  // cut short by the loop's end: teaches nothing
    const auto start = std::chrono::steady_clock::now();
    if (spent_.count() == 0) spent_ = spent_before(start);
    block();
    const auto end = std::chrono::steady_clock::now();
    const auto took = end - start;
    spent_ += took;
    these_recent_loops = {end, spent_};
    // Iterations need not be alike, so it goes on measuring; the clock costs about 1 % of a block. The longer the loop
    // has run, the less it matters how soon it notices a request.
    const auto target = std::clamp<std::chrono::nanoseconds>(spent_ / 16, shortest, longest);
    if (took < target / 8) {
      size_ = std::min(size_ * 8, std::numeric_limits<std::size_t>::max() / 16);  // far away, so jump
    } else if (took < target / 2) {
      size_ *= 2;
    } else if (took > target * 4) {
      size_ = std::max<std::size_t>(1, size_ / 4);
    }
  }
  bool may_wake() const noexcept { return spent_ >= worth_a_wake_up; }
  /// Each iteration is a block: they are long, or nobody knows yet.
  bool singly() const noexcept { return size_ == 1; }
  /// The halves are worth a fork.
  bool divisible(std::uint64_t left) const noexcept { return left > 1 && left > size_ / 4; }

 private:
  static std::chrono::nanoseconds spent_before(std::chrono::steady_clock::time_point start) noexcept {
    const recent_loops& recent = these_recent_loops;
    return start - recent.end < recent.quick ? std::min(recent.spent, worth_a_wake_up) : std::chrono::nanoseconds(0);
  }

  static constexpr std::chrono::nanoseconds shortest = std::chrono::microseconds(2), longest = 16 * shortest;

  std::size_t size_ = 1;
  std::chrono::nanoseconds spent_{0};
};

/// True when the loop should give work away now: to somebody who is looking for it; or by waking somebody, once the
/// loop has shown that it is long. Few iterations may each be long, and the first one would be over before it knew.
inline bool should_split(const worker* w, const block_sizer& sizer, std::uint64_t left) noexcept {
  if (w == nullptr || !w->forks.wanted() || !sizer.divisible(left) || w->forks.full()) return false;
  return w->pool->anyone_searching() || (sizer.may_wake() && (w->forks.asked() || w->pool->anyone_hungry())) ||
         (sizer.singly() && left <= 16 * static_cast<std::uint64_t>(w->pool->concurrency()));
}

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

template <class I>
concept loop_index = std::integral<I> && !std::same_as<I, bool>;

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

template <class I, class Body>
concept block_body = std::invocable<Body&, I, I>;

// noinline, here and below: beside the forks, whose captures have addresses, g++ would keep a sum in memory.
template <std::integral I, class Body>
[[gnu::noinline]] void run_block(Body& body, I first, I last) {
  if constexpr (block_body<I, Body>) {
    body(first, last);
  } else {
    for (I i = first; i < last; ++i) body(i);
  }
}

template <std::integral I, class Body>
void for_loop(worker* w, I first, I last, Body& body, block_sizer sizer) {
  while (first < last) {
    const auto left = distance(first, last);
    if (should_split(w, sizer, left)) {
      const I middle = advance_by(first, static_cast<unsigned_count<I>>(left / 2));
      auto here = [&] { for_loop(this_worker, first, middle, body, sizer); };
      auto there = [&] { for_loop(this_worker, middle, last, body, sizer); };
      result_box<std::monostate> a, b;
      return fork_two(w, here, there, a, b);
    }
    const std::size_t block = sizer.next(left);
    const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
    sizer.run(block, [&] { run_block(body, first, end); });
    first = end;
  }
}

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

template <std::integral I, class T, class Body, class Op>
T reduce_loop(worker* w, I first, I last, const T& identity, Body& body, Op& op, block_sizer sizer) {
  T sum = identity;
  while (first < last) {
    const auto left = distance(first, last);
    if (should_split(w, sizer, left)) {
      const I middle = advance_by(first, static_cast<unsigned_count<I>>(left / 2));
      auto here = [&] { return reduce_loop(this_worker, first, middle, identity, body, op, sizer); };
      auto there = [&] { return reduce_loop(this_worker, middle, last, identity, body, op, sizer); };
      auto [a, b] = fork_join_on(w, here, there);
      return op(op(std::move(sum), std::move(a)), std::move(b));
    }
    const std::size_t block = sizer.next(left);
    const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
    sizer.run(block, [&] { sum = reduce_block(body, op, std::move(sum), first, end); });
    first = end;
  }
  return sum;
}

}  // namespace detail
}  // namespace tutti
