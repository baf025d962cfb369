// scheduler: the engine of a thread_pool: who runs, who sleeps, who is woken, and how it ends.
//
// Where work is: each worker's branches on offer and task ring, and one shared queue for what comes from outside, has a
// priority, or did not fit. An idle worker looks at all of them, spins briefly, then parks.
//
// No work is overlooked. `hungry_` counts workers asleep for want of work plus threads missing to `target()`;
// `searching_` counts workers looking around. Who adds work makes it visible first and then reads both (seq_cst); a
// worker that goes to sleep raises hungry_ and lowers searching_ first and then looks once more (seq_cst). So either
// the adder sees somebody hungry and nobody searching, and wakes one, or the last searcher sees the work. A searcher
// that finds work and was the last one wakes the next: one wake-up at a time, yet never a sleeper beside waiting work.
//
// Blocking. `runnable_` counts threads that work, search or sleep idle. A worker that blocks leaves the count; when it
// falls below target() and there is work, a retired thread is woken or a spare is started. Back from blocking there is
// one too many, and the next worker that is between tasks retires. Should the system refuse a spare, there is a pause
// before the next attempt; who finds one missing meanwhile, beside work, sees to it that the one timer is set which
// makes that attempt.
#pragma once
#include <tutti/base/at_fork.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/inbox.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/worker.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace tutti {

enum class shutdown_mode : std::uint8_t { finish, cancel };

/// A pool's counters since its start. Always on; the cost is a plain add per event.
struct pool_stats {
  std::uint64_t submitted = 0;      ///< calls handed to the pool
  std::uint64_t run = 0;            ///< calls taken from a queue
  std::uint64_t stolen = 0;         ///< branches and tasks taken from another worker
  std::uint64_t published = 0;      ///< branches put on offer
  std::uint64_t parked = 0;         ///< times a worker went to sleep for want of work
  std::uint64_t spare_threads = 0;  ///< threads beyond concurrency() started because others blocked
  std::uint64_t queue_depth = 0;    ///< calls waiting to be started now
  std::chrono::nanoseconds busy{};  ///< time spent working, summed over workers
};

class scheduler final : public call_target {
 public:
  static constexpr int max_spares = 256, max_guests = 256, max_concurrency = 4096;
  static constexpr std::chrono::nanoseconds respawn_pause = std::chrono::milliseconds(100);

  scheduler(int concurrency, std::string name, std::uint64_t executor_id);
  ~scheduler();

  void start(call work) override;
  hold_result hold(bool from_outside) noexcept override {
    if (from_outside) return hold_from_outside();
    // relaxed: the caller runs here, so that the count is read again after it has gone to sleep, under the lock.
    held_.fetch_add(1, std::memory_order_relaxed);
    return hold_result::held;
  }
  void let_go() noexcept override;
  void resume(call work) noexcept override;
  /// By a worker: puts a call that it has taken into the shared queue.
  void hand_on(call work) noexcept { enqueue(nullptr, work, /*even_if_closed=*/true); }
  void shutdown(shutdown_mode mode);

