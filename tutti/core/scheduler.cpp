#include <tutti/core/scheduler.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/wait_list.hpp>

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace tutti {
namespace {

[[noreturn]] void fatal_own_worker(const std::string& name) noexcept {
  std::fprintf(
      stderr,
      "tutti: fatal: thread_pool \"%s\" shut down or destroyed from one of its own workers, which would wait for "
      "itself; let a thread outside the pool do it\n",
      name.c_str());
  std::abort();
}

}  // namespace

scheduler::scheduler(int concurrency, std::string name, std::uint64_t executor_id)
    : concurrency_(concurrency),
      name_(std::move(name)),
      executor_id_(executor_id),
      max_searching_(std::clamp(std::min(concurrency, default_concurrency()) / 2, 1, 64)),
      a_core_each_(concurrency <= default_concurrency()) {
  threads_ = runnable_ = concurrency;
  for (int i = 0; i < concurrency; ++i) {
    if (const std::error_code failed = spawn()) {
      {
        const std::lock_guard lock(lock_);
        threads_ = runnable_ = i;
      }
      shutdown(shutdown_mode::finish);
      free_workers();
      throw pool_exhausted("thread_pool \"" + name_ + "\": the system gave " + std::to_string(i) + " of " +
                           std::to_string(concurrency) + " threads (" + failed.message() +
                           "); ask for fewer or raise the limit (ulimit -u)");
    }
  }
}

scheduler::~scheduler() {
  shutdown(shutdown_mode::finish);
  free_workers();
}

void scheduler::free_workers() noexcept {
  for (auto& slot : workers_) delete slot.exchange(nullptr, std::memory_order_relaxed);
}

// ---------------------------------------------------------------- handing in

void scheduler::start(call work) {
  worker* const self = this_worker != nullptr && this_worker->pool == this ? this_worker : nullptr;
  if (left_behind()) [[unlikely]]
    refuse(std::move(work));
  if (self != nullptr && cancelling()) return std::move(work).abandon(cancelled_by_shutdown());
  trace_point(trace_kind::task_submit, work.operator->(), static_cast<const call_target*>(this));
  if (!enqueue(self, work, /*even_if_closed=*/false)) refuse(std::move(work));
}

// False: closed, and the caller does not belong here; the pool's own tasks may go on.
bool scheduler::enqueue(worker* self, call& work, bool even_if_closed) {
  if (self != nullptr && work->priority() == 0 && !self->overflowed) {
    if (self->ring.push(work.operator->()) || (prune(*self) && self->ring.push(work.operator->()))) {
      work.release();
      self->submitted.add();
      notify();
      return true;
    }
    self->overflowed = true;  // from here on in the shared queue, behind what is there, until all that has run
  }
  if (work->priority() == 0) {
    if (inbox_.put(work.operator->())) {
      work.release();
      notify();
      return true;
    }
    if (!even_if_closed && !works_here()) return false;
  }
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (closing_ && !even_if_closed && !works_here()) return false;
    push_shared(work.operator->());
    work.release();
    ++submitted_shared_;
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake);
  return true;
}

// Needs no memory, as what comes back has no priority.
void scheduler::resume(call work) noexcept {
  if (left_behind()) return static_cast<void>(work.release());  // its threads, and whoever waits, are the parent's
  worker* const self = this_worker != nullptr && this_worker->pool == this ? this_worker : nullptr;
  const visit from_outside(self == nullptr ? &visitors_ : nullptr);
  enqueue(self, work, /*even_if_closed=*/true);
}

call_target::hold_result scheduler::hold_from_outside() noexcept {
  if (left_behind()) return hold_result::closed;
  const std::lock_guard lock(lock_);
  if (closing_) return hold_result::closed;
  held_.fetch_add(1, std::memory_order_relaxed);
  return hold_result::held;
}

void scheduler::let_go() noexcept {
  const visit kept(&visitors_);
  const std::lock_guard lock(lock_);
  held_.fetch_sub(1, std::memory_order_relaxed);
  if (finished()) end_all();
}

// Both hear of it: whoever hands it in, and whoever has its future (a continuation's reader).
void scheduler::refuse(call work) const {
  const closed why("thread_pool \"" + name_ +
                   (left_behind()
                        ? "\" was made before this process was forked, and its threads are the parent's; make one here"
                        : "\" is shut down and takes no more work; submit before shutdown()"));
  std::move(work).abandon(std::make_exception_ptr(why));
  throw why;
}

std::exception_ptr scheduler::cancelled_by_shutdown() const {
  return std::make_exception_ptr(cancelled("thread_pool \"" + name_ + "\" was shut down before the task was started"));
}

// ---------------------------------------------------------------- guests

worker* scheduler::enter(worker* outer) {
  if (left_behind()) return nullptr;
  parker& sleeper = this_parker();
  const std::lock_guard lock(lock_);
  if (closing_) return nullptr;
  worker* guest = free_guests_;
  if (guest != nullptr) {
    free_guests_ = guest->below;
  } else {
    if (guests_ >= max_guests) return nullptr;
    guest = &add_worker(/*guest=*/true);
  }
  ++guests_;
  ++runnable_;
  guest->where = worker::state::working;
  guest->sleeper = &sleeper;
  guest->outer = outer;
  count_hungry();
  return guest;
}

void scheduler::leave(worker& guest) noexcept {
  wake_up wake;
  guest.forks.end_root();
  {
    const std::lock_guard lock(lock_);
    share_ring(guest);
    guest.overflowed = false;
    guest.below = std::exchange(free_guests_, &guest);
    --guests_;
    --runnable_;
    count_hungry();
    // When closing, somebody has to look whether that was the last of the work.
    if (searching_.load(std::memory_order_seq_cst) == 0 && (closing_ || has_work())) wake = pick();
  }
  act(wake);
}

