// ordered: ranges that are in order already, or in the reverse one.
#pragma once
#include <tutti/parallel/loop.hpp>
#include <tutti/parallel/small_sort.hpp>

#include <atomic>

namespace tutti::detail {

/// Whether `follows(i)` for each i in [1, n). Alone at first: most ranges disprove it within a few elements.
template <class Follows>
bool all_follow(worker* w, std::ptrdiff_t n, const Follows& follows, loop_control& control) {
  constexpr std::ptrdiff_t alone = 8192;
  bool all = true;
  control.run([&] {
    for (std::ptrdiff_t i = 1; all && i < std::min(n, alone); ++i) all = follows(i);
  });
  if (!all || n <= alone) return all;
  std::atomic<bool> so_far{true};  // relaxed: a hint to the others; the answer travels through the joins
  auto part = [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    if (!so_far.load(std::memory_order_relaxed)) return;
    for (std::ptrdiff_t i = first; i < last; ++i) {
      if (!follows(i)) return so_far.store(false, std::memory_order_relaxed);
    }
  };
  for_loop(w, alone, n, part, block_sizer(), control);
  return so_far.load(std::memory_order_relaxed);
}

/// Leaves a sorted range as it is and reverses a strictly descending one; false if it is neither. True also when
/// `control` says stopped.
template <class It, class Less>
bool put_in_order_if_simple(worker* w, It first, It last, Less less, loop_control& control) {
  const std::ptrdiff_t n = last - first;
  using step = std::iter_difference_t<It>;
  const auto at = [&](std::ptrdiff_t i) -> decltype(auto) { return first[static_cast<step>(i)]; };
  if (n < 2 || control.stopped()) return true;
  if (all_follow(w, n, [&](std::ptrdiff_t i) { return !less(at(i), at(i - 1)); }, control)) return true;
  if (!all_follow(w, n, [&](std::ptrdiff_t i) { return less(at(i), at(i - 1)); }, control)) return control.stopped();
  auto swap_ends = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
    for (std::ptrdiff_t i = from; i < to; ++i) {
      std::ranges::iter_swap(first + static_cast<step>(i), first + static_cast<step>(n - 1 - i));
    }
  };
  for_loop(w, std::ptrdiff_t{0}, n / 2, swap_ends, block_sizer(), control);
  return true;
}

}  // namespace tutti::detail
