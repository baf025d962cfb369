#include <tutti/core/worker.hpp>

#include <tutti/base/trace.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/wait_graph.hpp>
#include <tutti/core/wait_list.hpp>

namespace tutti {
namespace {

// fork_record::state
constexpr std::uint32_t running = 0, done = 1, owner_asleep = 2;

// The frame a branch was forked in: the innermost one that had begun when the branch was pushed.
const task_frame* frame_of(std::uint32_t index) noexcept {
  const task_frame* frame = this_frame;
  while (frame != nullptr && frame->fork_base > index) frame = frame->parent;
  return frame;
}

}  // namespace

void worker::offer_one() noexcept {
  fork_record& record = *forks.oldest_private();
  record.state.store(running, std::memory_order_relaxed);  // plain set-up; publish() releases it
  record.started.store(false, std::memory_order_relaxed);
  record.owner = this;
  record.frame = frame_of(forks.split());
  trace_point(trace_kind::publish, &record, this);  // before a thief can tell that it has it
  forks.publish();
  published.add();
}

void worker::offer_oldest() noexcept {
  forks.satisfied();  // before the offer: whoever asks from here on asks for the next one
  if (!forks.has_private()) return;
  offer_one();
  pool->notify();
  if (pool->anyone_hungry()) forks.want();
}

void worker::offer_all() noexcept {
  if (!forks.has_private()) return;
  while (forks.has_private()) offer_one();
  pool->notify();
}

bool worker::join_published(fork_record& record, std::uint32_t at) noexcept {
  if (forks.reclaim(at)) return true;
  const auto finished = [&] { return record.state.load(std::memory_order_acquire) == done; };
  const bool waits = tracing() && !finished();
  if (waits) trace_point(trace_kind::wait_begin, &record, "fork_join");
  for (spinner spin(spinner::before_sleep); !finished();) {
    // acquire: pairs with the thief's release, so that `where` is visible.
    if (record.started.load(std::memory_order_acquire) && run_descendant(record.where, [&] { return !finished(); })) {
      spin.restart();
    } else if (!spin.once()) {
      sleep_until_done(record);
    }
  }
  if (waits) trace_point(trace_kind::wait_end, &record, &this_parker());
  trace_point(trace_kind::join, &record);
  forks.forget(at);
  return false;
}

void worker::sleep_until_done(fork_record& record) noexcept {
  before_sleeping();
  const thread_record::waiting shown("fork_join", place{});
  pool->must_block(*this);  // the record is in a thief's hands, so this wait cannot be abandoned
  std::uint32_t seen = running;
  if (record.state.compare_exchange_strong(seen, owner_asleep, std::memory_order_acquire)) {
    while (record.state.load(std::memory_order_acquire) != done) sleeper->park();
  }
  pool->end_block(*this);
}

void worker::run_stolen(fork_record& record) noexcept {
  record.where = here();
  // release: the owner reads `where` once it sees `started`.
  record.started.store(true, std::memory_order_release);
  trace_point(trace_kind::steal, &record, record.owner);
  worker* const owner = record.owner;
  const task_frame* const from = record.frame;
  trace_point(trace_kind::branch_begin, &record, from == nullptr ? "" : from->name);
  task_frame frame = from == nullptr ? task_frame{nullptr, "", nullptr, nullptr, nullptr, 0, 0} : *from;
  frame.parent = this_frame;
  frame.fork_base = forks.bottom();
  frame.run = nullptr;
  frame.party = &frame;  // runs beside its task, so what the one locks the other must wait for
  this_frame = &frame;
  parker* const owner_sleeper = owner->sleeper;  // a guest's may change as soon as it has joined
  record.run(&record);
  this_frame = frame.parent;
  wait_graph::ended(&frame);
  trace_point(trace_kind::branch_end, &record);
  // The last access to the record: the owner may return from its join, and the record be gone, once it reads `done`.
  if (record.state.exchange(done, std::memory_order_acq_rel) == owner_asleep) owner_sleeper->unpark();
  forks.end_root();
}

// Continuations and resumed coroutines are queued where what they waited for has ended, by chance above a task to which
// they are strangers. Run by who waits for that task they could meet its locks: they are queued again, for all.
bool worker::run_if_descendant(call_node& taken) noexcept {
  if (taken.is_follow_up()) {
    pool->hand_on(call(&taken));
    return false;
  }
  stolen.add();
  trace_point(trace_kind::steal, &taken);
  run_task(taken);
  return true;
}

void worker::run_task(call_node& task) noexcept {
  run.add();
  task.run();
  forks.end_root();
}

}  // namespace tutti
