// quick_sort: the unstable sort in place: pattern-defeating quicksort whose partitions have no unpredictable branch.
//
// Pattern-defeating quicksort (Peters, arXiv 2106.05123, 2021) in its order of ideas: pivots from medians, elements
// equal to a pivot that is known already are put aside, heap sort after too many bad pivots. Cheap elements are
// partitioned without branches (by a cyclic Lomuto scan, as ipnsort of Bergdoll and Peters, 2024: that measured faster
// than blocks), unless they look so orderly that branches are predicted. The two sides of a pivot are forked; while
// somebody else has nothing to do, large ranges are partitioned together.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/parallel/block_partition.hpp>
#include <tutti/parallel/small_sort.hpp>
#include <tutti/parallel/sort_sharing.hpp>

#include <bit>
#include <optional>

namespace tutti::detail {

template <class It, class Less>
It median_of_3(It a, It b, It c, Less less) {
  const bool ab = less(*a, *b), ac = less(*a, *c);
  if (ab != ac) return a;
  const bool bc = less(*b, *c);
  return bc == ab ? b : c;
}

// The median of three medians of three, and so on: about the square root of all elements take part.
template <class It, class Less>
It median_of_many(It a, It b, It c, std::iter_difference_t<It> n, Less less) {
  if (n >= 8) {
    const auto n8 = n / 8;
    a = median_of_many(a, a + n8 * 4, a + n8 * 7, n8, less);
    b = median_of_many(b, b + n8 * 4, b + n8 * 7, n8, less);
    c = median_of_many(c, c + n8 * 4, c + n8 * 7, n8, less);
  }
  return median_of_3(a, b, c, less);
}

template <class It, class Less>
It choose_pivot(It first, std::iter_difference_t<It> n, Less less) {
  const auto n8 = n / 8;
  const It b = first + n8 * 4, c = first + n8 * 7;
  return n < 64 ? median_of_3(first, b, c, less) : median_of_many(first, b, c, n8, less);
}

// Whether neighbours mostly go on in one direction, up or down. A processor then predicts the branches of a plain
// partition and of an insertion sort, which are faster than those without branches if it does.
template <class It, class Less>
bool looks_smooth(It first, std::iter_difference_t<It> n, Less less) {
  constexpr int samples = 32, enough = 28;  // of random elements, a third
  const auto step = n / samples;
  int smooth = 0;
  for (int i = 0; i < samples; ++i, first += step) {
    smooth += static_cast<int>(less(first[1], first[0]) == less(first[2], first[1]));
  }
  return smooth >= enough;
}

template <class It, class Less>
class quick_sorter {
 public:
  using difference = std::iter_difference_t<It>;
  using value = std::iter_value_t<It>;

  quick_sorter(Less less, loop_control& control) : less_(less), control_(control) {}

  void run(worker* w, It first, It last) {
    const auto n = static_cast<std::uint64_t>(last - first);
    sort_shared(w, {.first = first, .last = last, .bad_pivots_left = static_cast<int>(std::bit_width(n)) + 1});
  }

 private:
  static constexpr bool cheap = cheap_to_copy<value>;
  static constexpr difference leaf = cheap ? most_for_small_sort : 20;
  static constexpr difference least_to_look_at = 512;  // for patterns

  struct part {
    It first, last;
    int bad_pivots_left = 0;
    bool leftmost = true;  // otherwise, what stands before `first` is not greater than anything in here
    bool smooth = false;

    difference size() const { return last - first; }
  };

  void sort_shared(worker* w, part right) {
    while (right.size() > sort_sharing::least_to_fork) {
      if (control_.stopped()) return;
      part left;
      if (!control_.run([&] { return divide(w, right, left); })) return;
      if (control_.stopped()) return;  // and then it may not have been divided
      if (left.size() <= leaf) {
        control_.run([&] { sort_serially(left); });
        continue;
      }
      auto here = [&] { sort_shared(w, left); };
      auto there = [&] { sort_shared(worker_in_place_of(w), right); };
      result_box<std::monostate> a, b;
      return fork_two(w, here, there, a, b, [&] { return sharing_.worth_offering(w, right.size()); });
    }
    control_.run([&] { sort_serially(right); });
  }

  void sort_serially(part right) {
    part left;
    while (divide(nullptr, right, left)) sort_serially(left);
  }

  // Divides `right` in two by a pivot, which is in neither; or sorts it and returns false.
  bool divide(worker* w, part& right, part& left) {
    const It first = right.first, last = right.last;
    const auto n = right.size();
    if (!cheap && n <= leaf) {
      insertion_sort(first, last, less_);
      return false;
    }
    if (n >= least_to_look_at) right.smooth = looks_smooth(first, n, less_);
    if (right.smooth && find_disorder(first, last, less_) == last) return false;
    if (cheap && n <= leaf) {
      sort_leaf(right);
      return false;
    }
    std::ranges::iter_swap(first, choose_pivot(first, n, less_));
    left = right;
    if (!right.leftmost && !less_(*(first - 1), *first)) {
      // The pivot equals the one on the left, which nothing here is less than: so do all that are not greater.
      const auto not_greater = [this](value& x, value& pivot) { return !less_(pivot, x); };
      right.first = partition_around(w, right, not_greater) + 1;
      left.last = left.first;
      return true;
    }
    const It pivot = partition_around(w, right, less_);
    left.last = pivot;
    right.first = pivot + 1;
    right.leftmost = false;
    if (std::min(left.size(), right.size()) < n / 8 && --right.bad_pivots_left <= 0) {
      heap_sort(first, last, less_);
      return false;
    }
    left.bad_pivots_left = right.bad_pivots_left;
    return true;
  }

  void sort_leaf(const part& p) {
    if constexpr (cheap) {
      if (!p.smooth) return small_sort(p.first, p.size(), p.first, less_);
    }
    insertion_sort(p.first, p.last, less_);
  }

  // By the pivot, which is *first; returns where it stands from now on.
  template <class Before>
  It partition_around(worker* w, const part& p, const Before& before) {
    It border;
    if constexpr (cheap) {
      value pivot = *p.first;  // stays in a register, while *first could change for all that the compiler knows
      border = partition(w, p, [&](value& x) { return before(x, pivot); });
    } else {
      border = partition(w, p, [&](value& x) { return before(x, *p.first); });
    }
    --border;
    std::ranges::iter_swap(p.first, border);
    return border;
  }
  template <class Pred>
  It partition(worker* w, const part& p, Pred pred) {
    using together = block_partition<It, Pred>;
    const It first = p.first + 1;
    if (w != nullptr && p.size() >= 4 * together::least && w->forks.wanted()) {
      return together(first, p.last, pred, control_).run(w, patience::over());
    }
    if constexpr (cheap) {
      if (!p.smooth) return partition_cheap(first, p.last, pred);
    }
    return partition_by_swaps(first, p.last, [&](It i) { return pred(*i); });
  }

  const Less less_;
  loop_control& control_;
  const sort_sharing sharing_;
};

}  // namespace tutti::detail
