// merge_sort: the stable sort: a merge sort between the range and a buffer of the same size.
//
// The range is halved down to a few elements; the halves are sorted, the two of them at once if somebody wants work,
// and merged from the range to the buffer or back, in turn from level to level. Large merges are shared, too.
//
// No element is lost: each function below leaves all it was given where it was told to, sorted or, after an exception
// or a stop request, not. Elements move without exceptions; those that cannot are sorted by position.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/parallel/loop.hpp>
#include <tutti/parallel/merge.hpp>
#include <tutti/parallel/small_sort.hpp>
#include <tutti/parallel/sort_sharing.hpp>

#include <memory>
#include <numeric>
#include <vector>

namespace tutti::detail {

template <class It, class Less>
class merge_sorter {
 public:
  using difference = std::iter_difference_t<It>;
  using value = std::iter_value_t<It>;

  merge_sorter(It first, It last, Less less, loop_control& control)
      : first_(first), size_(last - first), less_(less), control_(control) {}
  merge_sorter(const merge_sorter&) = delete;
  merge_sorter& operator=(const merge_sorter&) = delete;

  /// Throws std::bad_alloc before anything has moved.
  void run(worker* w) {
    std::allocator<value> memory;
    const auto n = static_cast<std::size_t>(size_);
    struct storage {
      ~storage() {
        std::destroy_n(begin, n);  // sort() fills it, however it ends
        memory.deallocate(begin, n);
      }
      std::allocator<value>& memory;
      value* begin;
      std::size_t n;
    } buffer{memory, memory.allocate(n), n};
    buffer_ = buffer.begin;
    sort(w, 0, size_, /*to_buffer=*/false);
  }

 private:
  static constexpr bool cheap = cheap_to_copy<value>;
  static constexpr difference leaf = cheap ? most_for_small_sort : 20;
  static constexpr difference least_merge_to_share = 4096;  // cutting it costs a dozen comparisons
  static constexpr difference least_merge_to_wake_for = 32'768;
  static constexpr difference merge_stretch_size = 2048;

  // Sorts `n` elements of the range from `at` on, into the buffer or in the range. Constructs the buffer's, too.
  void sort(worker* w, difference at, difference n, bool to_buffer) {
    if (n <= leaf) return control_.run([&] { sort_leaf(at, n, to_buffer); });
    if (control_.stopped()) return place(at, n, to_buffer);
    const difference half = n / 2;
    bool began_left = false, began_right = false;
    auto left = [&] {
      began_left = true;
      sort(worker_in_place_of(w), at, half, !to_buffer);
    };
    auto right = [&] {
      began_right = true;
      sort(worker_in_place_of(w), at + half, n - half, !to_buffer);
    };
    try {
      if (n <= 2 * sort_sharing::least_to_fork) {
        left();
        right();
      } else {
        result_box<std::monostate> a, b;
        fork_two(w, left, right, a, b, [&] { return sharing_.worth_offering(w, n - half); });
      }
    } catch (...) {
      if (!began_left) place(at, half, !to_buffer);
      if (!began_right) place(at + half, n - half, !to_buffer);
      move_over(at, n, to_buffer);
      throw;
    }
    if (to_buffer) {
      join(w, first_ + at, half, n, buffer_ + at);
    } else {
      join(w, buffer_ + at, half, n, first_ + at);
    }
  }
  template <class From, class To>
  void join(worker* w, From from, difference half, difference n, To to) {
    merge_work<From, To> work{from, from + half, from + half, from + n, to};
    bool ordered = false;
    try {
      ordered = !less_(*(from + half), *(from + (half - 1)));
    } catch (...) {
      control_.fail();
      work.give_up();
      throw;
    }
    if (ordered) return work.give_up();
    merge(w, work);
  }

  template <class From, class To>
  void merge(worker* w, merge_work<From, To> work) {
    try {
      while (!work.one_sided() && !control_.stopped()) {
        if (w != nullptr && w->forks.wanted() && !w->forks.full() && worth_cutting(w, work.left())) {
          return merge_both(w, work);
        }
        merge_stretch(work, merge_stretch_size, less_);
      }
    } catch (...) {
      control_.fail();
      work.give_up();
      throw;
    }
    work.give_up();
  }
  static bool worth_cutting(const worker* w, difference n) {
    return n >= least_merge_to_wake_for || (n >= least_merge_to_share && w->pool->anyone_searching());
  }
  // Leaves nothing in `work`.
  template <class From, class To>
  void merge_both(worker* w, merge_work<From, To>& work) {
    auto parts = cut(work, less_);
    work.a = work.a_end;
    work.b = work.b_end;
    bool began = false;
    auto here = [&] { merge(w, parts[0]); };
    auto there = [&] {
      began = true;
      merge(this_worker, parts[1]);
    };
    try {
      result_box<std::monostate> a, b;
      fork_two(w, here, there, a, b);
    } catch (...) {
      if (!began) parts[1].give_up();
      throw;
    }
  }

  void sort_leaf(difference at, difference n, bool to_buffer) {
    const It from = first_ + at;
    if constexpr (cheap) {
      try {
        if (find_disorder(from, from + n, less_) == from + n) return place(at, n, to_buffer);
        if (!to_buffer) return small_sort(from, n, from, less_);
        small_sort(from, n, buffer_ + at, less_);
      } catch (...) {
        place(at, n, to_buffer);
        throw;
      }
    } else {
      try {
        insertion_sort(from, from + n, less_);
      } catch (...) {
        place(at, n, to_buffer);
        throw;
      }
      place(at, n, to_buffer);
    }
  }
  // Where they are to be, unsorted; constructs the buffer's.
  void place(difference at, difference n, bool to_buffer) {
    if (cheap && !to_buffer) return;
    std::uninitialized_move_n(first_ + at, n, buffer_ + at);
    if (!to_buffer) move_over(at, n, to_buffer);
  }
  void move_over(difference at, difference n, bool to_buffer) {
    if (to_buffer) {
      std::move(first_ + at, first_ + (at + n), buffer_ + at);
    } else {
      std::move(buffer_ + at, buffer_ + (at + n), first_ + at);
    }
  }

  const It first_;
  const difference size_;
  const Less less_;
  loop_control& control_;
  const sort_sharing sharing_;
  value* buffer_ = nullptr;
};

/// Sorts positions, and then moves each element once, along the cycles of the permutation. Slower, but nothing moves
/// before all comparisons are made.
template <class It, class Less>
void sort_by_position(worker* w, It first, It last, Less less, loop_control& control) {
  using difference = std::iter_difference_t<It>;
  std::vector<difference> from(static_cast<std::size_t>(last - first));  // what comes to a position
  std::iota(from.begin(), from.end(), difference{0});
  const auto by_element = [&](difference a, difference b) { return less(first[a], first[b]); };
  merge_sorter<difference*, decltype(by_element)>(from.data(), from.data() + from.size(), by_element, control).run(w);
  if (control.stopped()) return;
  for (difference begin = 0; begin < last - first; ++begin) {
    difference hole = begin;
    const auto next = [&] { return std::exchange(from[static_cast<std::size_t>(hole)], hole); };
    difference source = next();
    if (source == begin) continue;
    std::iter_value_t<It> lifted = std::move(first[begin]);
    try {
      for (; source != begin; source = next()) {
        first[hole] = std::move(first[source]);
        hole = source;
      }
    } catch (...) {
      put_back(first + hole, lifted);
      throw;
    }
    first[hole] = std::move(lifted);
  }
}

}  // namespace tutti::detail
