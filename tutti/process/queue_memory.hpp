// queue_memory: what lies in a process_queue's shared memory, and how it is changed so that anybody may be killed.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/robust_mutex.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

namespace tutti::detail {

inline constexpr std::uint64_t queue_magic = 0x3175657571747574;  // "tutqueu1"
inline constexpr std::uint32_t most_holders = 512, no_slot = ~std::uint32_t{0};

/// Where processes sleep until something has happened. Both numbers change under the lock only; it is slept outside.
struct queue_gate {
  std::atomic<std::uint32_t> turn{0};  // goes on whenever a sleeper is to look again
  std::uint32_t sleepers = 0;          // at least as many as will sleep or do: who is killed there stays in it

  /// Under the lock, by who is going to sleep: what to hand to sleep.
  std::uint32_t enter() noexcept {
    ++sleepers;
    return turn.load(std::memory_order_relaxed);
  }
  /// Under the lock: whether somebody is to be woken, by `wake_one` after it.
  [[nodiscard]] bool call_one() noexcept {
    if (sleepers == 0) return false;
    --sleepers;
    turn.fetch_add(1, std::memory_order_release);
    return true;
  }
  /// The same for all of them, whom `wake_all` wakes.
  void call_all() noexcept {
    sleepers = 0;
    turn.fetch_add(1, std::memory_order_release);
  }
  void wake_one() const noexcept { process_futex_wake(turn, 1); }
  void wake_all() const noexcept { process_futex_wake(turn, std::numeric_limits<int>::max()); }
  /// Sleeps until the turn is no longer `seen`, at most until `deadline`, and no longer than slow_look. May return
  /// early.
  void sleep(std::uint32_t seen, std::chrono::steady_clock::time_point deadline) const noexcept {
    process_futex_wait(turn, seen, std::min(deadline, std::chrono::steady_clock::now() + slow_look));
  }
};

/// How many elements a process has received and not reported by task_done.
struct queue_holder {
  process_key who = 0;
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
  alignas(cpu::cache_line) robust_mutex lock;
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
  queue_visit(queue_memory& memory, std::size_t capacity, std::size_t arena)
      : memory_(memory), lock_(memory.lock, "process_queue") {
    renew();
    check(capacity, arena);
    if (lock_.from_dead()) repair();
  }
  ~queue_visit() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.changing = 0;
  }
  queue_visit(const queue_visit&) = delete;
  queue_visit& operator=(const queue_visit&) = delete;

  /// Makes `next` what counts, and prepares another.
  void commit() noexcept {
    memory_.changing = next.change + 1;
    make();
  }
  void call_one(queue_gate& gate) noexcept {
    if (gate.call_one()) calls_.one = &gate;
  }
  void call_all(queue_gate& gate) noexcept {
    gate.call_all();
    *std::find(std::begin(calls_.all), std::end(calls_.all) - 1, nullptr) = &gate;
  }
  /// Tells, once, what a dead process took with it.
  void report() {
    if (next.taken_by_dead == 0) [[likely]]
      return;
    const auto lost = std::exchange(next.taken_by_dead, 0);
    // Made first: what cannot be told must not count as told.
    const owner_lost told("process_queue: a process died as it was receiving: " + std::to_string(lost) +
                          (lost == 1 ? " element is" : " elements are") +
                          " lost; the queue is in order, and what failed with this can be tried again");
    commit();
    throw told;
  }
  /// Sets what the process in `slot` has in hand, as part of the change.
  void set_holder(std::uint32_t slot, const queue_holder& to) noexcept {
    next.slot = slot;
    next.set = to;
  }

  queue_state next;

 private:
  // The state that counts, copied before anything in it is believed: who writes there without the lock is mad.
  void renew() noexcept {
    next = memory_.states[memory_.current.load(std::memory_order_relaxed) & 1];
    std::atomic_signal_fence(std::memory_order_seq_cst);
    last_ = {next.slot, next.set, next.took != 0};
    next.slot = no_slot;
    next.took = 0;
  }
  void make() noexcept {
    const std::uint32_t other = 1 - (memory_.current.load(std::memory_order_relaxed) & 1);
    ++next.change;
    memory_.states[other] = next;
    // A killed process has done all its instructions up to one, and none after it: their order is the compiler's.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    memory_.current.store(other, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (next.slot != no_slot) memory_.holders[next.slot] = next.set;
    memory_.changes.store(next.change, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // all of it before another change begins
    renew();
  }
  void check(std::size_t capacity, std::size_t arena) const {
    if (next.elements <= capacity && next.last - next.first <= arena && next.first % 8 == 0 &&
        next.elements * sizeof(queue_record) <= next.last - next.first &&
        (last_.slot == no_slot || last_.slot < most_holders))
      return;
    throw decode_error("process_queue: a process has written nonsense into the shared memory");
  }
  void repair() noexcept {
    const bool made = memory_.changing != 0 && memory_.changing == next.change;
    if (made && last_.slot != no_slot) memory_.holders[last_.slot] = last_.set;
    if (made && last_.took) ++next.taken_by_dead;
    ++next.next_id;  // descriptors may have been handed in under the old one
    // `changing` stays what the dead have left: killed before it counts, this is done again by the next.
    make();
    // It may have been about to wake somebody.
    call_all(memory_.elements);
    call_all(memory_.room);
    call_all(memory_.done);
  }

  // Who is to be woken, when the lock is free again: before it in the class, so that it ends after it.
  struct calls {
    calls() = default;
    calls(const calls&) = delete;
    calls& operator=(const calls&) = delete;
    ~calls() {
      if (one != nullptr) one->wake_one();
      for (const queue_gate* gate : all) {
        if (gate != nullptr) gate->wake_all();
      }
    }
    const queue_gate* one = nullptr;
    const queue_gate* all[6] = {};
  };

  // What the last change was besides its state: who repairs does it again.
  struct change {
    std::uint32_t slot = no_slot;
    queue_holder set;
    bool took = false;
  };

  queue_memory& memory_;
  change last_;
  calls calls_;
  const robust_guard lock_;
};

}  // namespace tutti::detail
