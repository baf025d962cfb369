// block_partition: a partition in place by several workers at once.
//
// Each worker takes a block from the left end and one from the right end, finds what is on the wrong side of both, and
// swaps these pair by pair; the block that has none left is done and replaced by the next one (Tsigas, Zhang, "A
// simple, fast parallel implementation of quicksort", PDP 2003). Finding is branchless: offsets are written whatever
// the answer is, and counted if it is the wrong one (Edelkamp, Weiss, "BlockQuicksort", ESA 2016). At the end each
// worker is left with at most one block that has elements of both kinds. These are put in order by swaps alone, so the
// predicate is asked once for each element.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/parallel/loop.hpp>
#include <tutti/parallel/small_sort.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace tutti::detail {

// Partitions by one thread, too; each element is asked once, and loops are bounded whatever it says.

/// Every element is moved, through one hole: what stands at the border goes to the hole, and the element to the border,
/// which advances if it satisfies. No branch depends on the answer.
template <class It, class Pred>
It partition_cheap(It first, It last, Pred& pred) {
  if (first == last) return first;
  std::iter_value_t<It> lifted = *first;
  It border = first, hole = first;
  try {
    for (It i = first + 1; i != last; ++i) {
      const bool satisfies = static_cast<bool>(pred(*i));
      *hole = *border;
      *border = *i;
      hole = i;
      border += satisfies;
    }
    const bool satisfies = static_cast<bool>(pred(lifted));
    *hole = *border;
    *border = lifted;
    border += satisfies;
  } catch (...) {
    *hole = lifted;
    throw;
  }
  return border;
}

/// `satisfies(i)` is asked for iterators, each while its element is where it was at first.
template <class It, class Satisfies>
It partition_by_swaps(It first, It last, const Satisfies& satisfies) {
  for (;;) {
    for (;; ++first) {
      if (first == last) return first;
      if (!satisfies(first)) break;
    }
    do {
      --last;
      if (first == last) return first;
    } while (!satisfies(last));
    std::ranges::iter_swap(first, last);
    ++first;
  }
}

template <class It, class Pred>
It serial_partition(It first, It last, Pred& pred) {
  if constexpr (cheap_to_copy<std::iter_value_t<It>>) {
    return partition_cheap(first, last, pred);
  } else {
    return partition_by_swaps(first, last, [&](It i) { return static_cast<bool>(pred(*i)); });
  }
}

template <class It, class Pred>
class block_partition {
 public:
  using difference = std::iter_difference_t<It>;

