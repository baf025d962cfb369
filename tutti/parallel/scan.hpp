// scan: running sums.
//
// A scan over n elements on p workers takes n/p + n/p steps: a part can only be written once the sum before it is
// known, and whoever would wait for that adds up a further part first. While nobody asks for work, it is the plain
// serial loop. When somebody does, p + 1 pieces are cut off what is left: the first is scanned while the next p - 1 are
// added up; then all sums are known, and the other p are scanned at once. A piece that nobody has taken is scanned
// right away by who comes to it with the sum in hand, so an absent helper costs nothing. Pieces are short enough to be
// in a cache when they are read the second time. (Blelloch, "Prefix sums and their applications", 1990, with the tree
// cut to its leaves.)
#pragma once
#include <tutti/parallel/reduce.hpp>

#include <functional>
#include <optional>
#include <ranges>
#include <vector>

namespace tutti {

namespace detail {

/// `body(first, last, sum, final)` returns `sum` folded with that block's elements, and when `final` writes the
/// results.
template <class Body, class I, class T>
concept scan_body = std::is_invocable_r_v<T, Body&, I, I, T, bool>;

template <std::integral I, class T, class Body, class Op>
class scan {
 public:
  scan(const T& identity, Body& body, Op& op, loop_control& control)
      : identity_(identity), body_(body), op_(op), control_(control) {}

  T run(worker* w, I first, I last, T sum) {
    block_sizer sizer(control_.grain());
    while (first < last && !control_.stopped()) {
      const auto left = distance(first, last);
      // Help comes twice for a piece, so a short scan is better off alone, whoever is looking for work.
      if (sizer.may_wake() && should_split(w, sizer, left / 2)) {
        const std::size_t workers = std::clamp<std::size_t>(static_cast<std::size_t>(w->pool->concurrency()), 2, most);
        if (const std::uint64_t length = piece_length(sizer, left / (workers + 1)); length > 0) {
          sum = together(w, first, length, workers, std::move(sum), sizer);
          first = advance_by(first, static_cast<unsigned_count<I>>(length * (workers + 1)));
          continue;
        }
      }
      const std::size_t block = sizer.next(left);
      const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
      sum = fold_block(sizer, first, end, std::move(sum), /*final=*/true);
      first = end;
    }
    return sum;
  }

 private:
  static constexpr std::size_t most = 64;

  struct alignas(cpu::cache_line) piece {
    std::optional<T> before;         // the sum of all before it
    std::optional<T> own;            // its own sum, if it was added up ahead of time
    std::atomic<bool> known{false};  // `before` is set: release / acquire, as the next piece may be another thread's
    bool written = false;
  };

  // Of `share` iterations; whole blocks when their size was told, else of some 32 to 128 us: long beside the help,
  // short enough to stay in a cache. 0: too few.
  std::uint64_t piece_length(const block_sizer& sizer, std::uint64_t share) const noexcept {
    if (control_.grain()) return share / *control_.grain() * *control_.grain();
    constexpr std::chrono::nanoseconds longest = std::chrono::microseconds(128);
    const auto blocks = static_cast<std::uint64_t>(std::clamp<std::int64_t>(longest / sizer.block_time(), 4, 16));
    return sizer.size() * blocks <= share ? sizer.size() * blocks : share >= sizer.size() * 4 ? share : 0;
  }
  T fold_block(block_sizer& sizer, I first, I last, T sum, bool final) {
    const auto n = static_cast<std::size_t>(distance(first, last));
    return control_.run([&] {
      std::optional<T> result;
      sizer.run(n, [&] { result.emplace(body_(first, last, std::move(sum), final)); });
      return std::move(*result);
    });
  }
  T fold(block_sizer& sizer, I first, I last, T sum, bool final) {
    while (first < last && !control_.stopped()) {
      const auto left = distance(first, last);
      const std::size_t block = std::max<std::size_t>(sizer.size(), 1);
      const I end = left <= block ? last : advance_by(first, static_cast<unsigned_count<I>>(block));
      sum = fold_block(sizer, first, end, std::move(sum), final);
      first = end;
    }
    return sum;
  }