  int concurrency() const noexcept { return concurrency_; }
  const std::string& name() const noexcept { return name_; }
  std::uint64_t executor_id() const noexcept { return executor_id_; }
  pool_stats stats() const;
  /// Whether all its workers sleep, apart from one whose thread is `looker`'s, with nothing to do and nobody woken.
  struct rest {
    bool quiet;
    bool joining;          // some wait for threads to end: whether they still do cannot be told
    std::uint64_t events;  // changes whenever work is handed in or a wait begins or ends
  };
  rest resting(const parker& looker) const noexcept;
  /// True on this pool's workers, also while they are guests of another pool.
  bool works_here() const noexcept;
  /// True in a forked child: its threads are the parent's.
  bool left_behind() const noexcept { return born_in_ != forks_before_this_process(); }
  bool cancelling() const noexcept { return cancelling_.load(std::memory_order_seq_cst); }
  bool stopping() const noexcept override { return cancelling() || exiting_.load(std::memory_order_seq_cst); }
  /// The program ends: coroutines that wait here, now or later, are to stop; what is queued is still run.
  void stop_waits() noexcept;
  std::stop_token stop_token() const { return stop_.get_token(); }
  template <class F>
  void for_each_worker(F&& f) const {
    const std::uint32_t n = worker_count_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < n; ++i) f(*workers_[i].load(std::memory_order_acquire));
  }

  // ---- for workers
  /// New work is visible: wakes somebody if somebody sleeps and nobody is looking.
  void notify() noexcept {
    if (hungry_.load(std::memory_order_seq_cst) > 0 && searching_.load(std::memory_order_seq_cst) == 0) wake_one();
  }
  bool anyone_hungry() const noexcept { return hungry_.load(std::memory_order_relaxed) > 0; }
  bool anyone_searching() const noexcept { return searching_.load(std::memory_order_relaxed) > 0; }

  /// The calling worker is about to sleep in a wait. False, and nothing to end, when no thread can take its place.
  [[nodiscard]] bool begin_block(worker& self) noexcept { return block(self, /*may_refuse=*/true); }
  /// The same for a wait that cannot be abandoned: if nobody is there to take its place, the pool tries again later.
  void must_block(worker& self) noexcept { static_cast<void>(block(self, /*may_refuse=*/false)); }
  /// The same for a wait for threads, which its parker does not show.
  void must_join(worker& self) noexcept {
    static_cast<void>(block(self, /*may_refuse=*/false, worker::state::joining));
  }
  void end_block(worker& self) noexcept;

  /// Makes the calling thread a worker until `leave`; null when there is no room (then the caller works alone).
  worker* enter(worker* outer);
  void leave(worker& guest) noexcept;

 private:
  struct found {
    fork_record* branch = nullptr;
    call_node* task = nullptr;
    explicit operator bool() const noexcept { return branch != nullptr || task != nullptr; }
  };

  static std::int64_t clock_ns() noexcept { return std::chrono::steady_clock::now().time_since_epoch().count(); }
  std::exception_ptr cancelled_by_shutdown() const;
  [[noreturn]] void refuse(call work) const;
  hold_result hold_from_outside() noexcept;
  bool enqueue(worker* self, call& work, bool even_if_closed);
  void thread_main(worker& self);
  found find(worker& self);
  call_node* take_shared(worker& self, std::int64_t at_least);
  void take_some_shared(worker& self);
  std::size_t take_batch(worker& self, std::size_t count) noexcept;
  bool prune(worker& self);
  void drop_over(worker& self) noexcept;
  void join_all();
  void free_workers() noexcept;
  found steal(worker& self, std::size_t most);
  bool sleep(worker& self, bool& searching);
  bool block(worker& self, bool may_refuse, worker::state how = worker::state::blocked) noexcept;
  bool has_work() const noexcept;
  void ask_everyone(worker& self) noexcept;
  void wake_one() noexcept;

  struct wake_up {  // chosen under the lock, carried out after
    worker* sleeper = nullptr;
    bool spawn = false;
    bool retry = false;  // nobody yet: set the timer
    explicit operator bool() const noexcept { return sleeper != nullptr || spawn; }
  };
  void act(wake_up wake, bool elsewhere = false) noexcept;
  void retry_later() noexcept;
  void retry() noexcept;
  std::error_code spawn(bool searching = false) noexcept;

  // Under lock_:
  int target() const noexcept { return std::max(concurrency_, guests_ + 1); }
  void count_hungry() noexcept;
  wake_up pick() noexcept;
  void push_shared(call_node* node);
  void share_ring(worker& from) noexcept;
  void share(call_queue& calls, std::size_t count, const worker& from) noexcept;
  void note_best() noexcept;
  void empty_inbox(bool close = false) const noexcept;
  void drop_queued(call_queue& out) noexcept;
  bool finished() const noexcept;
  worker& add_worker(bool guest);
  void end_all() noexcept;
  static bool unlink(worker*& stack, worker& member) noexcept;

  const int concurrency_;
  const std::string name_;
  const std::uint64_t executor_id_;
  const int max_searching_;
  const bool a_core_each_;  // else a waker's core is as good a place for a sleeper as any
  const std::uint32_t born_in_ = forks_before_this_process();

  alignas(cpu::cache_line) std::atomic<int> hungry_{0};
  alignas(cpu::cache_line) std::atomic<int> searching_{0};
  std::atomic<bool> cancelling_{false}, exiting_{false};

  alignas(cpu::cache_line) mutable inbox inbox_;  // priority 0, from outside or a full ring; emptied under lock_
  alignas(cpu::cache_line) mutable small_mutex lock_;
  mutable call_queue normal_;                            // priority 0
  std::map<int, call_queue, std::greater<>> others_;     // the rest
  mutable std::atomic<std::size_t> queued_{0};           // in both; changed under lock_
  mutable std::atomic<std::int64_t> best_{no_priority};  // highest priority queued; changed under lock_
  static constexpr std::int64_t no_priority = std::numeric_limits<std::int64_t>::min();
  mutable std::size_t normal_size_ = 0;
  mutable std::uint64_t submitted_shared_ = 0;
  std::uint64_t blocks_ = 0;  // begun, and ended, so far
  worker* idle_ = nullptr;
  worker* retired_ = nullptr;
  int idle_count_ = 0, runnable_ = 0, blocked_ = 0, guests_ = 0, threads_ = 0, spares_started_ = 0;
  std::atomic<int> surplus_{0};        // runnable_ - target(); changed under lock_
  std::atomic<std::int64_t> held_{0};  // coroutines that wait and come back
  std::atomic<std::uint32_t> visitors_{0};
  bool closing_ = false, ended_ = false;
  std::stop_source stop_;
  std::vector<std::thread> joinable_;
  std::mutex join_mutex_;
  worker* free_guests_ = nullptr;
  worker* unused_ = nullptr;                                 // whose thread could not be started
  std::chrono::steady_clock::time_point no_spawn_before_{};  // by tutti's clock, as the timer
  bool retry_armed_ = false;                                 // the timer is set, or is about to be

  std::array<std::atomic<worker*>, max_concurrency + max_spares + max_guests> workers_{};
  std::atomic<std::uint32_t> worker_count_{0};
};

}  // namespace tutti
