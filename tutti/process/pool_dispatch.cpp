// From the queues of a process_pool into the lanes of its workers, and back.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <stdexcept>

namespace tutti::detail {
namespace {

// So that a worker has something to do while its answer is read; a call that takes longer than this waits alone.
constexpr double prefetched_ns = 200'000;
constexpr std::size_t most_prefetched = 128;
// Of calls with long arguments or shared objects: each takes memory, descriptors and room in the socket.
constexpr std::size_t most_costly = 4;

}  // namespace

void pool_core::settle(section& in) noexcept {
  try {
    for (const lane_ref& one : lanes_) retire_if_due(*one);
    adjust(in);
    dispatch(in);
    balance(in);
  } catch (const std::exception& wrong) {  // no memory: what comes next tries again
    log(log_level::error, wrong.what());
  }
}

void pool_core::enqueue(job& one, bool at_front) noexcept {
  job_list& queue = queues_.find(one.priority)->second;  // made when it was submitted
  at_front ? queue.push_front(one) : queue.push_back(one);
  ++counts_.queued;
}

job* pool_core::next_in_queue() const noexcept {
  for (const auto& [priority, queue] : queues_) {
    if (!queue.empty()) return queue.front();
  }
  return nullptr;
}

void pool_core::take_from_queue(job& one) noexcept {
  queues_.find(one.priority)->second.erase(one);
  --counts_.queued;
}

// It is to leave this process, if nobody has cancelled it.
bool pool_core::leave(section& in, job& one) {
  if (one.work.operator->() == nullptr) return true;
  if (one.target->begin(shared_from_this())) {
    static_cast<void>(one.work.release());
    return true;
  }
  take_from_queue(one);
  in.end(one, nullptr);
  return false;
}

void pool_core::dispatch(section& in) {
  while (job* const next = next_in_queue()) {
    lane* const to = lane_for(*next);
    if (to == nullptr) return;
    if (!leave(in, *next)) continue;
    take_from_queue(*next);
    if (next->error != nullptr) {  // its arguments are gone for want of memory
      in.end(*next, std::move(next->error));
      continue;
    }
    try {
      if (give(*to, *next)) continue;
      enqueue(*next, true);  // another lane may have room
      // Its socket is full of what belongs to calls that were taken back. It would read that with its next call.
      if (to->stalled && to->jobs.empty()) replace(in, *to);
    } catch (const closed&) {  // a call has shut the worker's socket down
      enqueue(*next, true);
      replace(in, *to);
    } catch (const std::length_error&) {
      in.end(*next, std::current_exception());
    } catch (const std::exception&) {  // no memory, no descriptors
      if (std::any_of(lanes_.begin(), lanes_.end(), [](const lane_ref& l) { return !l->jobs.empty(); })) {
        enqueue(*next, true);  // when those have given back what they have
        return;
      }
      in.end(*next, std::current_exception());
    }
  }
}

std::size_t pool_core::depth() const noexcept {
  if (average_ <= 0) return 2;
  return static_cast<std::size_t>(std::clamp(prefetched_ns / average_, 1.0, static_cast<double>(most_prefetched)));
}

bool pool_core::may_take(lane& one) noexcept {
  return one.now == lane::state::open && !one.condemned && !one.stalled &&
         (settings_.max_tasks == 0 || one.given < settings_.max_tasks) && has_room(one);
}

lane* pool_core::lane_for(const job& next) noexcept {
  std::size_t limit = depth();
  if (!next.handles.empty() || next.bytes.size() > most_inline) limit = std::min(limit, most_costly);
  if (next.limits.timeout) limit = 1;                         // counted from its beginning, which must be known
  if (!next.handles.empty() && next.retries == 0) limit = 1;  // it cannot be given to anybody else afterwards
  lane* best = nullptr;
  for (const lane_ref& one : lanes_) {
    if (one->jobs.size() >= limit || !may_take(*one)) continue;
    if (next.limits.timeout && !one->is_ready) continue;
    // An initializer may take long, or never end.
    if (best == nullptr || (one->is_ready && !best->is_ready) ||
        (one->is_ready == best->is_ready && one->jobs.size() < best->jobs.size()))
      best = one.get();
  }
  return best;
}

// ---------------------------------------------------------------- into a lane

bool pool_core::has_room(lane& one) noexcept {
  if (!one.full) return true;
  if (one.words.requests_full.load(std::memory_order_seq_cst) != 0) return false;
  one.full = false;
  one.waits_for_room.store(false, std::memory_order_relaxed);
  return true;
}

bool pool_core::write(lane& to, const request_head& head, std::string_view bytes) {
  const auto size = static_cast<std::uint32_t>(sizeof head + bytes.size());
  std::byte* room = to.requests.prepare(size);
  if (room == nullptr) {
    // The worker rings when it has made some. It may have done so before it could see the word (both seq_cst).
    to.waits_for_room.store(true, std::memory_order_seq_cst);
    to.words.requests_full.store(1, std::memory_order_seq_cst);
    room = to.requests.prepare(size);
    if (room == nullptr) {
      to.full = true;
      if (to.requests.has_mad_reader()) to.process->signal(SIGKILL);
      return false;
    }
    to.words.requests_full.store(0, std::memory_order_seq_cst);
    to.waits_for_room.store(false, std::memory_order_seq_cst);
  }
  std::memcpy(room, &head, sizeof head);
  if (!bytes.empty()) std::memcpy(room + sizeof head, bytes.data(), bytes.size());
  return true;
}

std::uint32_t pool_core::number_of(const function_info& function, const char* name) {
  const std::pair<const function_info*, const char*> key(&function, name);
  if (last_number_ < functions_.size() && functions_[last_number_] == key) return last_number_;
  functions_.reserve(functions_.size() + 1);
  const auto [at, is_new] = numbers_.try_emplace(key, static_cast<std::uint32_t>(functions_.size()));
  if (is_new) functions_.push_back(key);
  return last_number_ = at->second;
}

bool pool_core::define(lane& to, std::uint32_t number) {
  if (number < to.defined.size() && to.defined[number]) return true;
  const auto [function, name] = functions_[number];
  const std::string bytes =
      encode(function_definition{std::string(function->name), function->signature, function->library, name});
  if (bytes.size() > most_inline)
    throw std::length_error("process_pool: a function whose name has " + std::to_string(bytes.size()) + " bytes");
  if (to.defined.size() <= number) to.defined.resize(number + 1);
  request_head head;
  head.kind = request_kind::define;
  head.function = number;
  if (!write(to, head, bytes)) return false;
  to.requests.publish();
  to.defined[number] = true;
  return true;
}

// False: there is no room now. When it throws, nothing was published.
bool pool_core::write_call(lane& to, job& one) {
  request_head head;
  head.function = number_of(*one.function, one.name);
  if (!define(to, head.function)) return false;
  head.ticket = one.ticket;
  head.timeout = one.limits.timeout ? one.limits.timeout->count() : 0;
  head.has_handles = one.handles.empty() ? 0 : 1;
  head.size = one.bytes.size();
  const bool is_long = one.bytes.size() > most_inline;
  if (is_long) {
    head.parcel = to.outgoing.put(one.bytes, to.socket);
    if (head.parcel == 0) {
      to.stalled = true;  // until it begins with its calls, and reads what is there
      return false;
    }
  }
  bool written = false;
  try {
    written = write(to, head, is_long ? std::string_view() : std::string_view(one.bytes));
    if (written && head.has_handles != 0 && !send_handles(head.ticket, one.handles, to.socket)) {
      to.stalled = true;
      written = false;
    }
  } catch (...) {
    if (is_long) to.outgoing.take_back(head.parcel);
    throw;
  }
  if (!written) {
    if (is_long) to.outgoing.take_back(head.parcel);
    return false;
  }
  one.position = to.requests.publish();
  if (!is_long) return true;
  one.parcel = head.parcel;
  one.size = one.bytes.size();
  if (one.bytes.capacity() > spare_.capacity() && one.bytes.capacity() <= most_spare) spare_.swap(one.bytes);
  std::string().swap(one.bytes);
  while (const std::uint32_t dropped = to.outgoing.take_dropped()) {
    request_head forget;
    forget.kind = request_kind::forget;
    forget.parcel = dropped;
    if (write(to, forget, {})) to.requests.publish();  // without room it stays mapped there
  }
  return true;
}

bool pool_core::give(lane& to, job& one) {
  one.ticket = ++to.last_ticket;  // not used again, as a timer may know it
  if (one.limits.timeout) {
    one.expiry = call_later(*one.limits.timeout,
                            [self = weak_from_this(), where = std::weak_ptr<lane>(ref_of(to)), ticket = one.ticket] {
                              if (const auto pool = self.lock()) pool->expired(where, ticket);
                            });
  }
  try {
    if (!write_call(to, one)) {
      one.expiry.cancel();
      return false;
    }
  } catch (...) {
    one.expiry.cancel();
    throw;
  }
  ++to.given;
  to.jobs.push_back(one);
  if (!one.handles.empty() && one.retries == 0) {
    one.handles.clear();
    one.handles_gone = true;
  }
  if (one.target->stop_requested()) ask_to_stop(to, one);
  wake_worker(to);
  return true;
}

// The parcel did not get here, so the worker must not use it again.
bool pool_core::say_lost(lane& to, std::uint32_t parcel) noexcept {
  request_head head;
  head.kind = request_kind::lost;
  head.parcel = parcel;
  if (!write(to, head, {})) return false;
  to.requests.publish();
  return true;
}

pool_core::lane_ref pool_core::ref_of(const lane& one) const {
  const auto found = std::find_if(lanes_.begin(), lanes_.end(), [&](const lane_ref& l) { return l.get() == &one; });
  return found == lanes_.end() ? nullptr : *found;
}

void pool_core::wake_worker(lane& one) noexcept {
  // The record was published before (seq_cst); the worker says that it sleeps before it looks for the last time.
  if (one.words.worker_sleeps.load(std::memory_order_seq_cst) == 0) return;
  if (one.words.worker_sleeps.exchange(0, std::memory_order_seq_cst) != 1) return;
  one.words.worker_hint.wakes();
  process_futex_wake(one.words.worker_sleeps, 1);
}

void pool_core::ask_to_stop(lane& one, const job& which) noexcept {
  one.requests.ask_to_stop(which.position);
  one.words.stops.fetch_add(1, std::memory_order_seq_cst);
  process_futex_wake(one.words.stops, 1);
}

// ---------------------------------------------------------------- and back

// True: the worker has not begun with it, and never will; it is in no list then.
bool pool_core::take_back(lane& from, job& one) noexcept {
  if (one.handles_gone || !from.requests.revoke(one.position)) return false;
  from.jobs.erase(one);
  if (from.jobs.empty()) from.stalled = false;
  --from.given;
  one.expiry.cancel();
  recover(from, one);
  return true;
}

void pool_core::take_back_all(section& in, lane& from) noexcept {
  while (job* const last = from.jobs.back()) {
    if (!take_back(from, *last)) break;
    if (last->target == nullptr) {
      in.end(*last, nullptr);  // its time was over before it began
    } else {
      enqueue(*last, true);
    }
  }
}

// Of a worker that reads no more. Handles that are not kept go to one that has no other call: it is the first. All
// else in its mailbox is for nobody, which those at the other ends must see.
void pool_core::recover_handles(lane& from) noexcept {
  job* const one = from.jobs.front();
  const bool is_wanted = one != nullptr && one->handles_gone;
  auto found = take_unread_handles(is_wanted ? one->ticket : 0, from.mailbox);
  from.mailbox.close();
  if (!is_wanted || !found) return;
  one->handles = std::move(*found);
  one->handles_gone = false;
}

// Its arguments come back from the parcel.
void pool_core::recover(lane& from, job& one) noexcept {
  if (one.parcel == 0) return;
  try {
    one.bytes = from.outgoing.bytes(one.parcel, one.size);
  } catch (...) {
    one.error = std::current_exception();  // what it ends with when its turn comes
  }
  from.outgoing.take_back(std::exchange(one.parcel, 0));
}

// Somebody has nothing to do, and nothing waits but what others have not begun: half of the longest lane; all of one
// whose worker is not ready.
void pool_core::balance(section& in) {
  for (std::size_t i = 0; i < lanes_.size() && next_in_queue() == nullptr; ++i) {  // dispatch may add lanes
    lane& idle = *lanes_[i];
    if (!idle.is_ready || !idle.jobs.empty() || !may_take(idle)) continue;
    lane* longest = nullptr;
    for (const lane_ref& one : lanes_) {
      const std::size_t kept = one->is_ready ? 1 : 0;
      if (one->jobs.size() > kept && (longest == nullptr || one->jobs.size() > longest->jobs.size()))
        longest = one.get();
    }
    if (longest == nullptr) return;
    job_list moved;
    const std::size_t size = longest->jobs.size();
    for (std::size_t n = longest->is_ready ? size / 2 : size; n > 0; --n) {
      job& last = *longest->jobs.back();
      if (last.limits.timeout || !take_back(*longest, last)) break;
      moved.push_front(last);
    }
    if (moved.empty()) return;
    while (job* const one = moved.back()) {
      moved.erase(*one);
      enqueue(*one, true);
    }
    dispatch(in);
  }
}

}  // namespace tutti::detail