  // Scans `workers + 1` pieces of `length` from `first` on; returns the sum behind them.
  T together(worker* w, I first, std::uint64_t length, std::size_t workers, T sum, block_sizer& sizer) {
    std::vector<piece> pieces(workers + 2);
    const auto at = [&](std::size_t k) { return advance_by(first, static_cast<unsigned_count<I>>(k * length)); };
    const auto write = [&](std::size_t k, block_sizer& by) {
      pieces[k].written = true;
      return fold(by, at(k), at(k + 1), T(*pieces[k].before), /*final=*/true);
    };
    const auto know = [&](std::size_t k, T before) {
      pieces[k].before.emplace(std::move(before));
      pieces[k].known.store(true, std::memory_order_release);
    };
    know(0, std::move(sum));
    each(w, 0, workers, sizer, [&](std::size_t k, block_sizer& by) {
      if (pieces[k].known.load(std::memory_order_acquire)) {
        know(k + 1, write(k, by));
      } else {
        pieces[k].own.emplace(fold(by, at(k), at(k + 1), T(identity_), /*final=*/false));
      }
    });
    if (control_.over()) return T(identity_);
    control_.run([&] {
      for (std::size_t k = 0; k < workers; ++k) {
        if (pieces[k].own) know(k + 1, op_(T(*pieces[k].before), std::move(*pieces[k].own)));
      }
    });
    each(w, 0, workers + 1, sizer, [&](std::size_t k, block_sizer& by) {
      if (pieces[k].written) return;
      T behind = write(k, by);
      if (k == workers) pieces[k].own.emplace(std::move(behind));
    });
    return control_.over() ? T(identity_) : std::move(*pieces[workers].own);
  }

  // f(k, sizer) for each k in [from, to), perhaps at once, and in order where one thread does several.
  template <class F>
  void each(worker* w, std::size_t from, std::size_t to, block_sizer& sizer, const F& f) {
    if (to - from == 1) return f(from, sizer);
    auto here = [&] { f(from, sizer); };
    auto there = [&, learned = sizer]() mutable {
      worker* const runner = worker_in_place_of(w);
      each(runner, from + 1, to, runner == w ? sizer : learned, f);
    };
    result_box<std::monostate> a, b;
    fork_two(w, here, there, a, b);
  }

