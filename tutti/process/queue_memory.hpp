// queue_memory: what lies in a process_queue's shared memory, and how it is changed so that anybody may be killed.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/process/queue_lock.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

namespace tutti::detail {

inline constexpr std::uint64_t queue_magic = 0x3175657571747574;  // "tutqueu1"
inline constexpr std::uint32_t most_holders = 512, no_slot = ~std::uint32_t{0};

/// How many elements a process has received and not reported by task_done.
struct queue_holder {
  process_identity who;
  std::uint64_t elements = 0;
};

/// In front of each element.
struct queue_record {
  std::uint64_t size;
  std::uint32_t handles;
  std::uint32_t unused;
  std::uint64_t id;
};

constexpr std::size_t space_for(std::size_t size) noexcept { return sizeof(queue_record) + (size + 7) / 8 * 8; }

/// All that says what is in the queue: see process_queue_core.hpp.
struct queue_state {
  std::uint64_t change = 0;         // its number
  std::uint64_t first = 0;          // bytes ever taken
  std::uint64_t last = 0;           // bytes ever put
  std::uint64_t elements = 0;       // between them
  std::uint64_t held = 0;           // received, and not done: the sum of all holders
  std::uint64_t lost = 0;           // of those, ever, by dead holders
  std::uint64_t lost_silent = 0;    // of those, what no join has told yet
  std::uint64_t taken_by_dead = 0;  // taken by who died before it had left the queue, and not told yet
  std::uint64_t next_id = 1;
  std::uint64_t largest = 0;  // space that one who waits for room may want
  std::uint32_t closed = 0;
  std::uint32_t took = 0;        // this change takes an element
  std::uint32_t slot = no_slot;  // this change sets this holder, too: done right after it, again by who repairs
  queue_holder set;
};

struct queue_memory {
  std::uint64_t magic = queue_magic;
  std::uint64_t capacity = 0;
  std::uint64_t arena = 0;
  alignas(cpu::cache_line) queue_lock lock;
  std::atomic<std::uint32_t> current{0};  // which state counts
  std::uint64_t changing = 0;             // the number of the last change of who has the lock; 0: none yet
  queue_state states[2];
  alignas(cpu::cache_line) std::atomic<std::uint64_t> changes{0};  // for those who spin; a hint
  alignas(cpu::cache_line) queue_gate elements;
  alignas(cpu::cache_line) queue_gate room;
  alignas(cpu::cache_line) queue_gate done;
  queue_holder holders[most_holders];
};

inline constexpr std::size_t arena_start = (sizeof(queue_memory) + 4095) / 4096 * 4096;

/// The time inside the lock.
class queue_visit {
 public:
  queue_visit(queue_memory& memory, std::size_t capacity, std::size_t arena) : memory_(memory) {
    const bool owner_died = memory_.lock.lock();
    try {
      check(capacity, arena);
      if (owner_died) repair();
      renew();
    } catch (...) {
      memory_.lock.unlock();
      throw;
    }
  }
  ~queue_visit() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.changing = 0;
    memory_.lock.unlock();
    if (wakes_one_ != nullptr) wakes_one_->wake_one();
    for (queue_gate* gate : wakes_all_) {
      if (gate != nullptr) gate->wake_all();
    }
  }
  queue_visit(const queue_visit&) = delete;
  queue_visit& operator=(const queue_visit&) = delete;

  /// Makes `next` what counts, and prepares another.
  void commit() noexcept {
    const std::uint32_t other = 1 - (memory_.current.load(std::memory_order_relaxed) & 1);
    ++next.change;
    memory_.states[other] = next;
    memory_.changing = next.change;
    // A killed process has done all its instructions up to one, and none after it: their order is the compiler's.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.current.store(other, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (next.slot != no_slot) memory_.holders[next.slot] = next.set;
    memory_.changes.store(next.change, std::memory_order_relaxed);
    renew();
  }
  void call_one(queue_gate& gate) noexcept {
    if (gate.call_one()) wakes_one_ = &gate;
  }
  void call_all(queue_gate& gate) noexcept {
    if (!gate.call_all()) return;
    *std::find(std::begin(wakes_all_), std::end(wakes_all_) - 1, nullptr) = &gate;
  }
  /// Tells, once, what a dead process took with it.
  void report() {
    if (next.taken_by_dead == 0) [[likely]]
      return;
    const auto lost = std::exchange(next.taken_by_dead, 0);
    commit();
    throw owner_lost("process_queue: a process died as it was receiving: " + std::to_string(lost) +
                     (lost == 1 ? " element is" : " elements are") +
                     " lost; the queue is in order, and what failed with this can be tried again");
  }
  /// Sets what the process in `slot` has in hand, as part of the change.
  void set_holder(std::uint32_t slot, const queue_holder& to) noexcept {
    next.slot = slot;
    next.set = to;
  }

  queue_state next;

 private:
  void renew() noexcept {
    next = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    next.slot = no_slot;
    next.took = 0;
  }
  void check(std::size_t capacity, std::size_t arena) const {
    const queue_state& now = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    if (now.elements <= capacity && now.last - now.first <= arena && now.first % 8 == 0 &&
        now.elements * sizeof(queue_record) <= now.last - now.first && (now.slot == no_slot || now.slot < most_holders))
      return;
    throw decode_error("process_queue: a process has written nonsense into the shared memory");
  }
  void repair() noexcept {
    const queue_state& now = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    const bool made = memory_.changing != 0 && memory_.changing == now.change;
    if (made && now.slot != no_slot) memory_.holders[now.slot] = now.set;
    const bool took = made && now.took != 0;
    renew();
    if (took) ++next.taken_by_dead;
    ++next.next_id;  // descriptors may have been handed in under the old one
    commit();
    // It may have been about to wake somebody.
    call_all(memory_.elements);
    call_all(memory_.room);
    call_all(memory_.done);
  }

  queue_memory& memory_;
  queue_gate* wakes_one_ = nullptr;
  queue_gate* wakes_all_[6] = {};
};

}  // namespace tutti::detail
