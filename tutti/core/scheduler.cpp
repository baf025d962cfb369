#include <tutti/core/scheduler.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/concurrency.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace tutti {
namespace {

std::int64_t clock_ns() noexcept { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::exception_ptr cancelled_by_shutdown(const std::string& pool) {
  return std::make_exception_ptr(cancelled("thread_pool \"" + pool + "\" was shut down before the task was started"));
}

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
      max_searching_(std::clamp(std::min(concurrency, default_concurrency()) / 2, 1, 64)) {
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
  if (self != nullptr && cancelling()) return std::move(work).abandon(cancelled_by_shutdown(name_));
  trace_point(trace_kind::task_submit, work.operator->(), this);
  if (self != nullptr && work->priority() == 0 && !self->overflowed) {
    if (self->ring.push(work.operator->()) || (prune(*self) && self->ring.push(work.operator->()))) {
      work.release();
      self->submitted.add();
      return notify();
    }
    self->overflowed = true;  // from here on in the shared queue, behind what is there, until all that has run
  }
  if (self == nullptr && work->priority() == 0) {
    if (!inbox_.put(work.operator->())) throw_closed();
    work.release();
    return notify();
  }
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (closing_ && self == nullptr) throw_closed();
    push_shared(work.operator->());
    work.release();
    ++submitted_outside_;
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake);
}

void scheduler::throw_closed() const {
  throw closed("thread_pool \"" + name_ + "\" is shut down and takes no more work; submit before shutdown()");
}

void scheduler::empty_inbox(bool close) const noexcept {
  // has_work() looks into the inbox, then at queued_: calls on their way from one to the other are in queued_ first.
  const std::size_t before = queued_.load(std::memory_order_relaxed);
  queued_.store(before + 1, std::memory_order_seq_cst);
  const std::size_t count = inbox_.take_all(normal_, close);
  normal_size_ += count;
  submitted_outside_ += count;
  if (count != 0 && best_.load(std::memory_order_relaxed) < 0) best_.store(0, std::memory_order_relaxed);
  queued_.store(before + count, std::memory_order_seq_cst);
}

// A ring fills up with calls that are over, as a task that waits for what it submits runs it at once and leaves the
// entry behind. Drops those and moves the others to the shared queue; true if they were few.
bool scheduler::prune(worker& self) {
  call_queue alive;
  std::uint64_t kept = 0;
  while (call_node* const task = self.ring.take()) {
    if (task->is_over()) {
      task->run();  // drops it
    } else {
      alive.push(task);
      ++kept;
    }
  }
  if (kept == 0) return true;
  // Not back into the ring: its positions tell what descends from the task that runs (task_ring::take_if).
  const std::lock_guard lock(lock_);
  while (call_node* const task = alive.pop()) push_shared(task);
  return kept < task_ring::capacity / 2;
}

void scheduler::push_shared(call_node* node) {
  const int priority = node->priority();
  if (priority == 0) {
    normal_.push(node);
    ++normal_size_;
  } else {
    others_[priority].push(node);
  }
  if (priority > best_.load(std::memory_order_relaxed)) best_.store(priority, std::memory_order_relaxed);
  queued_.store(queued_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
}

// ---------------------------------------------------------------- finding work

// The highest priority first; from the common priority a batch, so that a burst costs one lock for many tasks. A batch
// waits in the worker's ring, where others may take it, and in order, as the ring was empty.
call_node* scheduler::take_shared(worker& self, std::int64_t at_least) {
  const bool new_ones = at_least <= 0 && !inbox_.empty();
  if (best_.load(std::memory_order_relaxed) < at_least && !new_ones) return nullptr;
  const std::lock_guard lock(lock_);
  if (new_ones) empty_inbox();
  const std::int64_t best = best_.load(std::memory_order_relaxed);
  if (best < at_least || best == no_priority) return nullptr;
  call_node* node = nullptr;
  std::size_t taken = 1;
  if (best == 0) {
    node = normal_.pop();
    if (self.ring.maybe_empty()) {
      const auto sharers = static_cast<std::size_t>(concurrency_);
      for (std::size_t n = std::min<std::size_t>(normal_size_ / sharers, 32); taken < n; ++taken) {
        self.ring.push(normal_.pop());
      }
    }
    normal_size_ -= taken;
  } else {
    // Higher than 0, it is the first; below, nothing is before it either.
    const auto queue = others_.begin();
    node = queue->second.pop();
    if (queue->second.empty()) others_.erase(queue);
  }
  note_best();
  queued_.store(queued_.load(std::memory_order_relaxed) - taken, std::memory_order_seq_cst);
  return node;
}

void scheduler::note_best() noexcept {
  std::int64_t best = normal_.empty() ? no_priority : 0;
  if (!others_.empty()) best = std::max<std::int64_t>(best, others_.begin()->first);
  best_.store(best, std::memory_order_relaxed);
}

// Now and then a worker puts calls from the shared queue behind its own, so that one that feeds itself cannot starve
// them.
void scheduler::take_some_shared(worker& self) {
  if (self.ring.maybe_empty() || (queued_.load(std::memory_order_relaxed) == 0 && inbox_.empty())) return;
  const std::lock_guard lock(lock_);
  empty_inbox();
  std::size_t taken = 0;
  while (taken < 32 && normal_size_ != taken && self.ring.size() < task_ring::capacity / 2) {
    self.ring.push(normal_.pop());
    ++taken;
  }
  normal_size_ -= taken;
  note_best();
  queued_.store(queued_.load(std::memory_order_relaxed) - taken, std::memory_order_seq_cst);
}

scheduler::found scheduler::steal(worker& self) {
  const std::uint32_t n = worker_count_.load(std::memory_order_acquire);
  // Start behind ourselves: neighbours differ, so thieves spread without random numbers.
  for (std::uint32_t i = 1; i < n; ++i) {
    worker& victim = *workers_[(self.index + i) % n].load(std::memory_order_acquire);
    if (fork_record* branch = victim.forks.steal()) return {branch, nullptr};
  }
  for (std::uint32_t i = 1; i < n; ++i) {
    worker& victim = *workers_[(self.index + i) % n].load(std::memory_order_acquire);
    if (!victim.ring.has_task()) continue;
    std::array<call_node*, 32> half;
    const std::size_t count = victim.ring.take_half(half.data(), half.size());
    for (std::size_t k = 1; k < count; ++k) self.ring.push(half[k]);  // fits: our ring is empty
    if (count != 0) return {nullptr, half[0]};
  }
  return {};
}

scheduler::found scheduler::find(worker& self) {
  if (call_node* urgent = take_shared(self, 1)) return {nullptr, urgent};
  if (++self.turn % 64 == 0) take_some_shared(self);
  if (!self.ring.maybe_empty()) {
    if (call_node* task = self.ring.take()) return {nullptr, task};
  }
  self.overflowed = self.overflowed && queued_.load(std::memory_order_relaxed) != 0;
  if (call_node* task = take_shared(self, 0)) return {nullptr, task};
  if (found other = steal(self)) {
    self.stolen.add();
    return other;
  }
  return {nullptr, take_shared(self, no_priority + 1)};
}

bool scheduler::has_work() const noexcept {
  if (!inbox_.empty() || queued_.load(std::memory_order_seq_cst) != 0) return true;  // in this order, see empty_inbox
  const std::uint32_t n = worker_count_.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < n; ++i) {
    const worker& w = *workers_[i].load(std::memory_order_acquire);
    if (w.forks.has_offer() || w.ring.has_task()) return true;
  }
  return false;
}

// ---------------------------------------------------------------- a worker's life

void scheduler::thread_main(worker& self) {
  self.sleeper = &this_parker();
  this_worker = &self;
  char thread_name[16];  // the kernel's limit
  std::snprintf(thread_name, sizeof thread_name, "%.10s/%u", name_.c_str(), self.index);
  ::pthread_setname_np(::pthread_self(), thread_name);

  bool searching = self.born_searching;
  spinner spin(spinner::before_sleep);
  constexpr int looks_before_searching = 8;
  int looks = 0;
  for (;;) {
    const found work = find(self);
    if (work) {
      looks = 0;
      if (searching) {
        searching = false;
        spin.restart();
        // The last one looking hands on the job of looking, as there may be more.
        if (searching_.fetch_sub(1, std::memory_order_seq_cst) == 1 && has_work()) notify();
      }
      if (self.busy_since.load(std::memory_order_relaxed) == 0)
        self.busy_since.store(clock_ns(), std::memory_order_relaxed);
      if (work.branch != nullptr) {
        self.run_stolen(*work.branch);
      } else if (cancelling()) {
        work.task->abandon(cancelled_by_shutdown(name_));
        self.forks.end_root();
      } else {
        self.run_task(*work.task);
      }
      if (surplus_.load(std::memory_order_relaxed) <= 0) continue;
    } else {
      // Under a stream of small tasks the next one is about to come; the counters that whoever submits must read stay
      // untouched until it does not.
      if (!searching && ++looks < looks_before_searching) {
        cpu::pause();
        continue;
      }
      if (const std::int64_t since = self.busy_since.load(std::memory_order_relaxed)) {
        self.busy_since.store(0, std::memory_order_relaxed);
        self.busy_ns.add(static_cast<std::uint64_t>(clock_ns() - since));
      }
      if (!searching && searching_.load(std::memory_order_relaxed) < max_searching_) {
        searching = true;
        searching_.fetch_add(1, std::memory_order_seq_cst);
        ask_everyone(self);
        continue;
      }
      if (searching && surplus_.load(std::memory_order_relaxed) <= 0 && spin.once()) continue;
    }
    spin.restart();
    if (!sleep(self, searching)) break;
  }
  this_worker = nullptr;
}

void scheduler::ask_everyone(worker& self) noexcept {
  for_each_worker([&](worker& other) {
    if (&other != &self) other.forks.want();
  });
}

// Between tasks: becomes idle, or retires when there are too many. False: the pool has ended.
bool scheduler::sleep(worker& self, bool& searching) {
  bool retire = false;
  {
    std::unique_lock lock(lock_);
    if (ended_) return false;
    retire = runnable_ > target();
    if (searching) searching_.fetch_sub(1, std::memory_order_seq_cst);
    searching = false;
    if (retire) {
      // What is left in the ring goes to everybody.
      while (call_node* task = self.ring.take()) push_shared(task);
      --runnable_;
      self.where = worker::state::retired;
      self.below = std::exchange(retired_, &self);
    } else {
      self.where = worker::state::idle;
      self.below = std::exchange(idle_, &self);
      ++idle_count_;
    }
    count_hungry();
    if (finished()) {
      end_all();
      return false;
    }
  }
  if (retire) {
    if (has_work()) notify();
  } else {
    ask_everyone(self);
    if (has_work()) {
      wake_up other;
      {
        const std::lock_guard lock(lock_);
        if (self.where == worker::state::idle && unlink(idle_, self)) {
          --idle_count_;
          self.where = worker::state::working;
          searching_.fetch_add(1, std::memory_order_seq_cst);
          searching = true;
          count_hungry();
          return true;
        }
        // Woken meanwhile: the token is there. Or retired by a guest: then it falls to somebody else.
        if (self.where == worker::state::retired && searching_.load(std::memory_order_seq_cst) == 0) other = pick();
      }
      act(other);
    }
  }
  self.parked.add();
  trace_point(trace_kind::park, &self, this);
  for (;;) {
    self.sleeper->park();
    const std::lock_guard lock(lock_);
    if (ended_) return false;
    if (self.where == worker::state::working) break;
  }
  trace_point(trace_kind::unpark, &self, this);
  searching = true;  // counted by whoever woke us
  return true;
}

bool scheduler::unlink(worker*& stack, worker& member) noexcept {
  for (worker** at = &stack; *at != nullptr; at = &(*at)->below) {
    if (*at == &member) {
      *at = member.below;
      return true;
    }
  }
  return false;
}

// ---------------------------------------------------------------- waking and sleeping, the books

void scheduler::count_hungry() noexcept {
  // Too many runnable: the idle among them retire in their sleep.
  while (runnable_ > target() && idle_ != nullptr) {
    worker& sleeper = *std::exchange(idle_, idle_->below);
    --idle_count_;
    --runnable_;
    sleeper.where = worker::state::retired;
    sleeper.below = std::exchange(retired_, &sleeper);
  }
  surplus_.store(runnable_ - target(), std::memory_order_relaxed);
  hungry_.store(idle_count_ + std::max(0, target() - runnable_), std::memory_order_seq_cst);
}

// Chooses who is to look for work and counts it as searching already.
scheduler::wake_up scheduler::pick() noexcept {
  wake_up wake;
  if (ended_) return wake;
  if (idle_ != nullptr) {
    wake.sleeper = std::exchange(idle_, idle_->below);
    --idle_count_;
  } else if (runnable_ < target()) {
    if (retired_ != nullptr) {
      wake.sleeper = std::exchange(retired_, retired_->below);
    } else if (threads_ < concurrency_ + max_spares && clock_ns() >= no_spawn_before_) {
      wake.spawn = true;
      ++threads_;
      ++spares_started_;
    } else {
      return wake;
    }
    ++runnable_;
  } else {
    return wake;
  }
  if (wake.sleeper != nullptr) wake.sleeper->where = worker::state::working;
  searching_.fetch_add(1, std::memory_order_seq_cst);
  count_hungry();
  return wake;
}

bool scheduler::act(wake_up wake) noexcept {
  if (wake.sleeper != nullptr) wake.sleeper->sleeper->unpark();
  if (!wake.spawn) return true;
  const std::error_code failed = spawn(/*searching=*/true);
  if (!failed) return true;
  {
    const std::lock_guard lock(lock_);
    --threads_;
    --spares_started_;
    --runnable_;
    searching_.fetch_sub(1, std::memory_order_seq_cst);
    no_spawn_before_ = clock_ns() + 100'000'000;  // not again at once: the reason will hardly be gone
    count_hungry();
    if (finished()) end_all();
  }
  // Whoever added work meanwhile counted on the thread that is not there.
  if (has_work()) notify();
  log(log_level::error, "cannot start a spare thread; the pool goes on with fewer runnable threads",
      {{"pool", name_}, {"reason", failed.message()}});
  return false;
}

void scheduler::wake_one() noexcept {
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake);
}

