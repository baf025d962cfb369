// task_ring: a worker's own queue of tasks, first in first out: one thread puts, any thread takes.
//
// Tasks start in the order they were handed over, so the owner takes from the old end, as thieves do, and a bounded
// ring with one CAS per take is enough: no fence between the owner's ends, no resizing. A full ring sends the task to
// the pool's shared queue.
//
// Invariant: slots [head_, tail_) hold tasks; only the owner moves tail_, only a CAS moves head_. A slot is overwritten
// only after head_ passed it, and a taker uses what it read only if its CAS proves that head_ had not moved, or is back
// where it was: the owner may hide it for a moment (take_own_if), and overwrites nothing meanwhile.
#pragma once
#include <tutti/core/cpu.hpp>

#include <array>

namespace tutti {

class call_node;

class task_ring {
 public:
  static constexpr std::uint64_t capacity = 256;

  /// Owner only. False when full. seq_cst: one half of the handshake with a worker about to park.
  bool push(call_node* node) noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    // acquire: takers are done with the slot before it is overwritten.
    if (tail - head_.load(std::memory_order_acquire) == capacity) return false;
    slot(tail).store(node, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_seq_cst);
    return true;
  }
  /// Owner only. Puts `count` tasks, for which there must be room, at once.
  void push_many(call_node* const* nodes, std::size_t count) noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) slot(tail + i).store(nodes[i], std::memory_order_relaxed);
    tail_.store(tail + count, std::memory_order_seq_cst);
  }
  /// Owner only. How many tasks a push_many may put.
  std::size_t room() const noexcept {
    // acquire: as in push.
    return capacity -
           static_cast<std::size_t>(tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire));
  }
  /// Owner only. The position the next push gets; positions only grow.
  std::uint64_t tail() const noexcept { return tail_.load(std::memory_order_relaxed); }

  /// Owner only. Where the owner takes from: in a hot loop there is no point in a CAS on an empty ring.
  bool maybe_empty() const noexcept {
    return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_relaxed);
  }
  /// True if there was a task at a moment during the call.
  bool has_task() const noexcept {
    return head_.load(std::memory_order_seq_cst) < tail_.load(std::memory_order_seq_cst);
  }
  std::size_t size() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed), tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? static_cast<std::size_t>(tail - head) : 0;
  }

  /// Takes the oldest task, or null. Any thread.
  call_node* take() noexcept {
    return take_if([] { return true; }, 0);
  }

  /// Takes the oldest task if its position is at least `base` and `still()` holds after it was seen. Positions never
  /// repeat, so a task at or above `base` seen while a root still runs was pushed by that root.
  template <class Still>
  call_node* take_if(Still still, std::uint64_t base) noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      // acquire: pairs with push, so that the slot and the task are visible.
      if (head < base || head >= tail_.load(std::memory_order_acquire) || !still()) return nullptr;
      call_node* node = slot(head).load(std::memory_order_relaxed);
      // release: the owner's acquire of head_ orders its overwrite after our read.
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        return node;
    }
  }

  /// Owner only. Takes the oldest task if `which` accepts it, else leaves it where it is; null. Others find the ring
  /// empty meanwhile: if it is not afterwards, somebody may have to be told.
  template <class Which>
  call_node* take_own_if(Which which) noexcept {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    do {
      if (head >= tail_.load(std::memory_order_relaxed)) return nullptr;
      // acquire: keeps what takers have released, see push.
    } while (!head_.compare_exchange_weak(head, hidden, std::memory_order_acq_rel, std::memory_order_acquire));
    call_node* const node = slot(head).load(std::memory_order_relaxed);  // nobody takes it from under us
    const bool taken = which(*node);
    head_.store(taken ? head + 1 : head, std::memory_order_seq_cst);
    return taken ? node : nullptr;
  }

  /// Moves half of the tasks (at most `limit`) into `out`; returns how many. Any thread.
  std::size_t take_half(call_node** out, std::size_t limit) noexcept {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const std::uint64_t tail = tail_.load(std::memory_order_acquire);
      if (head >= tail) return 0;
      std::uint64_t n = (tail - head + 1) / 2;
      if (n > limit) n = limit;
      for (std::uint64_t i = 0; i < n; ++i) out[i] = slot(head + i).load(std::memory_order_relaxed);
      if (head_.compare_exchange_weak(head, head + n, std::memory_order_acq_rel, std::memory_order_acquire))
        return static_cast<std::size_t>(n);
    }
  }

 private:
  static constexpr std::uint64_t hidden = ~std::uint64_t{0};  // as head_: behind every tail
  std::atomic<call_node*>& slot(std::uint64_t at) noexcept { return slots_[at % capacity]; }

  alignas(cpu::cache_line) std::atomic<std::uint64_t> head_{0};
  alignas(cpu::cache_line) std::atomic<std::uint64_t> tail_{0};
  std::array<std::atomic<call_node*>, capacity> slots_{};
};

}  // namespace tutti
