// What becomes of what the workers of a process_pool say.
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

// The time of the call that it runs is over: that ends here, and not on the thread of timers, as it runs foreign code.
void pool_core::say_overdue(lane& which) noexcept {
  lane::overdue_call call;
  {
    const std::lock_guard lock(mutex_);
    call = which.take_overdue();
  }
  call.tell();
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
    case response_kind::refused: return refused(*from, head.ticket);
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
    std::string_view result;
    std::exception_ptr failure;
    try {
      result = from->incoming.get(head.parcel, head.size, from->socket);
    } catch (const os_error&) {  // we have no memory or descriptors for it
      failure = std::current_exception();
    }
    parcel_head* const parcel = from->incoming.head(head.parcel);
    pop(*from);
    answered(from, head, result, std::move(failure));
    if (parcel != nullptr) parcel->busy.store(0, std::memory_order_release);  // also when it is another one's turn now
  } else if (!from->parts.empty()) {
    from->parts += bytes;
    const std::string whole = std::exchange(from->parts, {});
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
  if (of.initializer_parcel != 0) of.outgoing.take_back(std::exchange(of.initializer_parcel, 0));
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
  recover_handles(from);
  // Made before anything is changed, the record too: it may throw.
  const bool is_over = one->handles_gone || one->refusals + 1 >= most_failures;
  const std::exception_ptr lost =
      !is_over ? nullptr
               : std::make_exception_ptr(worker_lost(
                     task_text(one->name) + " was not begun: its arguments did not reach " +
                     (one->handles_gone ? "its worker for want of descriptors, and so its shared objects are gone"
                                        : "three workers in a row: they have no memory or descriptors for them, or "
                                          "calls have closed their sockets")));
  pop(from);
  ++one->refusals;
  from.jobs.erase(*one);
  from.now = lane::state::leaving;
  from.was_dismissed = true;  // by itself
  one->expiry.cancel();
  take_back_all(in, from);
  if (one->target == nullptr) {
    in.end(*one, nullptr);
  } else if (cancelled_ != nullptr) {
    in.end(*one, cancelled_);
  } else if (one->target->stop_requested()) {
    in.end(*one, cancelled_before(*one));
  } else if (lost != nullptr) {
    in.end(*one, lost);
  } else {
    recover(from, *one);
    enqueue(*one, true);
  }
  settle(in);
}

// What it has not begun is for others; with no call left it is sent away.
void pool_core::worn(lane& which) {
  section in(*this);
  if (which.now == lane::state::open) which.now = lane::state::leaving;
  take_back_all(in, which);
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
  lane::overdue_call overdue = from->take_overdue();  // the next one given may be overdue before this is over
  settle(in);
  std::optional<callbacks_later> together;
  if (in.has_ended_any() || overdue.target != nullptr) together.emplace();
  in.leave();
  overdue.tell();
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

}  // namespace tutti::detail