bool scheduler::begin_block(worker& self) noexcept {
  self.offer_all();
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (!self.guest && threads_ >= concurrency_ + max_spares && retired_ == nullptr && runnable_ <= target())
      return false;
    --runnable_;
    ++blocked_;
    self.where = worker::state::blocked;
    count_hungry();
    if (searching_.load(std::memory_order_seq_cst) == 0 && has_work()) wake = pick();
  }
  if (act(wake)) return true;
  bool stuck = false;
  {
    const std::lock_guard lock(lock_);
    stuck = runnable_ == 0;
  }
  if (stuck) end_block(self);
  return !stuck;
}

void scheduler::end_block(worker& self) noexcept {
  const std::lock_guard lock(lock_);
  ++runnable_;
  --blocked_;
  self.where = worker::state::working;
  count_hungry();
}

// ---------------------------------------------------------------- guests

worker* scheduler::enter(worker* outer) {
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
    while (call_node* task = guest.ring.take()) push_shared(task);
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
  return closing_ && blocked_ == 0 && guests_ == 0 && runnable_ == idle_count_ && !has_work();
}

void scheduler::end_all() noexcept {
  ended_ = true;
  for (worker* w = idle_; w != nullptr; w = w->below) w->sleeper->unpark();
  for (worker* w = retired_; w != nullptr; w = w->below) w->sleeper->unpark();
}

void scheduler::shutdown(shutdown_mode mode) {
  for (const worker* w = this_worker; w != nullptr; w = w->outer) {
    if (w->pool == this) fatal_own_worker(name_);
  }
  call_queue dropped;
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    closing_ = true;
    empty_inbox(/*close=*/true);
    if (mode == shutdown_mode::cancel) {
      cancelling_.store(true, std::memory_order_relaxed);
      drop_queued(dropped);
    }
    if (threads_ == 0 || finished()) end_all();
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake);
  if (mode == shutdown_mode::cancel) {
    stop_.request_stop();
    const auto reason = cancelled_by_shutdown(name_);
    while (call_node* task = dropped.pop()) task->abandon(reason);
  }
  // A worker of another pool may end this one: it blocks meanwhile.
  worker* const self = this_worker;
  const bool blocked = self != nullptr && self->pool->begin_block(*self);
  join_all();
  if (blocked) self->pool->end_block(*self);
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
  const std::lock_guard lock(lock_);
  empty_inbox();
  sum.submitted += submitted_outside_;
  sum.queue_depth += queued_.load(std::memory_order_relaxed);
  sum.spare_threads = static_cast<std::uint64_t>(spares_started_);
  return sum;
}

}  // namespace tutti
