// scheduler, finding work: the shared queue, the workers' own, and where to look in what order.
#include <tutti/base/trace.hpp>
#include <tutti/core/scheduler.hpp>

#include <algorithm>
#include <array>

namespace tutti {

// ---------------------------------------------------------------- the shared queue

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

void scheduler::share_ring(worker& from) noexcept {
  call_queue calls;
  std::size_t count = 0;
  for (; call_node* const task = from.ring.take(); ++count) calls.push(task);
  share(calls, count, from);
}

// Calls from a ring go to everybody and stay in order. Those of a worker are older than what it has put into the shared
// queue since, or were taken from the front of that; a guest takes none from there, and what its thread handed in
// before it became a guest is older than what is in its ring.
void scheduler::share(call_queue& calls, std::size_t count, const worker& from) noexcept {
  if (count == 0) return;
  if (from.guest) {
    empty_inbox();
    while (call_node* const task = calls.pop()) normal_.push(task);
  } else {
    normal_.prepend(calls);
  }
  normal_size_ += count;
  if (best_.load(std::memory_order_relaxed) < 0) best_.store(0, std::memory_order_relaxed);
  queued_.store(queued_.load(std::memory_order_relaxed) + count, std::memory_order_seq_cst);
}

void scheduler::empty_inbox(bool close) const noexcept {
  // has_work() looks into the inbox, then at queued_: calls on their way from one to the other are in queued_ first.
  const std::size_t before = queued_.load(std::memory_order_relaxed);
  queued_.store(before + 1, std::memory_order_seq_cst);
  const std::size_t count = inbox_.take_all(normal_, close);
  normal_size_ += count;
  submitted_shared_ += count;
  if (count != 0 && best_.load(std::memory_order_relaxed) < 0) best_.store(0, std::memory_order_relaxed);
  queued_.store(before + count, std::memory_order_seq_cst);
}

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
    --normal_size_;
    if (self.ring.maybe_empty()) taken += take_batch(self, normal_size_ / static_cast<std::size_t>(concurrency_));
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

// Up to `count` calls of priority 0, and not too many, into the worker's ring. Under lock_.
std::size_t scheduler::take_batch(worker& self, std::size_t count) noexcept {
  std::array<call_node*, 32> batch;
  count = std::min({count, batch.size(), normal_size_, self.ring.room()});
  for (std::size_t i = 0; i < count; ++i) {
    batch[i] = normal_.pop();
    batch[i]->prefetch();
  }
  if (count != 0) self.ring.push_many(batch.data(), count);
  normal_size_ -= count;
  return count;
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
  const std::size_t room = self.ring.room();
  const std::size_t taken = take_batch(self, room < task_ring::capacity / 2 ? 0 : room - task_ring::capacity / 2);
  note_best();
  queued_.store(queued_.load(std::memory_order_relaxed) - taken, std::memory_order_seq_cst);
}

// A ring fills up with calls that are over, as a task that waits for what it submits runs it at once and leaves the
// entry behind. Drops those and moves the others to the shared queue; true if there were none.
bool scheduler::prune(worker& self) {
  call_queue alive;
  std::size_t count = 0;
  while (call_node* const task = self.ring.take()) {
    if (task->is_over()) {
      task->run();  // drops it
    } else {
      alive.push(task);
      ++count;
    }
  }
  if (alive.empty()) return true;
  // Not back into the ring: its positions tell what descends from the task that runs (task_ring::take_if).
  const std::lock_guard lock(lock_);
  share(alive, count, self);
  return false;
}

// Before its worker sleeps: calls that are over are no work for which anybody had to take its place. Those behind one
// that is not do no harm.
void scheduler::drop_over(worker& self) noexcept {
  if (self.ring.maybe_empty()) return;
  while (call_node* const task = self.ring.take_own_if([](const call_node& oldest) { return oldest.is_over(); })) {
    task->run();
  }
  if (self.ring.has_task()) notify();  // who looked meanwhile may have found the ring empty
}

// ---------------------------------------------------------------- looking

scheduler::found scheduler::steal(worker& self, std::size_t most) {
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
    const std::size_t count = victim.ring.take_half(half.data(), std::min({half.size(), most, self.ring.room()}));
    if (count == 0) continue;
    trace_point(trace_kind::steal, half[0], &victim);
    if (count > 1) {
      self.ring.push_many(half.data() + 1, count - 1);
      notify();  // who looked here before, and there after, saw none of them
    }
    return {nullptr, half[0]};
  }
  return {};
}

scheduler::found scheduler::find(worker& self) {
  self.straight_on = false;
  if (call_node* urgent = take_shared(self, 1)) return {nullptr, urgent};
  const bool help_the_old = ++self.turn % 64 == 0;
  if (help_the_old) {
    // Nobody starves: neither the shared queue behind a worker that feeds itself, nor the ring of a worker with a long
    // task behind a shared queue that is never empty.
    take_some_shared(self);
    // One: the rest would wait behind our own, while its worker goes on with younger ones.
    if (found old = steal(self, 1)) {
      self.stolen.add();
      return old;
    }
  }
  if (!self.ring.maybe_empty()) {
    if (call_node* task = self.ring.take()) {
      // Only this worker fills its ring, and just now it did so at most to help the old.
      self.straight_on = !help_the_old;
      return {nullptr, task};
    }
  }
  self.overflowed = self.overflowed && (!inbox_.empty() || queued_.load(std::memory_order_seq_cst) != 0);
  if (call_node* task = take_shared(self, 0)) return {nullptr, task};
  if (found other = steal(self, task_ring::capacity)) {
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

}  // namespace tutti
