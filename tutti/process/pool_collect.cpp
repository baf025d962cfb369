// Who reads the answers of a process_pool's workers: a visitor, or the resident.
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>
#include <utility>

namespace tutti::detail {
namespace {

// The pools whose answers this thread is reading: completing a call may run code that waits for another pool's.
struct collecting {
  explicit collecting(const pool_core* p) noexcept : pool(p), outer(std::exchange(innermost, this)) {}
  ~collecting() { innermost = outer; }
  collecting(const collecting&) = delete;
  collecting& operator=(const collecting&) = delete;
  const pool_core* const pool;
  collecting* const outer;
  static constinit thread_local collecting* innermost;
};
constinit thread_local collecting* collecting::innermost = nullptr;

constexpr auto for_ever = std::chrono::steady_clock::time_point::max();

}  // namespace

bool pool_core::is_collecting_here() const noexcept {
  for (const collecting* one = collecting::innermost; one != nullptr; one = one->outer) {
    if (one->pool == this) return true;
  }
  return false;
}

bool pool_core::anything_to_collect() const noexcept {
  if (seen_version_ != version_.load(std::memory_order_seq_cst)) return true;
  for (const lane_ref& one : *seen_) {
    if (!one->responses.is_empty() && !one->is_mad) return true;
    if (one->over.load(std::memory_order_seq_cst) && !one->is_buried) return true;
    if (one->waits_for_room.load(std::memory_order_seq_cst) &&
        one->words.requests_full.load(std::memory_order_seq_cst) == 0)
      return true;
  }
  return false;
}

bool pool_core::collect() {
  const collecting here(this);
  bool any = false;
  try {
    if (seen_version_ != version_.load(std::memory_order_seq_cst)) {
      const std::lock_guard lock(mutex_);
      seen_ = std::make_shared<const std::vector<lane_ref>>(lanes_);
      seen_version_ = version_.load(std::memory_order_relaxed);
    }
    const auto lanes = seen_;  // a callback that waits collects, too
    for (const lane_ref& one : *lanes) {
      if (one->is_buried) continue;
      const bool over = one->over.load(std::memory_order_seq_cst);  // before what it has left is read
      any |= collect_from(one);
      if (over) {
        bury(one);
        any = true;
      } else if (one->waits_for_room.load(std::memory_order_relaxed) &&
                 one->words.requests_full.load(std::memory_order_seq_cst) == 0) {
        section in(*this);
        one->waits_for_room.store(false, std::memory_order_relaxed);
        settle(in);
        any = true;
      }
    }
  } catch (const std::exception& wrong) {  // no memory: the next look tries again
    log(log_level::error, wrong.what());
  }
  return any;
}

bool pool_core::collect_from(const lane_ref& from) {
  // So that one worker that never stops does not keep the others waiting.
  constexpr int most_at_once = 1024;
  bool any = false;
  try {
    for (int n = 0; n < most_at_once && !from->is_mad; ++n) {
      record* const next = from->responses.front();
      if (next == nullptr) break;
      any = true;
      response_head head;
      if (from->responses.front_size() < sizeof head) throw decode_error("a response without a head");
      std::memcpy(&head, next->data(), sizeof head);
      const std::string_view bytes(reinterpret_cast<const char*>(next->data()) + sizeof head,
                                   from->responses.front_size() - sizeof head);
      read(from, head, bytes);
    }
  } catch (const std::exception& wrong) {  // it writes nonsense
    from->is_mad = true;
    const section in(*this);
    from->process->signal(SIGKILL);
    try {
      from->failure = std::make_exception_ptr(
          worker_lost("worker " + std::to_string(from->number) + " of process_pool \"" + settings_.name +
                      "\" was killed, as it could not be understood: " + wrong.what()));
    } catch (const std::bad_alloc&) {  // then its death says enough
    }
  }
  return any;
}

// Gives the record back that was read. Before a call is completed: its callbacks may collect, and would read it again.
void pool_core::pop(lane& from) noexcept {
  from.responses.pop();
  if (from.words.responses_full.load(std::memory_order_seq_cst) == 1 &&
      from.words.responses_full.exchange(0, std::memory_order_seq_cst) == 1) {
    process_futex_wake(from.words.responses_full, 1);
  }
}

void pool_core::read(const lane_ref& from, const response_head& head, std::string_view bytes) {
  // An answer in several records is one for which there was no shared memory.
  constexpr std::size_t most_in_parts = std::size_t{1} << 31;
  switch (head.kind) {
    case response_kind::ready: pop(*from); return initialised(*from, nullptr);
    case response_kind::forget: pop(*from); return from->incoming.forget(head.parcel);
    case response_kind::refused: pop(*from); return refused(*from, head.ticket);
    case response_kind::worn: pop(*from); return worn(*from);
    case response_kind::part:
      if (from->parts.size() + bytes.size() > most_in_parts) throw decode_error("an answer without an end");
      from->parts += bytes;
      return pop(*from);
    case response_kind::result:
    case response_kind::error: break;
    default: throw decode_error("an answer of an unknown kind");
  }
  if (head.parcel != 0) {
    pop(*from);
    std::string_view result;
    std::exception_ptr failure;
    try {
      result = from->incoming.get(head.parcel, head.size, from->socket);
    } catch (const os_error&) {  // we have no memory or descriptors for it
      failure = std::current_exception();
    }
    answered(from, head, result, std::move(failure));
    from->incoming.give_back(head.parcel);
  } else if (!from->parts.empty()) {
    std::string whole = std::exchange(from->parts, {});
    whole += bytes;
    pop(*from);
    answered(from, head, whole);
  } else {
    if (bytes.size() > most_inline) throw decode_error("an answer that should have come in several records");
    char kept[most_inline];
    bytes.copy(kept, bytes.size());
    pop(*from);
    answered(from, head, std::string_view(kept, bytes.size()));
  }
}

void pool_core::initialised(lane& of, std::exception_ptr failure) {
  section in(*this);
  of.initialising = false;
  if (failure != nullptr) {
    of.failure = std::move(failure);  // it is about to end
    return;
  }
  of.is_ready = true;
  of.stalled = false;
  failures_ = 0;
  settle(in);
}

// It goes to another worker, and this one to its end.
void pool_core::refused(lane& from, std::uint64_t ticket) {
  section in(*this);
  job* const one = from.jobs.front();
  if (one == nullptr || one->ticket != ticket) throw decode_error("a refusal of a call that it was not given");
  from.jobs.erase(*one);
  from.now = lane::state::leaving;
  from.was_dismissed = true;  // by itself
  one->expiry.cancel();
  if (one->target == nullptr) {
    in.end(*one, nullptr);
  } else if (cancelled_ != nullptr) {
    in.end(*one, cancelled_);
  } else if (one->handles_gone) {
    in.end(*one, std::make_exception_ptr(worker_lost(task_text(one->name) + " was not begun: another call has closed " +
                                                     "the socket of its worker, and its shared objects with it")));
  } else {
    recover(from, *one);
    enqueue(*one, true);
  }
  take_back_all(from);
  settle(in);
}

// What it has not begun is for others; with no call left it is sent away.
void pool_core::worn(lane& which) {
  section in(*this);
  if (which.now == lane::state::open) which.now = lane::state::leaving;
  take_back_all(which);
  settle(in);
}

void pool_core::answered(const lane_ref& from, const response_head& head, std::string_view bytes,
                         std::exception_ptr failure) {
  // What can fail, and runs foreign code, comes first.
  const bool is_lost = failure != nullptr;  // with the memory it was in, which the worker would use again
  std::vector<unique_fd> handles;
  try {
    if (head.has_handles != 0) handles = from->incoming.take_handles(head.ticket, from->socket);
    if (head.kind == response_kind::error && !is_lost) failure = decode_exception(bytes);
  } catch (...) {
    failure = std::current_exception();
  }
  section in(*this);
  job* const one = from->jobs.front();
  if (one == nullptr || one->ticket != head.ticket) {
    if (!from->initialising || failure == nullptr) {
      if (from->initialising) return;  // the initializer has returned; that it is ready comes next
      throw decode_error("an answer to a call that it was not given");
    }
    in.leave();
    return initialised(*from, std::move(failure));
  }
  from->jobs.erase(*one);
  if (is_lost && !say_lost(*from, head.parcel) && from->now == lane::state::open) from->now = lane::state::leaving;
  from->condemned = false;
  from->stalled = false;
  one->expiry.cancel();
  const auto took = static_cast<double>(std::max<std::int64_t>(head.took, 1));
  average_ = average_ <= 0 ? took : average_ + (took - average_) / 8;
  const bool again = failure != nullptr && one->target != nullptr && one->retries > 0 && cancelled_ == nullptr &&
                     !one->target->stop_requested() && is_retryable(failure);
  if (again) {
    --one->retries;
    ++counts_.retried;
    recover(*from, *one);
    enqueue(*one, true);
  } else {
    ++counts_.completed;
    if (one->parcel != 0) from->outgoing.take_back(one->parcel);
  }
  settle(in);
  in.leave();
  if (again) return;
  if (one->target == nullptr) {
    // It has its end.
  } else if (failure != nullptr) {
    one->target->fail(std::move(failure));
  } else {
    const incoming_handles with_result(std::move(handles));
    one->target->complete(bytes);
  }
  delete one;
  if (left_.fetch_sub(1, std::memory_order_seq_cst) == 1) drained_.wake_all();
}

// ---------------------------------------------------------------- who does it

// Collects, or sleeps until there is something to collect. The caller holds collecting_.
void pool_core::collect_until(bool (*is_done)(const void*), const void* context) {
  for (;;) {
    collect();
    if (is_done(context)) return;
    bool found = false;
    for (spinner spin(spinner::before_sleep); !found && spin.once();) found = anything_to_collect() || is_done(context);
    if (found) continue;
    before_sleeping();
    bell_.visitor_hint.sleeps();
    bell_.visitor.store(bell::asleep, std::memory_order_seq_cst);
    if (!anything_to_collect() && !is_done(context)) {
      process_futex_wait(bell_.visitor, bell::asleep, for_ever);
      bell_.visitor_hint.woken();
    }
    bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
  }
}

void pool_core::help(bool (*is_done)(const void*), const void* context) noexcept {
  if (!is_of_this_process()) return;
  if (is_collecting_here()) {
    // A callback of one call waits for another one: nobody else can collect now. Who collects further out looks again
    // when it has us back, visitor or resident, so what comes after the last look here is not overlooked.
    const auto before = bell_.visitor.exchange(bell::awake, std::memory_order_seq_cst);
    collect_until(is_done, context);
    return bell_.visitor.store(before, std::memory_order_seq_cst);
  }
  struct presence {
    std::atomic<int>& count;
    explicit presence(std::atomic<int>& c) : count(c) { count.fetch_add(1, std::memory_order_seq_cst); }
    ~presence() { count.fetch_sub(1, std::memory_order_relaxed); }
  };
  {
    const presence here(visitors_);
    std::unique_lock visit(collecting_, std::try_to_lock);
    // The resident goes when it has nothing to do; another visitor stays.
    for (spinner spin(spinner::before_sleep); !visit && is_resident_.load(std::memory_order_relaxed) && spin.once();)
      static_cast<void>(visit.try_lock());
    if (!visit) return;
    bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
    collect_until(is_done, context);
    bell_.visitor.store(bell::away, std::memory_order_seq_cst);
    collect();  // what was published while this looked awake
  }
  // A resident that found this one here sleeps without having looked; see reside().
  if (was_sent_off_.exchange(false, std::memory_order_seq_cst)) ring_loudly(bell_);
}

void pool_core::reside() {
  ::pthread_setname_np(::pthread_self(), "tutti-pool");
  ::sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // handlers are the program's business
  while (!leaving_.load(std::memory_order_seq_cst)) {
    std::unique_lock turn(collecting_, std::try_to_lock);
    bool any = false;
    if (!turn) {
      // A visitor does it all. It looks at this word when it has unlocked; so it sees it, or this gets the lock.
      bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
      was_sent_off_.store(true, std::memory_order_seq_cst);
      static_cast<void>(turn.try_lock());
    }
    if (turn) {
      is_resident_.store(true, std::memory_order_relaxed);
      bell_.resident.store(bell::awake, std::memory_order_seq_cst);
      any = collect();
      const auto alone = [this] { return visitors_.load(std::memory_order_relaxed) == 0; };
      for (spinner spin(std::chrono::microseconds(10)); !any && alone() && spin.once();) any = anything_to_collect();
      if (!any) {
        bell_.resident_hint.sleeps();
        bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
        any = anything_to_collect();
      }
      is_resident_.store(false, std::memory_order_relaxed);
      turn.unlock();
    }
    if (!any && !leaving_.load(std::memory_order_seq_cst)) {
      process_futex_wait(bell_.resident, bell::asleep, for_ever);
      bell_.resident_hint.woken();
    }
    bell_.resident.store(bell::awake, std::memory_order_seq_cst);
  }
}

}  // namespace tutti::detail
