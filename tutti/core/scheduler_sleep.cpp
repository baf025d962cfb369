// scheduler, a worker's life: working, looking, sleeping, being woken, blocking, and the books about it.
#include <tutti/base/clock.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/timers.hpp>

#include <pthread.h>

#include <cstdio>
#include <system_error>

namespace tutti {

void scheduler::thread_main(worker& self) {
  self.sleeper = &this_parker();
  this_worker = &self;
  char thread_name[16];  // the kernel's limit
  std::snprintf(thread_name, sizeof thread_name, "%.10s/%u", name_.c_str(), self.index);
  ::pthread_setname_np(::pthread_self(), thread_name);

  trace_point(trace_kind::thread_start, &self, this);

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
        looks = looks_before_searching;  // who forks looks whether anybody searches before it forks again
      } else if (cancelling()) {
        work.task->abandon(cancelled_by_shutdown());
        self.forks.end_root();
      } else {
        self.run_task(*work.task);
      }
      if (surplus_.load(std::memory_order_relaxed) <= 0) continue;
    } else {
      // Under a stream of small tasks the next one is about to come; the counters that whoever submits must read stay
      // untouched until it does not.
      if (!searching && !spinner::yield_first && ++looks < looks_before_searching) {
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
  trace_point(trace_kind::thread_stop, &self, this);
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
      share_ring(self);
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
  trace_point(trace_kind::park, self.sleeper, this);
  bool ended = false;
  for (bool woken = false; !woken;) {
    self.sleeper->park();
    const std::lock_guard lock(lock_);
    ended = ended_;
    woken = ended || self.where == worker::state::working;
  }
  trace_point(trace_kind::unpark, self.sleeper, this);
  searching = !ended;  // counted by whoever woke us
  return !ended;
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
    } else if (threads_ >= concurrency_ + max_spares) {
      return wake;
    } else if (now() < no_spawn_before_) {
      wake.retry = !std::exchange(retry_armed_, true);
      return wake;
    } else {
      wake.spawn = true;
      ++threads_;
      ++spares_started_;
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

void scheduler::act(wake_up wake, bool elsewhere) noexcept {
  if (wake.sleeper != nullptr) {
    parker& sleeper = *wake.sleeper->sleeper;
    elsewhere ? sleeper.unpark_elsewhere() : sleeper.unpark();
  }
  if (wake.retry) retry_later();
  if (!wake.spawn) return;
  const std::error_code failed = spawn(/*searching=*/true);
  if (!failed) return;
  {
    const std::lock_guard lock(lock_);
    --threads_;
    --spares_started_;
    --runnable_;
    searching_.fetch_sub(1, std::memory_order_seq_cst);
    no_spawn_before_ = now() + respawn_pause;  // not again at once: the reason will hardly be gone
    count_hungry();
    if (finished()) end_all();
  }
  // Whoever added work meanwhile counted on the thread that is not there.
  if (has_work()) notify();
  log(log_level::error, "cannot start a spare thread; the pool goes on with fewer runnable threads",
      {{"pool", name_}, {"reason", failed.message()}});
}

// Perhaps nobody submits or waits any more, as all wait for what is queued.
void scheduler::retry_later() noexcept {
  try {
    call_later(respawn_pause, [id = executor_id_] {
      for (const auto& pool : all_pools()) {
        if (pool->executor_id() == id) pool->retry();
      }
    });
  } catch (const std::exception&) {  // no thread for the timers either: whoever submits or waits next tries again
    const std::lock_guard lock(lock_);
    retry_armed_ = false;
  }
}

void scheduler::retry() noexcept {
  {
    const std::lock_guard lock(lock_);
    retry_armed_ = false;  // before the look: who adds work after it may have to set the timer again
  }
  if (has_work()) notify();
}

void scheduler::wake_one() noexcept {
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (searching_.load(std::memory_order_seq_cst) == 0) wake = pick();
  }
  act(wake, /*elsewhere=*/this_worker != nullptr && a_core_each_);
}

bool scheduler::block(worker& self, bool may_refuse, worker::state how) noexcept {
  self.offer_all();
  drop_over(self);
  wake_up wake;
  {
    const std::lock_guard lock(lock_);
    if (may_refuse && !self.guest && threads_ >= concurrency_ + max_spares && retired_ == nullptr &&
        runnable_ <= target())
      return false;
    --runnable_;
    ++blocked_;
    ++blocks_;
    self.where = how;
    count_hungry();
    if (searching_.load(std::memory_order_seq_cst) == 0 && has_work()) wake = pick();
  }
  // Until somebody is there to run what is queued: a thread may have been refused, and work may have come since.
  bool stuck = false;
  do {
    act(wake);
    wake = {};
    const std::lock_guard lock(lock_);
    stuck = runnable_ == 0 && has_work();
    if (stuck) wake = pick();
  } while (wake);
  act(wake);
  if (!stuck || !may_refuse) return true;
  end_block(self);
  return false;
}

void scheduler::end_block(worker& self) noexcept {
  const std::lock_guard lock(lock_);
  ++runnable_;
  --blocked_;
  ++blocks_;  // one that ends is an event, too
  self.where = worker::state::working;
  count_hungry();
}

}  // namespace tutti