  const T& identity_;
  Body& body_;
  Op& op_;
  loop_control& control_;
};

template <class I, class T, class Body, class Op>
T run_scan(worker* w, const char* name, I first, I last, const T& identity, T sum, Body& body, Op& op,
           const loop_options& options) {
  check_fold<T, Op>();
  loop_control control(name, options);
  T total = scan<I, T, Body, Op>(identity, body, op, control).run(w, first, last, std::move(sum));
  control.finish();
  return total;
}

// Both forms over ranges. The sum is an optional, so that no neutral element is needed.
template <bool Inclusive, class R, class Out, class T, class Op>
Out run_range_scan(worker* w, const char* name, R& range, Out out, std::optional<T> init, Op& op,
                   const loop_options& options) {
  check_fold<T, Op>();
  static_assert(std::indirectly_writable<Out, T>, "tutti: the sums of a parallel scan cannot be written to its output");
  using part = std::optional<T>;
  const auto first = std::ranges::begin(range);
  const auto count = position_count(std::ranges::size(range));
  const auto in = [&](std::ptrdiff_t i) -> decltype(auto) {
    return first[static_cast<std::ranges::range_difference_t<R>>(i)];
  };
  const auto to = [&](std::ptrdiff_t i) -> decltype(auto) { return out[static_cast<std::iter_difference_t<Out>>(i)]; };
  auto body = [&](std::ptrdiff_t i, std::ptrdiff_t last, part before, bool final) -> part {
    if (!final) {
      T sum = before ? T(op(*std::move(before), in(i))) : T(in(i));
      for (++i; i < last; ++i) sum = op(std::move(sum), in(i));
      return sum;
    }
    if constexpr (Inclusive) {
      T sum = before ? T(op(*std::move(before), in(i))) : T(in(i));
      to(i) = sum;
      for (++i; i < last; ++i) to(i) = sum = op(std::move(sum), in(i));
      return sum;
    } else {
      T sum = *std::move(before);
      for (; i < last; ++i) {
        T next = op(sum, in(i));  // before the result is written: it may be written over the element
        to(i) = std::move(sum);
        sum = std::move(next);
      }
      return sum;
    }
  };
  auto join = [&](part a, part b) {
    return !a ? std::move(b) : !b ? std::move(a) : part(op(*std::move(a), *std::move(b)));
  };
  run_scan<std::ptrdiff_t, part>(w, name, 0, count, part(), std::move(init), body, join, options);
  return out + static_cast<std::iter_difference_t<Out>>(count);
}

}  // namespace detail

/// The general form: folds [first, last), integers, in blocks from left to right. `body(first, last, sum, final)`
/// returns `sum` folded with a block's elements; when `final`, `sum` is that of everything before the block, and it
/// writes the block's results. Each block is final once; some are asked for their sum alone before, with a neutral
/// `sum`. `op` is associative and joins two sums, `identity` is its neutral element. Returns the sum of all. Otherwise
/// as parallel_for.
template <detail::loop_index I, detail::loop_index J, class T, class Body, class Op>
  requires detail::scan_body<Body, std::common_type_t<I, J>, T>
T parallel_scan(I first, J last, T identity, Body&& body, Op&& op, loop_options options = {}) {
  using index = std::common_type_t<I, J>;
  return detail::as_worker([&](worker* w) {
    return detail::run_scan<index, T>(w, "parallel_scan", detail::to_index<index>(first), detail::to_index<index>(last),
                                      identity, identity, body, op, options);
  });
}
/// The same on a pool.
template <detail::loop_index I, detail::loop_index J, class T, class Body, class Op>
  requires detail::scan_body<Body, std::common_type_t<I, J>, T>
T parallel_scan(local_executor& pool, I first, J last, T identity, Body&& body, Op&& op, loop_options options = {}) {
  using index = std::common_type_t<I, J>;
  return detail::as_worker(pool, [&](worker* w) {
    return detail::run_scan<index, T>(w, "parallel_scan", detail::to_index<index>(first), detail::to_index<index>(last),
                                      identity, identity, body, op, options);
  });
}

/// Writes the sums x0, x0+x1, x0+x1+x2, ... of a range with random access from `out` on, with any associative `op` for
/// the plus; as std::inclusive_scan. `out` may be the range's own begin. Returns the end of what was written. Sums have
/// the type of the range's elements. Grouping, exceptions, stop requests, pools: as parallel_reduce; when it throws,
/// some results are written and some are not.
template <detail::sized_random_access R, std::random_access_iterator Out, class Op = std::plus<>>
Out parallel_inclusive_scan(R&& range, Out out, Op&& op = {}, loop_options options = {}) {
  using T = std::ranges::range_value_t<R>;
  return detail::as_worker([&](worker* w) {
    return detail::run_range_scan<true, R, Out, T>(w, "parallel_inclusive_scan", range, out, std::nullopt, op, options);
  });
}
/// The same on a pool.
template <detail::sized_random_access R, std::random_access_iterator Out, class Op = std::plus<>>
Out parallel_inclusive_scan(local_executor& pool, R&& range, Out out, Op&& op = {}, loop_options options = {}) {
  using T = std::ranges::range_value_t<R>;
  return detail::as_worker(pool, [&](worker* w) {
    return detail::run_range_scan<true, R, Out, T>(w, "parallel_inclusive_scan", range, out, std::nullopt, op, options);
  });
}

/// Writes init, init+x0, init+x0+x1, ..., one for each element, as std::exclusive_scan: each result is the sum of what
/// comes before its element. Sums have the type of `init`. Otherwise as parallel_inclusive_scan.
template <detail::sized_random_access R, std::random_access_iterator Out, class T, class Op = std::plus<>>
Out parallel_exclusive_scan(R&& range, Out out, T init, Op&& op = {}, loop_options options = {}) {
  return detail::as_worker([&](worker* w) {
    return detail::run_range_scan<false, R, Out, T>(w, "parallel_exclusive_scan", range, out, std::optional<T>(init),
                                                    op, options);
  });
}
/// The same on a pool.
template <detail::sized_random_access R, std::random_access_iterator Out, class T, class Op = std::plus<>>
Out parallel_exclusive_scan(local_executor& pool, R&& range, Out out, T init, Op&& op = {}, loop_options options = {}) {
  return detail::as_worker(pool, [&](worker* w) {
    return detail::run_range_scan<false, R, Out, T>(w, "parallel_exclusive_scan", range, out, std::optional<T>(init),
                                                    op, options);
  });
}

}  // namespace tutti
