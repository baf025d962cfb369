// ordered: ranges that are in order already, or in the reverse one.
#pragma once
#include <tutti/parallel/loop.hpp>
#include <tutti/parallel/small_sort.hpp>

#include <atomic>
#include <utility>

namespace tutti::detail {

template <class It, class Less, std::size_t... Offset>
bool any_disorder(It first, Less less, std::index_sequence<Offset...>) {
  return ((static_cast<unsigned>(less(first[Offset + 1], first[Offset])) | ...)) != 0;
}

/// find_disorder(first, last, less) == last. Eight cheap elements share a branch: with one for each, how fast this goes
/// would depend on where in its cache line the compiler happens to put the loop.
template <class It, class Less>
bool in_order(It first, It last, Less less) {
  if constexpr (cheap_to_copy<std::iter_value_t<It>>) {
    constexpr std::iter_difference_t<It> stretch = 8;
    for (; last - first > stretch; first += stretch) {
      if (any_disorder(first, less, std::make_index_sequence<stretch>())) return false;
    }
  }
  return find_disorder(first, last, less) == last;
}

/// Whether no element is in disorder with the one before it, as find_disorder has it. Alone at first: most ranges
/// disprove it within a few elements.
template <class It, class Less>
bool all_in_order(worker* w, It first, It last, Less less, loop_control& control) {
  using step = std::iter_difference_t<It>;
  constexpr step alone = 8192;
  const It beginning = first + std::min<step>(last - first, alone);
  bool all = true;
  control.run([&] { all = in_order(first, beginning, less); });
  if (!all || beginning == last) return all;
  std::atomic<bool> so_far{true};  // relaxed: a hint to the others; the answer travels through the joins
  auto part = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
    if (!so_far.load(std::memory_order_relaxed)) return;
    if (!in_order(first + static_cast<step>(from - 1), first + static_cast<step>(to), less)) {
      so_far.store(false, std::memory_order_relaxed);
    }
  };
  for_loop(w, static_cast<std::ptrdiff_t>(alone), static_cast<std::ptrdiff_t>(last - first), part, block_sizer(),
           control);
  return so_far.load(std::memory_order_relaxed);
}

/// Leaves a sorted range as it is and reverses a strictly descending one; false if it is neither. True also when
/// `control` says stopped.
template <class It, class Less>
bool put_in_order_if_simple(worker* w, It first, It last, Less less, loop_control& control) {
  const std::ptrdiff_t n = last - first;
  using step = std::iter_difference_t<It>;
  if (n < 2 || control.stopped()) return true;
  if (all_in_order(w, first, last, less, control)) return true;
  const auto not_less = [&](auto& a, auto& b) { return !less(a, b); };
  if (!all_in_order(w, first, last, not_less, control)) return control.stopped();
  auto swap_ends = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
    for (std::ptrdiff_t i = from; i < to; ++i) {
      std::ranges::iter_swap(first + static_cast<step>(i), first + static_cast<step>(n - 1 - i));
    }
  };
  for_loop(w, std::ptrdiff_t{0}, n / 2, swap_ends, block_sizer(), control);
  return true;
}

}  // namespace tutti::detail
