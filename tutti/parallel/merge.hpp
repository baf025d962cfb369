// merge: a stable merge in stretches, which can be left at any time and cut in two.
#pragma once
#include <tutti/parallel/small_sort.hpp>

#include <array>

namespace tutti::detail {

/// Two sorted ranges that are still to be merged, the first one's elements first where they are equal, and where to.
/// Their elements are constructed both here and there, and moves do not throw.
template <class From, class To>
struct merge_work {
  using difference = std::iter_difference_t<From>;

  From a, a_end, b, b_end;
  To out;  // room for all that is left

  difference left() const { return (a_end - a) + (b_end - b); }
  bool one_sided() const { return a == a_end || b == b_end; }

  /// What is left goes where it should be, without a further comparison.
  void give_up() {
    out = std::move(a, a_end, out);
    out = std::move(b, b_end, out);
    a = a_end;
    b = b_end;
  }
};

// From both ends at once: two chains of comparisons instead of one. Whatever `less` says, neither side runs out within
// `steps`, half the length of the shorter one, so nothing else bounds the loop.
template <class From, class To, class Less>
void merge_both_ends(merge_work<From, To>& work, std::iter_difference_t<From> steps, Less less) {
  From a = work.a, b = work.b, a_back = work.a_end - 1, b_back = work.b_end - 1;
  To out = work.out, out_back = work.out + (work.left() - 1);
  const auto note = [&] { work = {a, a_back + 1, b, b_back + 1, out}; };
  try {
    for (; steps > 0; --steps) {
      const bool from_b = less(*b, *a), from_a = less(*b_back, *a_back);
      *out = *(from_b ? b : a);
      b += from_b;
      a += !from_b;
      ++out;
      *out_back = *(from_a ? a_back : b_back);
      a_back -= from_a;
      b_back -= !from_a;
      --out_back;
    }
  } catch (...) {
    note();
    throw;
  }
  note();
}

template <class From, class To, class Less>
void merge_forward(merge_work<From, To>& work, std::iter_difference_t<From> most, Less less) {
  From a = work.a, b = work.b;
  const From a_end = work.a_end, b_end = work.b_end;
  To out = work.out;
  const auto note = [&] { work = {a, a_end, b, b_end, out}; };
  try {
    for (; most > 0 && a != a_end && b != b_end; --most, ++out) {
      const bool from_b = less(*b, *a);
      if constexpr (cheap_to_copy<std::iter_value_t<From>>) {
        *out = *(from_b ? b : a);
        b += from_b;
        a += !from_b;
      } else if (from_b) {
        *out = std::move(*b);
        ++b;
      } else {
        *out = std::move(*a);
        ++a;
      }
    }
  } catch (...) {
    note();
    throw;
  }
  note();
}

/// How many elements at the front `precede(i)`, of which the first `known` do and the last do not need to.
template <class Difference, class Precedes>
Difference gallop(Difference known, Difference size, const Precedes& precedes) {
  Difference step = known;
  while (known < size && step < size - known && precedes(known + step)) {
    known += step + 1;
    step *= 2;
  }
  Difference end = std::min(size, known + step);
  while (known < end) {
    const Difference middle = known + (end - known) / 2;
    if (precedes(middle)) {
      known = middle + 1;
    } else {
      end = middle;
    }
  }
  return known;
}

/// Moves a long streak from one side, which ordered ranges and those with few keys have; false: there is none.
template <class From, class To, class Less>
bool merge_streak(merge_work<From, To>& work, Less less) {
  using difference = std::iter_difference_t<From>;
  constexpr difference streak = 16;
  const difference a_size = work.a_end - work.a, b_size = work.b_end - work.b;
  if (a_size > streak && !less(*work.b, work.a[streak])) {
    const auto n = gallop(streak + 1, a_size, [&](difference i) { return !less(*work.b, work.a[i]); });
    work.out = std::move(work.a, work.a + n, work.out);
    work.a += n;
    return true;
  }
  if (b_size > streak && less(work.b[streak], *work.a)) {
    const auto n = gallop(streak + 1, b_size, [&](difference i) { return less(work.b[i], *work.a); });
    work.out = std::move(work.b, work.b + n, work.out);
    work.b += n;
    return true;
  }
  return false;
}

/// Merges `most` elements or somewhat more, or until one side is empty.
template <class From, class To, class Less>
void merge_stretch(merge_work<From, To>& work, std::iter_difference_t<From> most, Less less) {
  constexpr std::iter_difference_t<From> at_once = 128;  // between two looks for a streak
  const auto enough = work.left() - most;
  while (!work.one_sided() && work.left() > enough) {
    if (merge_streak(work, less)) continue;
    if constexpr (cheap_to_copy<std::iter_value_t<From>>) {
      const auto safe = std::min(work.a_end - work.a, work.b_end - work.b) / 2;
      if (safe >= 4) {
        merge_both_ends(work, std::min(safe, at_once / 2), less);
        continue;
      }
    }
    merge_forward(work, at_once, less);
  }
}

/// Cuts in two, so that each half has the same room: how many of the first elements in order come from `a` is found by
/// a binary search (Odeh, Green, Mwassi, Shmueli, Birk, "Merge path", IPDPSW 2012).
template <class From, class To, class Less>
std::array<merge_work<From, To>, 2> cut(const merge_work<From, To>& work, Less less) {
  const auto a_size = work.a_end - work.a, b_size = work.b_end - work.b, k = (a_size + b_size) / 2;
  auto least = k > b_size ? k - b_size : 0, most = std::min(k, a_size);
  while (least < most) {
    const auto i = least + (most - least) / 2;
    if (less(work.b[k - i - 1], work.a[i])) {
      most = i;
    } else {
      least = i + 1;
    }
  }
  const From a = work.a + least, b = work.b + (k - least);
  return {merge_work<From, To>{work.a, a, work.b, b, work.out}, {a, work.a_end, b, work.b_end, work.out + k}};
}

}  // namespace tutti::detail
