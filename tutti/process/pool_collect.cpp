// Who reads the answers of a process_pool's workers: a visitor, or the resident.
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <pthread.h>

#include <csignal>
#include <cstring>

namespace tutti::detail {
namespace {

// The pool whose answers this thread is reading: completing a call may run code that waits for another one.
constinit thread_local const pool_core* collecting_for = nullptr;

constexpr auto for_ever = std::chrono::steady_clock::time_point::max();

}  // namespace

bool pool_core::anything_to_collect() const noexcept {
  if (seen_version_ != version_.load(std::memory_order_acquire)) return true;
  for (const lane_ref& one : seen_) {
    if (!one->responses.is_empty() || one->over.load(std::memory_order_seq_cst)) return true;
  }
  return false;
}

bool pool_core::collect() {
  collecting_for = this;
  bool any = false;
  if (seen_version_ != version_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    seen_ = lanes_;
    seen_version_ = version_.load(std::memory_order_relaxed);
  }
  for (const lane_ref& one : seen_) {
    const bool over = one->over.load(std::memory_order_seq_cst);  // before what it has left is read
    any |= collect_from(one);
    if (!over || one->now == lane::state::dead) continue;
    bury(one);
    any = true;
  }
  collecting_for = nullptr;
  return any;
}

bool pool_core::collect_from(const lane_ref& from) {
  bool any = false;
  try {
    while (record* const next = from->responses.front()) {
      any = true;
      response_head head;
      if (from->responses.front_size() < sizeof head) throw decode_error("a response without a head");
      std::memcpy(&head, next->data(), sizeof head);
      const std::string_view bytes(reinterpret_cast<const char*>(next->data()) + sizeof head,
                                   from->responses.front_size() - sizeof head);
      read(*from, head, bytes);
      from->responses.pop();
      if (from->words.responses_full.load(std::memory_order_seq_cst) == 1 &&
          from->words.responses_full.exchange(0, std::memory_order_seq_cst) == 1) {
        process_futex_wake(from->words.responses_full, 1);
      }
    }
  } catch (const std::exception& wrong) {  // it writes nonsense into its memory, or there is no memory for its result
    if (from->failure == nullptr) {
      from->failure = std::make_exception_ptr(
          worker_lost("worker " + std::to_string(from->number) + " of process_pool \"" + settings_.name +
                      "\" was killed, as it could not be understood: " + wrong.what()));
      from->process->signal(SIGKILL);
    }
  }
  return any;
}

void pool_core::read(lane& from, const response_head& head, std::string_view bytes) {
  switch (head.kind) {
    case response_kind::forget: return from.incoming.forget(head.parcel);
    case response_kind::part: from.parts += bytes; return;
    case response_kind::refused: return refused(from, head.ticket);
    case response_kind::result:
    case response_kind::error: break;
  }
  if (head.parcel != 0) {
    answered(from, head, from.incoming.get(head.parcel, head.size, from.socket));
    from.incoming.give_back(head.parcel);
  } else if (!from.parts.empty()) {
    std::string whole = std::exchange(from.parts, {});
    answered(from, head, whole += bytes);
  } else {
    answered(from, head, bytes);
  }
}

// It goes to another worker, and this one to its end.
void pool_core::refused(lane& from, std::uint64_t ticket) {
  section in(*this);
  if (from.jobs.empty() || from.jobs.front()->ticket != ticket)
    throw decode_error("a refusal of a call that it was not given");
  job* const one = from.jobs.front();
  from.jobs.pop_front();
  from.now = lane::state::leaving;
  one->expiry.cancel();
  if (one->target == nullptr) return in.end(one);
  enqueue(one, true);
  adjust(in);
  dispatch(in);
}

void pool_core::answered(lane& from, const response_head& head, std::string_view bytes) {
  section in(*this);
  from.proved = true;
  if (from.initialising) {
    from.initialising = false;
    if (head.kind == response_kind::error) {
      from.proved = false;
      from.failure = decode_exception(bytes);
    } else {
      failures_ = 0;
    }
    return;
  }
  failures_ = 0;
  if (from.jobs.empty() || from.jobs.front()->ticket != head.ticket)
    throw decode_error("an answer to a call that it was not given");
  job* const one = from.jobs.front();
  from.jobs.pop_front();
  one->expiry.cancel();
  const auto took = static_cast<double>(std::max<std::int64_t>(head.took, 1));
  average_ = average_ <= 0 ? took : average_ + (took - average_) / 8;
  std::exception_ptr failure;
  if (head.kind == response_kind::error) {
    try {
      failure = decode_exception(bytes);
    } catch (const decode_error&) {
      failure = std::current_exception();
    }
    if (one->target != nullptr && one->retries > 0 && !one->target->stop_requested() && is_retryable(failure)) {
      --one->retries;
      ++counts_.retried;
      enqueue(one, true);
      retire_if_due(from);
      adjust(in);
      dispatch(in);
      return;
    }
  }
  ++counts_.completed;
  retire_if_due(from);
  if (from.now == lane::state::leaving) adjust(in);
  dispatch(in);
  balance(in);
  in.leave();
  if (one->target != nullptr) {
    if (failure != nullptr) {
      one->target->fail(std::move(failure));
    } else {
      std::vector<unique_fd> handles;
      if (head.has_handles) handles = from.incoming.take_handles(head.ticket, from.socket);
      const incoming_handles with_result(std::move(handles));
      one->target->complete(bytes);
    }
  }
  delete one;
  if (left_.fetch_sub(1, std::memory_order_seq_cst) == 1) drained_.wake_all();
}

// ---------------------------------------------------------------- who does it

void pool_core::help(bool (*is_done)(const void*), const void* context) noexcept {
  if (collecting_for == this) return;
  struct presence {
    std::atomic<int>& count;
    explicit presence(std::atomic<int>& c) : count(c) { count.fetch_add(1, std::memory_order_seq_cst); }
    ~presence() { count.fetch_sub(1, std::memory_order_relaxed); }
  };
  const presence here(visitors_);
  std::unique_lock visit(collecting_, std::try_to_lock);
  // The resident goes when it has nothing to do; another visitor stays.
  for (spinner spin(spinner::before_sleep); !visit && is_resident_.load(std::memory_order_relaxed) && spin.once();)
    static_cast<void>(visit.try_lock());
  if (!visit) return;
  bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
  for (;;) {
    collect();
    if (is_done(context)) break;
    bool found = false;
    for (spinner spin(spinner::before_sleep); !found && spin.once();) found = anything_to_collect() || is_done(context);
    if (found) continue;
    // Who publishes, or notes a death, does so before it looks at this word; this looks after it was stored. Both
    // seq_cst.
    bell_.visitor.store(bell::asleep, std::memory_order_seq_cst);
    if (!anything_to_collect() && !is_done(context)) process_futex_wait(bell_.visitor, bell::asleep, for_ever);
    bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
  }
  bell_.visitor.store(bell::away, std::memory_order_seq_cst);
  collect();  // what was published while this looked awake
}

void pool_core::reside() {
  ::pthread_setname_np(::pthread_self(), "tutti-pool");
  ::sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // handlers are the program's business
  while (!leaving_.load(std::memory_order_seq_cst)) {
    bool any = false;
    {
      // A visitor does it all, and before it goes it looks once more.
      const std::unique_lock turn(collecting_, std::try_to_lock);
      if (turn) {
        is_resident_.store(true, std::memory_order_relaxed);
        any = collect();
        const auto alone = [this] { return visitors_.load(std::memory_order_relaxed) == 0; };
        for (spinner spin(std::chrono::microseconds(10)); !any && alone() && spin.once();) any = anything_to_collect();
        if (!any) {
          bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
          any = anything_to_collect();
        }
        is_resident_.store(false, std::memory_order_relaxed);
      } else {
        bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
      }
    }
    if (!any && !leaving_.load(std::memory_order_seq_cst)) process_futex_wait(bell_.resident, bell::asleep, for_ever);
    bell_.resident.store(bell::awake, std::memory_order_seq_cst);
  }
}

void pool_core::wake_collector() noexcept {
  std::uint32_t seen = bell_.visitor.load(std::memory_order_seq_cst);
  if (seen == bell::asleep) {
    if (bell_.visitor.compare_exchange_strong(seen, bell::awake, std::memory_order_seq_cst))
      process_futex_wake(bell_.visitor, 1);
    return;
  }
  if (seen == bell::awake) return;
  seen = bell::asleep;
  if (bell_.resident.compare_exchange_strong(seen, bell::awake, std::memory_order_seq_cst))
    process_futex_wake(bell_.resident, 1);
}

}  // namespace tutti::detail
