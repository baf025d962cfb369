// run_loop: an executor whose calls run on the one thread that drives it: a main thread's, or sync_wait's.
#pragma once
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inbox.hpp>
#include <tutti/core/local_executor.hpp>
#include <tutti/core/this_task.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace tutti {

namespace detail {

/// What the thread of a loop sleeps in when it has no calls: where something other than calls can wake it.
class loop_poller {
 public:
  /// Waits until something has happened, or was interrupted, and lets calls of the loop follow from it. By the thread
  /// that drives the loop.
  virtual void wait_for_events() noexcept = 0;
  /// The same for what has happened already. Does not wait.
  virtual void look_for_events() noexcept = 0;
  /// Ends wait_for_events, or the next one at once. Thread-safe.
  virtual void interrupt() noexcept = 0;
  /// Whether nothing but an interrupt can end wait_for_events. By the thread that drives the loop.
  virtual bool expects_nothing() const noexcept = 0;
  /// The loop is over: nobody drives it any more, and it takes no more calls.
  virtual void end() noexcept = 0;

  /// For who watches that thread: odd while it runs a call of the loop; grows. Read by anyone.
  std::uint64_t turns() const noexcept { return turns_.load(std::memory_order_acquire); }
  /// The system's number of that thread, 0 while there is none. Read by anyone.
  long thread() const noexcept { return thread_.load(std::memory_order_acquire); }

 protected:
  ~loop_poller() = default;

 private:
  friend class loop_engine;
  // One writer, who drives the loop: no read-modify-write.
  void next_turn() noexcept { turns_.store(turns_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  std::atomic<std::uint64_t> turns_{0};
  std::atomic<long> thread_{0};
};

/// The working part. While a thread drives it, that thread is nobody's worker: what it waits for must not be run on top
/// of a coroutine that waits here, and its pool, if it has one, has a spare in its place whenever the loop sleeps.
class loop_engine final : public call_target, public std::enable_shared_from_this<loop_engine> {
 public:
  /// `id`: what calls for it are sent to; see home.hpp. `poller`: may be null; who wakes the loop may be the last to
  /// keep it.
  explicit loop_engine(std::uint64_t id, std::shared_ptr<loop_poller> poller = nullptr) noexcept
      : id_(id), poller_(std::move(poller)) {}
  loop_engine(const loop_engine&) = delete;
  loop_engine& operator=(const loop_engine&) = delete;

  void start(call work) override;
  hold_result hold(bool from_outside) noexcept override;
  void let_go() noexcept override;
  void resume(call work) noexcept override;
  bool stopping() const noexcept override { return cancelling(); }
  bool has_driver() const noexcept override { return sleeper_.load(std::memory_order_acquire) != nullptr; }

  /// What this thread must have to drive it. Throws std::logic_error when this thread or another one drives it already.
  std::unique_lock<std::mutex> become_driver();
  /// Runs calls on this thread until `done()`, which is asked before each; sleeps while there are none. Who makes it
  /// true elsewhere must call `wake`.
  template <class Done>
  void run_until(std::unique_lock<std::mutex> as_driver, Done done) {
    run_some(
        driving(*this, std::move(as_driver)), [](void* d) { return static_cast<bool>((*static_cast<Done*>(d))()); },
        &done);
  }
  /// The same until `what` is ready. Throws what an observer of waits throws.
  void run_until_ready(std::unique_lock<std::mutex>&& as_driver, const future_state_base& what);
  /// Calls `first()`, then runs calls until there are none, and takes no more.
  template <class First>
  void run_inline(First first) {
    const driving here(*this, std::unique_lock(driver_));
    first();
    run_all(here);
  }
  /// Until shut down and empty.
  void run_until_closed();
  /// Takes no calls from now on but from its own, and completes what there is: here, or on the thread that drives it,
  /// for which it waits unless it is this one. `cancel`: abandons what is queued, and stops what waits.
  void shut_down(bool cancel);
  /// The same with `cancel`, without waiting for anybody.
  void ask_to_end() noexcept;
  /// Has `work` run by who drives the loop, now or in its end, also after a shutdown; false when that has come.
  bool hand_over(call_node& work) noexcept;
  void wake() noexcept;
  std::uint64_t id() const noexcept { return id_; }
  loop_poller* poller() const noexcept { return poller_.get(); }
  /// Whether this thread drives it, perhaps beneath others.
  bool driven_by_this_thread() const noexcept;
  /// Whether this thread drives the loop of that number so.
  static bool drives(std::uint64_t id) noexcept;
  /// The innermost loop that this thread drives.
  static loop_engine* current() noexcept;
  /// Whether this thread drives a loop on top of a task of that pool.
  static bool on_top_of(const scheduler& pool) noexcept;
  /// The worker that does nothing else while this thread sleeps: the thread's own, also beneath the loops it drives;
  /// null when it belongs to no pool.
  static worker* blocked_worker() noexcept;

 private:
  // This thread drives the loop while it lives, and belongs to no pool meanwhile.
  class driving {
   public:
    driving(loop_engine& loop, std::unique_lock<std::mutex> as_driver);
    ~driving();
    driving(const driving&) = delete;
    driving& operator=(const driving&) = delete;

   private:
    loop_engine& loop_;
    const std::unique_lock<std::mutex> as_driver_;
  };
  void run_some(const driving& here, bool (*done)(void*), void* context);
  void run_all(const driving& here);
  bool cancelling() const noexcept { return cancelling_.load(std::memory_order_seq_cst); }
  bool empty() noexcept;
  void queue(call work);
  call_node* take() noexcept;
  void put_in_order(call_node& node) noexcept;
  void sleep(bool (*done)(void*), void* context);
  template <class NothingToDo>
  void sleep_in_poller(NothingToDo nothing_to_do);

  const std::uint64_t id_;
  const std::shared_ptr<loop_poller> poller_;
  std::mutex driver_;                      // held by who drives it
  inbox inbox_;                            // from other threads
  std::atomic<parker*> sleeper_{nullptr};  // of the driving thread
  std::atomic<bool> polling_{false};       // it sleeps in poller_, or is about to
  std::atomic<std::int64_t> held_{0};
  std::atomic<std::uint32_t> visitors_{0};
  std::atomic<bool> closed_{false}, cancelling_{false};
  // The driving thread's.
  worker* outer_worker_ = nullptr;                    // what the thread was before, to its pool
  loop_engine* below_ = nullptr;                      // what the thread drives, and drove before this one
  call_queue ready_;                                  // priority 0
  std::map<int, call_queue, std::greater<>> others_;  // the rest
};

}  // namespace detail

/// An executor whose calls run on the thread that calls `run`, one at a time: first in, first out within a priority.
/// Any thread may hand calls in at any time. Destroying it runs what is left; doing so in one of its own calls is a
/// fatal error that names it.
class run_loop : public local_executor {
 public:
  run_loop();
  ~run_loop() override;

