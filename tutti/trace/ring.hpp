// ring: the last events of one thread, in memory of fixed size.
//
// One thread writes, others copy at any time, also while it writes; neither waits. It overwrites the oldest: what is
// looked for is most often what came last, before the program was slow or ended, and a program that records all the
// time can write down the last seconds when something went wrong.
//
// A copy is never torn (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012, with the
// count of events as the sequence number). The writer stores an event's words with release, then the count, also with
// release; the copier loads the count, the words with acquire, and the count once more. Event i + capacity is written
// over event i only after the count was i + capacity. So if the copier saw any word of it, the second count is at least
// i + capacity, and the copier drops event i. Acquire loads of the words keep the second load of the count behind them.
// On x86-64 all of these are plain moves.
#pragma once
#include <tutti/base/trace.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tutti::detail {

/// One trace point as it was passed.
struct trace_event {
  static constexpr unsigned tick_bits = 56;  ///< of `ticks`, the lower ones, are kept: years
  std::uint64_t ticks = 0;
  trace_kind kind{};
  std::uint64_t a = 0, b = 0;
};

class trace_ring {
 public:
  /// `bytes` is rounded down so that the number of events is a power of two, two at least. Takes no memory before
  /// events do. Throws std::bad_alloc.
  explicit trace_ring(std::size_t bytes);
  ~trace_ring();
  trace_ring(const trace_ring&) = delete;
  trace_ring& operator=(const trace_ring&) = delete;

  /// By the thread it belongs to.
  void push(std::uint64_t ticks, trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept {
    const std::uint64_t n = count_.load(std::memory_order_relaxed);
    if (n >= populated_until_.load(std::memory_order_relaxed)) [[unlikely]]
      take_pages(n);
    slot& at = slots_[n & mask_];
    at.ticks_and_kind.store(ticks << 8U | static_cast<std::uint64_t>(kind), std::memory_order_release);
    at.a.store(a, std::memory_order_release);
    at.b.store(b, std::memory_order_release);
    count_.store(n + 1, std::memory_order_release);
  }
  /// How many there ever were.
  std::uint64_t count() const noexcept { return count_.load(std::memory_order_acquire); }
  /// Of those from number `first` on, the ones that are still there, oldest first. Any thread.
  std::vector<trace_event> copy(std::uint64_t first) const;
  std::size_t capacity() const noexcept { return mask_ + 1; }
  /// Gives the memory back; what is there becomes meaningless, and it can be used as before. Any thread.
  void forget() noexcept;

 private:
  struct slot {
    std::atomic<std::uint64_t> ticks_and_kind, a, b;
  };
  // Memory is taken from the kernel so many events at a time: page by page it costs as much as writing them. A whole
  // number of pages.
  static constexpr std::size_t ahead = 2048;
  [[gnu::noinline, gnu::cold]] void take_pages(std::uint64_t n) noexcept;
  static std::size_t capacity_for(std::size_t bytes) noexcept;

  const std::size_t mask_;
  slot* const slots_;
  alignas(64) std::atomic<std::uint64_t> count_{0};
  // The event that needs the next pages; none when all are there. relaxed: pages that are taken too late, or again,
  // cost time and nothing else.
  std::atomic<std::uint64_t> populated_until_{0};
  std::uint64_t populated_once_at_ = 0;  // writer only: the event at which all have been taken
};

}  // namespace tutti::detail
