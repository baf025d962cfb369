// worker: what one thread of a pool owns: its forked branches, its queued tasks, its sleeping place and its counters.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/core/fork_deque.hpp>
#include <tutti/core/parker.hpp>
#include <tutti/core/task_frame.hpp>
#include <tutti/core/task_ring.hpp>

namespace tutti {

class scheduler;

/// A count that one thread raises and any thread reads: a plain increment, no read-modify-write.
class owned_counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// One thread of a pool, or a thread from outside that works along for the length of a fork_join. Internal: fork_join
/// and the parallel algorithms inline its hot path.
class worker {
 public:
  worker(scheduler& scheduler, std::uint32_t position, bool from_outside)
      : pool(&scheduler), index(position), guest(from_outside) {}
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Called between a fork and its left branch when somebody asked for work: puts the oldest branch on offer.
  void offer_oldest() noexcept;
  /// Puts all private branches on offer, before this thread blocks.
  void offer_all() noexcept;
  /// Joins a branch that was published: true if it was taken back and is to be run by the caller, false once it is
  /// done.
  bool join_published(fork_record& record, std::uint32_t at) noexcept;
  /// Runs a stolen branch in the name of the task that forked it.
  void run_stolen(fork_record& record) noexcept;
  /// Runs a queued task.
  void run_task(call_node& task) noexcept;
  /// Where something begun now would stand.
  root here() noexcept { return {this, forks.bottom(), ring.tail()}; }

  /// Runs one branch or task that descends from `work`, if its worker has one on offer; false: none. `running()` tells
  /// whether `work` still runs; asked after the task was seen.
  template <class Running>
  bool run_descendant(const root& work, Running running) noexcept;

  fork_deque forks;
  task_ring ring;
  scheduler* const pool;
  const std::uint32_t index;
  const bool guest;
  bool born_searching = false;  // counted as searching by whoever started the thread
  unsigned turn = 0;            // owner only
  bool straight_on = false;     // owner only: the call that begins now was there when the last one ended; for recorders
  bool overflowed = false;      // owner only: tasks went to the shared queue, so later ones must too, to stay in order

  // What dump and stats read, written by the owner only.
  // release / acquire: the text that the name points to may have been interned just now.
  alignas(cpu::cache_line) std::atomic<const char*> task_name{nullptr};
  owned_counter submitted, run, stolen, published, parked;
  owned_counter busy_ns;
  std::atomic<std::int64_t> busy_since{0};  // steady clock, 0: idle
  // For stall_watch: changes whenever a stretch of a coroutine begins or ends here; how many have begun and not ended.
  owned_counter coroutine_turns;
  std::atomic<int> coroutines{0};

  void begin_coroutine() noexcept { count_coroutine(1); }
  void end_coroutine() noexcept { count_coroutine(-1); }

  // Owned by the scheduler, under its lock.
  enum class state : std::uint8_t { working, idle, retired, blocked, joining, ended };  // joining: see must_join
  state where = state::working;
  worker* outer = nullptr;  // a guest's: what its thread was before
  worker* below = nullptr;  // in the stack of idle or retired workers
  parker* sleeper = nullptr;

 private:
  void offer_one() noexcept;
  bool run_if_descendant(call_node& taken) noexcept;
  void count_coroutine(int change) noexcept {
    coroutines.store(coroutines.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
    coroutine_turns.add();
  }
  void sleep_until_done(fork_record& record) noexcept;
};

/// The worker this thread is, null outside pools. constinit: reading it is one instruction, no initialisation check.
inline constinit thread_local worker* this_worker = nullptr;

template <class Running>
bool worker::run_descendant(const root& work, Running running) noexcept {
  if (fork_record* branch = work.runner->forks.steal_descendant(work.fork_base, running)) {
    stolen.add();
    run_stolen(*branch);
    return true;
  }
  if (call_node* task = work.runner->ring.take_if(running, work.ring_base)) {
    if (run_if_descendant(*task)) return true;
  }
  work.runner->forks.want();
  return false;
}

}  // namespace tutti