// ---------------------------------------------------------------- birth and death

worker& scheduler::add_worker(bool guest) {
  const std::uint32_t index = worker_count_.load(std::memory_order_relaxed);
  auto* made = new worker(*this, index, guest);
  workers_[index].store(made, std::memory_order_release);
  worker_count_.store(index + 1, std::memory_order_release);
  return *made;
}

std::error_code scheduler::spawn(bool searching) noexcept {
  const std::lock_guard lock(lock_);
  try {
    if (unused_ == nullptr) unused_ = &add_worker(/*guest=*/false);
    worker& made = *unused_;
    made.born_searching = searching;
    joinable_.reserve(joinable_.size() + 1);
    joinable_.emplace_back([this, &made] { thread_main(made); });
    unused_ = nullptr;
    return {};
  } catch (const std::system_error& failure) {
    return failure.code();
  } catch (const std::bad_alloc&) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
}

// Closing, and nothing runs, waits or can still be handed in: all who could do so sleep.
bool scheduler::finished() const noexcept {
  return closing_ && held_.load(std::memory_order_relaxed) == 0 && blocked_ == 0 && guests_ == 0 &&
         runnable_ == idle_count_ && !has_work();
}

void scheduler::end_all() noexcept {
  ended_ = true;
  for (worker* w = idle_; w != nullptr; w = w->below) w->sleeper->unpark();
  for (worker* w = retired_; w != nullptr; w = w->below) w->sleeper->unpark();
}

void scheduler::shutdown(shutdown_mode mode) {
  if (works_here()) fatal_own_worker(name_);
  if (left_behind()) {
    // Nobody to join, and the lock may be held by a thread that is not here.
    static_cast<void>(new std::vector(std::move(joinable_)));
    return;
  }
  call_queue dropped;
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    closing_ = true;
    empty_inbox(/*close=*/true);
    if (mode == shutdown_mode::cancel) {
      cancelling_.store(true, std::memory_order_seq_cst);  // see suspension::show
      drop_queued(dropped);
    }
    if (threads_ == 0 || finished()) end_all();
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake);
  if (mode == shutdown_mode::cancel) {
    stop_.request_stop();
    const auto reason = cancelled_by_shutdown();
    while (call_node* task = dropped.pop()) task->abandon(reason);
    stop_waiting_on(*this);
  }
  before_sleeping();
  // A worker of another pool may end this one: it blocks meanwhile.
  worker* const self = detail::loop_engine::blocked_worker();
  if (self != nullptr) self->pool->must_join(*self);
  join_all();
  visit::wait_for_none(visitors_);
  if (self != nullptr) self->pool->end_block(*self);
}

void scheduler::stop_waits() noexcept {
  exiting_.store(true, std::memory_order_seq_cst);  // first: who is not found waiting sees it before it does, see show
  stop_waiting_on(*this);
}

void scheduler::join_all() {
  const std::lock_guard joining(join_mutex_);
  for (;;) {  // spares may still be started while we join
    std::vector<std::thread> joining_now;
    {
      const std::lock_guard lock(lock_);
      joining_now.swap(joinable_);
    }
    if (joining_now.empty()) return;
    for (auto& thread : joining_now) thread.join();
  }
}

void scheduler::drop_queued(call_queue& out) noexcept {
  const auto take_all = [&](call_queue& queue) {
    while (call_node* task = queue.pop()) out.push(task);
  };
  take_all(normal_);
  for (auto& [priority, queue] : others_) take_all(queue);
  others_.clear();
  normal_size_ = 0;
  best_.store(no_priority, std::memory_order_relaxed);
  queued_.store(0, std::memory_order_seq_cst);
  for_each_worker([&](worker& w) {
    while (call_node* task = w.ring.take()) out.push(task);
  });
}

bool scheduler::works_here() const noexcept {
  for (const worker* w = this_worker; w != nullptr; w = w->outer) {
    if (w->pool == this) return true;
  }
  return detail::loop_engine::on_top_of(*this);
}

scheduler::rest scheduler::resting(const parker& looker) const noexcept {
  rest state{.quiet = true, .joining = false, .events = 0};
  if (left_behind()) return state;
  const std::lock_guard lock(lock_);
  // What is queued behind a thread that was refused waits for a timer.
  state.quiet = runnable_ == idle_count_ && (!has_work() || retry_armed_);
  state.events = blocks_ + submitted_shared_;
  for_each_worker([&](const worker& w) {
    state.events += w.submitted.get();
    if (w.where == worker::state::joining) state.joining = true;
    if (w.where == worker::state::blocked && w.sleeper != &looker && !w.sleeper->is_asleep()) state.quiet = false;
  });
  return state;
}

pool_stats scheduler::stats() const {
  pool_stats sum;
  const std::int64_t now = clock_ns();
  for_each_worker([&](const worker& w) {
    sum.submitted += w.submitted.get();
    sum.run += w.run.get();
    sum.stolen += w.stolen.get();
    sum.published += w.published.get();
    sum.parked += w.parked.get();
    sum.queue_depth += w.ring.size();
    sum.busy += std::chrono::nanoseconds(w.busy_ns.get());
    if (const std::int64_t since = w.busy_since.load(std::memory_order_relaxed)) {
      sum.busy += std::chrono::nanoseconds(std::max<std::int64_t>(0, now - since));
    }
  });
  if (left_behind()) return sum;  // the lock may be held by a thread that is not here
  const std::lock_guard lock(lock_);
  empty_inbox();
  sum.submitted += submitted_shared_;
  sum.queue_depth += queued_.load(std::memory_order_relaxed);
  sum.spare_threads = static_cast<std::uint64_t>(spares_started_);
  return sum;
}

}  // namespace tutti
