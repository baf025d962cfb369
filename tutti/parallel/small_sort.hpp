// small_sort: what both sorts are made of: the order of elements, sorts of a few of them, merges, and a heap sort.
//
// Nothing here trusts the comparator. Loops are bounded by positions, never by what a comparison says, and whatever the
// answers are, the elements stay a permutation of what they were, also when a comparison throws.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace tutti::detail {

/// The comparator applied to projected elements.
template <class Comp, class Proj>
class element_order {
 public:
  element_order(Comp& comp, Proj& proj) noexcept : comp_(&comp), proj_(&proj) {}
  template <class T>
  bool operator()(T& a, T& b) const {
    return static_cast<bool>(std::invoke(*comp_, std::invoke(*proj_, a), std::invoke(*proj_, b)));
  }

 private:
  Comp* comp_;
  Proj* proj_;
};

/// Elements that are cheaper to copy than a branch is to mispredict: they are moved whatever a comparison says, and
/// only where they go depends on it.
template <class T>
concept cheap_to_copy =
    std::is_trivially_copyable_v<T> && std::is_trivially_copy_constructible_v<T> &&
    std::is_trivially_copy_assignable_v<T> && std::is_trivially_destructible_v<T> && sizeof(T) <= 96;

/// Puts an element back while an exception passes through. That of its own assignment is lost beside the first.
template <class It, class T>
void put_back(It hole, T& value) noexcept {
  try {
    *hole = std::move(value);
  } catch (...) {
  }
}

/// Moves *at to its place in [first, at), which is sorted.
template <class It, class Less>
void insert(It first, It at, Less less) {
  if (at == first || !less(*at, *(at - 1))) return;
  std::iter_value_t<It> value = std::move(*at);
  It hole = at;
  try {
    do {
      *hole = std::move(*(hole - 1));
      --hole;
    } while (hole != first && less(value, *(hole - 1)));
  } catch (...) {
    put_back(hole, value);
    throw;
  }
  *hole = std::move(value);
}

template <class It, class Less>
void insertion_sort(It first, It last, Less less) {
  for (It i = first; i != last; ++i) insert(first, i, less);
}

/// The first element that is less than the one before it, or `last`.
template <class It, class Less>
It find_disorder(It first, It last, Less less) {
  if (first == last) return last;
  for (++first; first != last; ++first) {
    if (less(*first, *(first - 1))) break;
  }
  return first;
}

/// The fallback of a quicksort that finds no good pivots. By swaps alone, so that no element is ever in the air.
template <class It, class Less>
void sift_down(It first, std::iter_difference_t<It> at, std::iter_difference_t<It> n, Less less) {
  while (at < n / 2) {
    auto child = 2 * at + 1;
    if (child + 1 < n && less(first[child], first[child + 1])) ++child;
    if (!less(first[at], first[child])) return;
    std::ranges::iter_swap(first + at, first + child);
    at = child;
  }
}

template <class It, class Less>
void heap_sort(It first, It last, Less less) {
  const auto n = last - first;
  for (auto at = n / 2; at-- > 0;) sift_down(first, at, n, less);
  for (auto end = n - 1; end > 0; --end) {
    std::ranges::iter_swap(first, first + end);
    sift_down(first, std::iter_difference_t<It>{0}, end, less);
  }
}

// The sorts of a few cheap elements below have no branch that depends on a comparison. They are stable. They follow
// the small sorts of ipnsort and driftsort (Bergdoll, Peters, 2024).

/// Sorts four elements from `from` to `to`, which do not overlap.
template <class From, class T, class Less>
void sort4(From from, T* to, Less less) {
  const bool c1 = less(from[1], from[0]), c2 = less(from[3], from[2]);
  const From a = from + c1, b = from + !c1, c = from + 2 + c2, d = from + 2 + !c2;
  const bool c3 = less(*c, *a), c4 = less(*d, *b);
  const From smallest = c3 ? c : a, largest = c4 ? b : d;
  const From left = c3 ? a : (c4 ? c : b), right = c4 ? d : (c3 ? b : c);
  const bool c5 = less(*right, *left);
  const From low = c5 ? right : left, high = c5 ? left : right;
  to[0] = *smallest;
  to[1] = *low;
  to[2] = *high;
  to[3] = *largest;
}

/// Merges [from, from + n / 2) and [from + n / 2, from + n) to `to`, from both ends at once: two chains of comparisons
/// instead of one. Neither front can run out before n / 2 steps, so nothing else bounds the loop.
template <class T, class To, class Less>
void merge_halves(T* from, std::ptrdiff_t n, To to, Less less) {
  const std::ptrdiff_t half = n / 2;
  T *left = from, *right = from + half, *left_back = right - 1, *right_back = from + n - 1;
  To out = to, out_back = to + (n - 1);
  for (std::ptrdiff_t i = 0; i < half; ++i) {
    const bool from_right = less(*right, *left);
    *out = *(from_right ? right : left);
    right += from_right;
    left += !from_right;
    ++out;
    const bool from_left = less(*right_back, *left_back);
    *out_back = *(from_left ? left_back : right_back);
    left_back -= from_left;
    right_back -= !from_left;
    --out_back;
  }
  if (n % 2 != 0) {
    const bool from_left = left <= left_back;
    *out = from_left ? *left : *right;
    left += from_left;
    right += !from_left;
  }
  // The fronts have not met: no order. Some elements were copied twice, others not at all.
  if (left != left_back + 1 || right != right_back + 1) [[unlikely]]
    std::copy(from, from + n, to);
}

inline constexpr std::ptrdiff_t most_for_small_sort = 32;

/// Sorts up to most_for_small_sort elements to `to`, which may be `first`. If `less` throws, `first` still has all of
/// them: only copies are moved until the last merge, and after that `to` has them, too.
template <class It, class To, class Less>
void small_sort(It first, std::ptrdiff_t n, To to, Less less) {
  using T = std::iter_value_t<It>;
  if (n < 2) {
    if (n == 1) *to = *first;
    return;
  }
  // Not initialised: trivially copyable types need no constructor to begin their lives.
  alignas(T) std::byte storage[(most_for_small_sort + 8) * sizeof(T)];
  T* const sorted = std::launder(reinterpret_cast<T*>(storage));
  T* const spare = sorted + most_for_small_sort;
  const std::ptrdiff_t half = n / 2;
  std::ptrdiff_t presorted = 1;
  if (n >= 16) {
    presorted = 8;
    for (const std::ptrdiff_t at : {std::ptrdiff_t{0}, half}) {
      sort4(first + at, spare, less);
      sort4(first + at + 4, spare + 4, less);
      merge_halves(spare, 8, sorted + at, less);
    }
  } else if (n >= 8) {
    presorted = 4;
    sort4(first, sorted, less);
    sort4(first + half, sorted + half, less);
  } else {
    sorted[0] = first[0];
    sorted[half] = first[half];
  }
  for (std::ptrdiff_t i = presorted; i < half; ++i) {
    sorted[i] = first[i];
    insert(sorted, sorted + i, less);
  }
  for (std::ptrdiff_t i = half + presorted; i < n; ++i) {
    sorted[i] = first[i];
    insert(sorted + half, sorted + i, less);
  }
  try {
    merge_halves(sorted, n, to, less);
  } catch (...) {
    std::copy(sorted, sorted + n, to);
    throw;
  }
}

}  // namespace tutti::detail