  /// 1.
  int concurrency() const override { return 1; }
  /// Runs calls on this thread until shutdown() and until all are complete. Throws std::logic_error when another thread
  /// does so already.
  void run();
  /// Hands a coroutine task in, runs calls on this thread until it has ended, and returns its result or throws its
  /// exception. Other calls are left for the next time. Throws std::logic_error as run().
  template <class Task>
    requires(is_task<Task>)
  auto run(Task work) {
    std::unique_lock as_driver = engine_->become_driver();  // first: a task that is handed in is waited for
    // In a task that is asked to stop, so is this one.
    const std::stop_token stop = this_task::stop_token();
    auto result = this->with({.stop = stop.stop_possible() ? stop_ref(stop) : stop_ref()}).submit(std::move(work));
    result.on_done([memory = engine_->shared_from_this()] { memory->wake(); });  // it may end on another executor
    try {
      engine_->run_until_ready(std::move(as_driver), *result.state());
    } catch (...) {
      result.cancel();  // it has not begun
      throw;
    }
    return result.get();
  }
  /// Lets run() return once all calls are complete; when no thread is in run(), completes them on this one.
  void shutdown(shutdown_mode mode = finish) override;
  std::unique_ptr<executor> share() override;

 protected:
  void start(call work) override { engine_->start(std::move(work)); }

  /// A loop with a poller.
  explicit run_loop(std::shared_ptr<detail::loop_poller> poller);
  detail::loop_engine& engine() const noexcept { return *engine_; }

 private:
  explicit run_loop(std::shared_ptr<detail::loop_engine> engine);
  std::shared_ptr<detail::loop_engine> engine_;
};

}  // namespace tutti
