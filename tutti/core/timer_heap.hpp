// timer_heap: the timers that are set, earliest first, each of which knows its place and so can be taken out.
//
// A 4-ary heap (Johnson, 1975) of (time, entry) pairs. Adding one takes O(1) on average, taking one out O(log n) at
// most and about two moves on average, as three quarters of the places are leaves. decisions/0007 has what else was
// measured.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tutti::detail {

/// What the heap keeps inside a timer. Guarded by the heap's lock, but that whoever asks whether a timer is set may
/// look at `index` without: relaxed, since a setting that happened before is then seen (coherence), and of one that
/// happens meanwhile both answers are right. That is why moving one does not mark it as idle in between.
struct timer_place {
  static constexpr std::uint32_t fresh = ~std::uint32_t{0}, idle = fresh - 1;  // never set; not set now
  [[nodiscard]] bool linked() const noexcept { return index.load(std::memory_order_relaxed) < idle; }

  std::uint64_t turn = 0;  // counts settings: the order among timers of one moment
  std::atomic<std::uint32_t> index{fresh};
};

/// Not thread-safe. What is still in it when it is destroyed stays marked as linked.
class timer_heap {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  timer_heap() = default;
  ~timer_heap();
  timer_heap(const timer_heap&) = delete;
  timer_heap& operator=(const timer_heap&) = delete;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The earliest, and when it is due; of those due at one moment that of the smallest turn. Not empty.
  [[nodiscard]] timer_place& first() const noexcept { return *slots_[0].entry; }
  [[nodiscard]] time_point first_time() const noexcept { return slots_[0].when; }

  /// Makes room for `count` entries. Throws std::bad_alloc.
  void reserve(std::size_t count) {
    if (count > capacity_) grow(count);
  }
  /// Adds `entry`, for which there is room.
  void add(timer_place& entry, time_point when) noexcept { sift_up(size_++, {when, &entry}); }
  /// Gives an entry that is linked another time, and perhaps another turn, which has been written already. It never
  /// looks as if it were not linked.
  void move(timer_place& entry, time_point when) noexcept {
    place(entry.index.load(std::memory_order_relaxed), {when, &entry});
  }
  /// Takes out an entry that is linked.
  void remove(timer_place& entry) noexcept;

 private:
  struct slot {
    time_point when;
    timer_place* entry;
  };
  static constexpr std::size_t arity = 4;
  static bool before(const slot& a, const slot& b) noexcept {
    return a.when != b.when ? a.when < b.when : a.entry->turn < b.entry->turn;
  }
  void put(std::size_t index, const slot& what) noexcept {
    slots_[index] = what;
    what.entry->index.store(static_cast<std::uint32_t>(index), std::memory_order_relaxed);
  }
  void place(std::size_t index, slot what) noexcept;
  void sift_up(std::size_t index, slot what) noexcept;
  void sift_down(std::size_t index, slot what) noexcept;
  void grow(std::size_t count);

  slot* slots_ = nullptr;  // children of i: 4i+1 to 4i+4, which share a cache line
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace tutti::detail