  static constexpr difference block =
      std::clamp<difference>(static_cast<difference>(16'384 / sizeof(std::iter_value_t<It>)), 64, 1024);
  /// Fewer elements are not worth it.
  static constexpr difference least = 16 * block;

  block_partition(It first, It last, Pred& pred, loop_control& control)
      : first_(first), size_(last - first), blocks_(size_ / block), pred_(pred), control_(control) {}
  block_partition(const block_partition&) = delete;
  block_partition& operator=(const block_partition&) = delete;

  /// The border; anything when `control` says stopped.
  It run(worker* w, patience waking) {
    take_part(w, waking);
    if (control_.stopped()) return first_;
    return control_.run([&] { return join_up(); });
  }

 private:
  // A block that a worker is at: where the elements on the wrong side are that have not been swapped yet.
  struct side {
    difference begin = 0;
    std::uint32_t next = 0, count = 0;
    std::array<std::uint16_t, static_cast<std::size_t>(block)> wrong;

    bool done() const noexcept { return next == count; }
  };
  // What remains of it: elements that satisfy, then those that do not.
  struct mixed {
    difference begin, border, end;
  };
  struct stretch {
    difference begin, end;
    bool satisfies;
  };
  static constexpr int most_workers = 128;

  void take_part(worker* w, patience waking) {
    side left, right;
    swap_blocks(w, left, right, waking);
    if (!left.done()) keep(left, /*is_left=*/true);
    if (!right.done()) keep(right, /*is_left=*/false);
  }

  void swap_blocks(worker* w, side& left, side& right, patience waking) {
    while (!control_.stopped()) {
      // relaxed, here and below: who takes which block is all that matters; elements travel through the joins.
      if (w != nullptr && w->forks.wanted() && !w->forks.full() && taken_.load(std::memory_order_relaxed) < blocks_ &&
          waking.worth_it(w) && workers_.fetch_add(1, std::memory_order_relaxed) < most_workers - 1) {
        auto here = [&] { swap_blocks(w, left, right, waking); };
        auto there = [&] { take_part(this_worker, patience::over()); };
        result_box<std::monostate> a, b;
        return fork_two(w, here, there, a, b);
      }
      if (left.done() && !take(left, /*is_left=*/true)) return;
      if (right.done() && !take(right, /*is_left=*/false)) return;
      const It from = first_ + left.begin, to = first_ + right.begin;
      while (left.next != left.count && right.next != right.count) {
        std::ranges::iter_swap(from + left.wrong[left.next], to + right.wrong[right.next]);
        ++left.next;
        ++right.next;
      }
    }
  }

  // The next block of a side, or false: all are taken. A ticket first, so that the sides cannot overlap.
  bool take(side& s, bool is_left) {
    if (taken_.fetch_add(1, std::memory_order_relaxed) >= blocks_) return false;
    if (is_left) {
      s.begin = lefts_.fetch_add(1, std::memory_order_relaxed) * block;
      control_.run([&] { find_wrong<false>(s); });
    } else {
      s.begin = size_ - (rights_.fetch_add(1, std::memory_order_relaxed) + 1) * block;
      control_.run([&] { find_wrong<true>(s); });
    }
    return true;
  }
  template <bool Wrong>
  void find_wrong(side& s) {
    const It from = first_ + s.begin;
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(block); ++i) {
      s.wrong[count] = static_cast<std::uint16_t>(i);
      count += static_cast<std::uint32_t>(static_cast<bool>(pred_(from[static_cast<difference>(i)])) == Wrong);
    }
    s.next = 0;
    s.count = count;
  }

  // The wrong elements go to the inner end of the block.
  void keep(side& s, bool is_left) {
    const It from = first_ + s.begin;
    difference border = is_left ? block : 0;
    if (is_left) {
      while (!s.done()) std::ranges::iter_swap(from + s.wrong[--s.count], from + --border);
    } else {
      while (!s.done()) std::ranges::iter_swap(from + s.wrong[s.next++], from + border++);
    }
    const auto at = static_cast<std::size_t>(kept_.fetch_add(1, std::memory_order_relaxed));
    mixed_[at] = {s.begin, s.begin + border, s.begin + block};
  }

  // All blocks are taken: partitions what lies between the sides, and swaps what is beyond the border in mixed blocks.
  It join_up() {
    auto count = static_cast<std::size_t>(kept_.load(std::memory_order_relaxed));
    const difference left_end = lefts_.load(std::memory_order_relaxed) * block;
    const difference right_begin = size_ - rights_.load(std::memory_order_relaxed) * block;
    const It middle = serial_partition(first_ + left_end, first_ + right_begin, pred_);
    mixed_[count++] = {left_end, middle - first_, right_begin};  // perhaps empty: no other stretch crosses it
    const auto in_order = [](const mixed& a, const mixed& b) {
      return a.begin < b.begin || (a.begin == b.begin && a.end < b.end);
    };
    insertion_sort(mixed_.begin(), mixed_.begin() + static_cast<std::ptrdiff_t>(count), in_order);

    std::array<stretch, 3 * std::tuple_size_v<decltype(mixed_)> + 1> stretches;
    std::size_t n = 0;
    difference at = 0, border = 0;
    const auto add = [&](difference end, bool satisfies) {
      if (end == at) return;  // an empty one would have no counterpart below
      if (satisfies) border += end - at;
      stretches[n++] = {at, end, satisfies};
      at = end;
    };
    for (std::size_t i = 0; i < count; ++i) {
      add(mixed_[i].begin, at < left_end);
      add(mixed_[i].border, true);
      add(mixed_[i].end, false);
    }
    add(size_, false);

    // What is wrong on the left of the border with what is wrong on its right; there is as much of both.
    std::size_t l = 0, r = 0;
    difference from = 0, to = border;
    for (;;) {
      while (l < n && (stretches[l].satisfies || stretches[l].end <= from)) ++l;
      if (l == n) break;
      from = std::max(from, stretches[l].begin);
      if (from >= border) break;
      while (!stretches[r].satisfies || stretches[r].end <= to) ++r;
      to = std::max(to, stretches[r].begin);
      const difference length = std::min(std::min(stretches[l].end, border) - from, stretches[r].end - to);
      std::swap_ranges(first_ + from, first_ + (from + length), first_ + to);
      from += length;
      to += length;
    }
    return first_ + border;
  }

  const It first_;
  const difference size_, blocks_;
  Pred& pred_;
  loop_control& control_;
  std::atomic<difference> taken_{0}, lefts_{0}, rights_{0};
  std::atomic<int> workers_{0}, kept_{0};
  std::array<mixed, most_workers + 1> mixed_;  // one a worker, and what lies in the middle
};

}  // namespace tutti::detail
