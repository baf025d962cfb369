// box: loops over two, three or more indices at once, in blocks that are boxes themselves.
#pragma once
#include <tutti/parallel/loop.hpp>

#include <array>
#include <cstdint>
#include <functional>

namespace tutti {

/// The index tuples with first(d) <= i < last(d) in each dimension d < N; the last dimension is the innermost.
template <std::size_t N>
  requires(N >= 1)
class box {
 public:
  using index = std::ptrdiff_t;

  /// From 0 to an extent in each dimension: `box(rows, columns)`. Extents of 0 and less are empty.
  template <detail::loop_index... Extent>
    requires(sizeof...(Extent) == N)
  explicit constexpr box(Extent... extents) : last_{detail::to_index<index>(extents)...} {}
  /// From `first` to below `last` in each dimension: `box({1, 1}, {rows - 1, columns - 1})`.
  template <detail::loop_index I, detail::loop_index J>
  constexpr box(const I (&first)[N], const J (&last)[N]) {
    for (std::size_t d = 0; d < N; ++d) {
      first_[d] = detail::to_index<index>(first[d]);
      last_[d] = detail::to_index<index>(last[d]);
    }
  }

  constexpr index first(std::size_t d) const noexcept { return first_[d]; }
  constexpr index last(std::size_t d) const noexcept { return last_[d]; }
  constexpr std::size_t extent(std::size_t d) const noexcept { return detail::distance(first_[d], last_[d]); }
  /// How many index tuples. Throws std::length_error when they are 2^64 or more.
  constexpr std::uint64_t size() const {
    std::uint64_t product = 1;
    for (std::size_t d = 0; d < N; ++d) {
      if (extent(d) == 0) return 0;
    }
    for (std::size_t d = 0; d < N; ++d) {
      if (__builtin_mul_overflow(product, std::uint64_t{extent(d)}, &product))
        throw std::length_error("tutti::box has more than 2^64 - 1 elements: divide it");
    }
    return product;
  }
  /// Two halves, cut through the longest side; an inner one counts an eighth, so that inner loops stay long. At least
  /// one side must be longer than 1.
  constexpr std::array<box, 2> halves() const noexcept {
    std::size_t cut = 0;
    double longest = 0;
    for (std::size_t d = 0; d < N; ++d) {
      const double length = extent(d) < 2 ? 0 : static_cast<double>(extent(d)) / (d + 1 == N ? 8 : 1);
      if (length > longest) {
        longest = length;
        cut = d;
      }
    }
    std::array<box, 2> parts{*this, *this};
    const index middle = detail::advance_by(first_[cut], extent(cut) / 2);
    parts[0].last_[cut] = parts[1].first_[cut] = middle;
    return parts;
  }
  friend constexpr bool operator==(const box&, const box&) = default;

 private:
  std::array<index, N> first_{}, last_{};
};

template <detail::loop_index... Extent>
box(Extent...) -> box<sizeof...(Extent)>;
template <detail::loop_index I, detail::loop_index J, std::size_t N>
box(const I (&)[N], const J (&)[N]) -> box<N>;

namespace detail {

// noinline: as run_block.
template <std::size_t N, class Body, class... Outer>
void visit_box(Body& body, const box<N>& part, Outer... outer) {
  constexpr std::size_t d = sizeof...(Outer);
  // A local: the body's stores could change the box for all that the compiler knows.
  for (std::ptrdiff_t i = part.first(d), last = part.last(d); i < last; ++i) {
    if constexpr (d + 1 == N) {
      std::invoke(body, outer..., i);
    } else {
      visit_box(body, part, outer..., i);
    }
  }
}
template <class Body, std::size_t N>
constexpr bool takes_indices = []<std::size_t... D>(std::index_sequence<D...>) {
  return std::invocable<Body&, decltype(static_cast<std::ptrdiff_t>(D))...>;
}(std::make_index_sequence<N>());

template <std::size_t N, class Body>
[[gnu::noinline]] void run_box(Body& body, const box<N>& part) {
  if constexpr (takes_indices<Body, N>) {
    visit_box(body, part);
  } else {
    std::invoke(body, part);
  }
}

// A recursion, unlike for_loop: what is left of a box after a block is no box.
template <std::size_t N, class Body>
void box_loop(worker* w, const box<N>& part, Body& body, block_sizer& sizer, loop_control& control) {
  if (control.stopped()) return;
  const std::uint64_t size = part.size();
  if (size <= sizer.size()) {
    return control.run([&] { sizer.run_about(static_cast<std::size_t>(size), [&] { run_box(body, part); }); });
  }
  const auto parts = part.halves();
  auto here = [&] { box_loop(w, parts[0], body, sizer, control); };
  auto there = [&, learned = sizer]() mutable {
    worker* const runner = worker_in_place_of(w);
    box_loop(runner, parts[1], body, runner == w ? sizer : learned, control);
  };
  result_box<std::monostate> a, b;
  fork_two(w, here, there, a, b, [&] { return should_split(w, sizer, size); });
}

template <std::size_t N, class Body>
void run_box_loop(worker* w, const box<N>& whole, Body& body, const loop_options& options) {
  static_assert(std::invocable<Body&, const box<N>&> || takes_indices<Body, N>,
                "tutti: the body of a parallel loop over a box takes an index for each dimension, or a const box<N>&");
  loop_control control("parallel_for", options);
  block_sizer sizer(control.grain());
  if (whole.size() > 0) box_loop(w, whole, body, sizer, control);
  control.finish();
}

}  // namespace detail

/// Calls `body(i, j, ...)` for each index tuple of `whole`, or `body(block)` for boxes that make it up, as long as they
/// need to be and about as wide as high, but longer in the innermost dimension. `options.grain` is the most index
/// tuples a block has. Otherwise as parallel_for over one index.
template <std::size_t N, class Body>
void parallel_for(const box<N>& whole, Body&& body, loop_options options = {}) {
  detail::as_worker([&](worker* w) { detail::run_box_loop(w, whole, body, options); });
}

/// The same on a pool; see parallel_for.
template <std::size_t N, class Body>
void parallel_for(local_executor& pool, const box<N>& whole, Body&& body, loop_options options = {}) {
  detail::as_worker(pool, [&](worker* w) { detail::run_box_loop(w, whole, body, options); });
}

}  // namespace tutti
