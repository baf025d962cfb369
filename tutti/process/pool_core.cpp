#include <tutti/process/pool_core.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>
#include <stdexcept>

namespace tutti::detail {
namespace {

// So that a worker has something to do while its answer is read; a call that takes longer than this waits alone.
constexpr double prefetched_ns = 200'000;
constexpr std::size_t most_prefetched = 128;
// Messages with descriptors wait in the socket until their call begins.
constexpr std::size_t most_with_handles = 4;
// Encoded arguments longer than this give their memory back.
constexpr std::size_t most_spare = std::size_t{256} << 20;

thread_local std::string encoded;

}  // namespace

job::job(call w)
    : work(std::move(w)),
      target(work->portable()),
      function(&target->function()),
      name(work->name()),
      limits(target->limits()),
      retries(limits.retries),
      priority(work->priority()) {}

pool_core::pool_core(pool_settings settings)
    : settings_(std::move(settings)),
      bell_memory_(sizeof(bell), "the bell of process_pool \"" + settings_.name + '"'),
      bell_(*new(bell_memory_.data()) bell()),
      wanted_(settings_.workers) {}

// ---------------------------------------------------------------- calls come in

void pool_core::start(call work) {
  portable_call* const target = work->portable();
  if (target == nullptr) throw std::invalid_argument("process_pool: only functions by name can leave this process");
  encoded.clear();
  outgoing_handles handles;
  target->encode_arguments(encoded);  // what cannot be encoded is refused here, by whoever submits it
  if (handles.all().size() > most_message_handles) {
    throw std::length_error("process_pool \"" + settings_.name + "\": " + std::to_string(handles.all().size()) +
                            " shared objects in the arguments of one call; the limit is " +
                            std::to_string(most_message_handles));
  }
  auto made = std::make_unique<job>(std::move(work));
  made->handles = handles.take();
  if (encoded.size() > most_inline) {
    made->bytes = std::move(encoded);
  } else {
    made->bytes = encoded;
  }
  section in(*this);
  if (closed_) {
    in.leave();
    throw closed("process_pool \"" + settings_.name + "\" was shut down: it takes no more calls");
  }
  left_.fetch_add(1, std::memory_order_seq_cst);
  enqueue(made.release(), false);
  if (failures_ >= most_failures || lanes_.empty()) {  // try again, for this call
    failures_ = 0;
    adjust(in);
  }
  dispatch(in);
  if (spare_.capacity() > encoded.capacity()) encoded.swap(spare_);
}

void pool_core::enqueue(job* one, bool at_front) {
  std::deque<job*>& queue = queues_[one->priority];
  at_front ? queue.push_front(one) : queue.push_back(one);
  ++counts_.queued;
}

void pool_core::dispatch(section& in) {
  while (!queues_.empty()) {
    const auto first = queues_.begin();
    job* const next = first->second.front();
    lane* const to = lane_for(*next);
    if (to == nullptr) return;
    const auto take = [&] {
      first->second.pop_front();
      if (first->second.empty()) queues_.erase(first);
      --counts_.queued;
    };
    if (next->work.operator->() != nullptr) {
      if (!next->target->begin(shared_from_this())) {  // cancelled
        take();
        in.end(next);
        continue;
      }
      static_cast<void>(next->work.release());
    }
    try {
      if (!give(in, *to, *next)) return;  // no room: when it has answered
      take();
    } catch (...) {  // no memory for what it needs
      take();
      in.end(next, std::current_exception());
    }
  }
}

std::size_t pool_core::depth() const noexcept {
  if (average_ <= 0) return 2;
  return static_cast<std::size_t>(std::clamp(prefetched_ns / average_, 1.0, static_cast<double>(most_prefetched)));
}

lane* pool_core::lane_for(const job& next) noexcept {
  std::size_t limit = depth();
  if (!next.handles.empty()) limit = std::min(limit, most_with_handles);
  if (next.limits.timeout) limit = 1;  // it must be known when it begins
  lane* best = nullptr;
  for (const lane_ref& one : lanes_) {
    if (one->now != lane::state::open || one->jobs.size() >= limit) continue;
    if (settings_.max_tasks != 0 && one->given >= settings_.max_tasks) continue;
    if (best == nullptr || one->jobs.size() < best->jobs.size()) best = one.get();
  }
  return best;
}

// ---------------------------------------------------------------- into a lane

std::uint32_t pool_core::number_of(const function_info& function, const char* name) {
  const std::pair<const function_info*, const char*> key(&function, name);
  if (last_number_ < functions_.size() && functions_[last_number_] == key) return last_number_;
  const auto [at, is_new] = numbers_.try_emplace(key, static_cast<std::uint32_t>(functions_.size()));
  if (is_new) functions_.push_back(key);
  return last_number_ = at->second;
}

bool pool_core::write(lane& to, const request_head& head, std::string_view bytes) {
  std::byte* const room = to.requests.prepare(static_cast<std::uint32_t>(sizeof head + bytes.size()));
  if (room == nullptr) return false;
  std::memcpy(room, &head, sizeof head);
  if (!bytes.empty()) std::memcpy(room + sizeof head, bytes.data(), bytes.size());
  return true;
}

bool pool_core::define(lane& to, std::uint32_t number) {
  if (number < to.defined.size() && to.defined[number]) return true;
  const auto [function, name] = functions_[number];
  const std::string bytes =
      encode(function_definition{std::string(function->name), function->signature, function->library, name});
  if (bytes.size() > most_inline)
    throw std::length_error("process_pool: a function whose name has " + std::to_string(bytes.size()) + " bytes");
  request_head head;
  head.kind = request_kind::define;
  head.function = number;
  if (!write(to, head, bytes)) return false;
  to.requests.publish();
  if (to.defined.size() <= number) to.defined.resize(number + 1);
  to.defined[number] = true;
  return true;
}

// False: there is no room in its ring now.
bool pool_core::write_call(lane& to, job& one) {
  request_head head;
  head.function = number_of(*one.function, one.name);
  if (!define(to, head.function)) return false;
  head.ticket = to.last_ticket + 1;
  head.timeout = one.limits.timeout ? one.limits.timeout->count() : 0;
  if (one.bytes.empty()) {         // a parcel had them
    const outgoing_handles again;  // the handles are still here
    one.target->encode_arguments(one.bytes);
  }
  head.size = one.bytes.size();
  head.has_handles = !one.handles.empty();
  const bool is_long = one.bytes.size() > most_inline;
  if (!is_long) {
    if (!write(to, head, one.bytes)) return false;
  } else {
    if (to.requests.prepare(sizeof head) == nullptr) return false;
    head.parcel = to.outgoing.put(one.bytes, to.socket);
    if (one.bytes.capacity() > spare_.capacity() && one.bytes.capacity() <= most_spare) spare_.swap(one.bytes);
    std::string().swap(one.bytes);
    while (const std::uint32_t dropped = to.outgoing.take_dropped()) {
      request_head forget;
      forget.kind = request_kind::forget;
      forget.parcel = dropped;
      if (write(to, forget, {})) to.requests.publish();  // without room it stays with the worker
    }
    write(to, head, {});
  }
  // If the worker is gone, this call will be given to another one.
  if (head.has_handles) send_handles(head.ticket, one.handles, to.socket);
  one.ticket = ++to.last_ticket;
  one.position = to.requests.publish();
  return true;
}

bool pool_core::give(section& in, lane& to, job& one) {
  if (!write_call(to, one)) return false;
  ++to.given;
  to.jobs.push_back(&one);
  if (one.limits.timeout) {
    const std::weak_ptr<pool_core> self = weak_from_this();
    const auto found = std::find_if(lanes_.begin(), lanes_.end(), [&](const lane_ref& l) { return l.get() == &to; });
    const std::weak_ptr<lane> where = *found;
    one.expiry = call_later(*one.limits.timeout, [self, where, ticket = one.ticket] {
      if (const auto pool = self.lock()) pool->expired(where, ticket);
    });
  }
  if (one.target != nullptr && one.target->stop_requested()) ask_to_stop(to, one.ticket);
  wake_worker(to);
  static_cast<void>(in);
  return true;
}

void pool_core::wake_worker(lane& one) noexcept {
  // The record was published before (seq_cst); the worker says that it sleeps before it looks for the last time.
  if (one.words.worker_sleeps.load(std::memory_order_seq_cst) == 0) return;
  if (one.words.worker_sleeps.exchange(0, std::memory_order_seq_cst) == 1)
    process_futex_wake(one.words.worker_sleeps, 1);
}

// Somebody has nothing to do, and nothing waits but what others have not begun: half of the longest lane.
void pool_core::balance(section& in) {
  if (!queues_.empty()) return;
  for (const lane_ref& idle : lanes_) {
    if (idle->now != lane::state::open || !idle->jobs.empty()) continue;
    lane* longest = nullptr;
    for (const lane_ref& one : lanes_) {
      if (one->jobs.size() > 1 && (longest == nullptr || one->jobs.size() > longest->jobs.size())) longest = one.get();
    }
    if (longest == nullptr) return;
    for (std::size_t n = longest->jobs.size() / 2; n > 0; --n) {
      job* const last = longest->jobs.back();
      if (!longest->requests.revoke(last->position)) break;
      longest->jobs.pop_back();
      --longest->given;
      last->expiry.cancel();
      enqueue(last, true);
    }
    dispatch(in);
  }
}

// ---------------------------------------------------------------- stops and time limits

void pool_core::ask_to_stop(lane& one, std::uint64_t ticket) noexcept {
  one.words.stop_ticket.store(ticket, std::memory_order_seq_cst);
  one.words.stops.fetch_add(1, std::memory_order_seq_cst);
  process_futex_wake(one.words.stops, 1);
}

void pool_core::stop(portable_call& call) noexcept {
  section in(*this);
  for (const lane_ref& one : lanes_) {
    const auto found =
        std::find_if(one->jobs.begin(), one->jobs.end(), [&](const job* j) { return j->target == &call; });
    if (found == one->jobs.end()) continue;
    job* const stopped = *found;
    if (!one->requests.revoke(stopped->position)) return ask_to_stop(*one, stopped->ticket);
    one->jobs.erase(found);
    --one->given;
    stopped->expiry.cancel();
    return in.end(stopped,
                  std::make_exception_ptr(cancelled(task_text(stopped->name) + " was cancelled before it began")));
  }
  for (auto queue = queues_.begin(); queue != queues_.end(); ++queue) {  // one that waits for its next attempt
    const auto found =
        std::find_if(queue->second.begin(), queue->second.end(), [&](const job* j) { return j->target == &call; });
    if (found == queue->second.end()) continue;
    job* const stopped = *found;
    queue->second.erase(found);
    if (queue->second.empty()) queues_.erase(queue);
    --counts_.queued;
    return in.end(stopped, std::make_exception_ptr(cancelled(task_text(stopped->name) + " was cancelled")));
  }
}

void pool_core::expired(const std::weak_ptr<lane>& where, std::uint64_t ticket) {
  const lane_ref at = where.lock();
  if (at == nullptr) return;
  section in(*this);
  const auto found = std::find_if(at->jobs.begin(), at->jobs.end(), [&](const job* j) { return j->ticket == ticket; });
  if (found == at->jobs.end() || (*found)->target == nullptr) return;
  job& late = **found;
  in.fail(late, std::make_exception_ptr(timed_out(timeout_text(late.name, *late.limits.timeout))));
  ask_to_stop(*at, ticket);
  const std::weak_ptr<pool_core> self = weak_from_this();
  late.expiry = call_later(settings_.grace, [self, where, ticket] {
    if (const auto pool = self.lock()) pool->kill_if_still(where, ticket);
  });
  in.leave();
  wake_collector();
}

void pool_core::kill_if_still(const std::weak_ptr<lane>& where, std::uint64_t ticket) {
  const lane_ref at = where.lock();
  if (at == nullptr) return;
  const section in(*this);
  const bool still = std::any_of(at->jobs.begin(), at->jobs.end(), [&](const job* j) { return j->ticket == ticket; });
  if (still && at->process != nullptr) at->process->signal(SIGKILL);
}

// ---------------------------------------------------------------- the end, and what can be seen

void pool_core::shutdown(shutdown_mode mode) {
  {
    section in(*this);
    closed_ = true;
    if (mode == shutdown_mode::cancel) {
      give_up_waiting(in, std::make_exception_ptr(cancelled("process_pool \"" + settings_.name + "\" was shut down")));
      for (const lane_ref& one : lanes_) {
        while (one->jobs.size() > 1 && one->requests.revoke(one->jobs.back()->position)) {
          in.end(one->jobs.back(), std::make_exception_ptr(cancelled(task_text(one->jobs.back()->name) +
                                                                     " was cancelled: its pool was shut down")));
          one->jobs.pop_back();
        }
        if (one->jobs.empty()) continue;
        const std::uint64_t ticket = one->jobs.front()->ticket;
        ask_to_stop(*one, ticket);
        const std::weak_ptr<pool_core> self = weak_from_this();
        one->jobs.front()->expiry = call_later(settings_.grace, [self, where = std::weak_ptr<lane>(one), ticket] {
          if (const auto pool = self.lock()) pool->kill_if_still(where, ticket);
        });
      }
    }
  }
  drained_.wait([this] { return left_.load(std::memory_order_seq_cst) == 0; },
                wait_how{.what = "process_pool::shutdown"});
  const std::lock_guard once(shutting_down_);
  if (std::exchange(shut_down_, true)) return;
  let_workers_go();
  leaving_.store(true, std::memory_order_seq_cst);
  wake_collector();
  bell_.resident.store(bell::awake, std::memory_order_seq_cst);
  process_futex_wake(bell_.resident, 1);
  if (resident_.joinable()) resident_.join();
}

void pool_core::give_up_waiting(section& in, const std::exception_ptr& why) {
  for (auto& [priority, queue] : queues_) {
    for (job* const one : queue) in.end(one, why);
  }
  queues_.clear();
  counts_.queued = 0;
}

void pool_core::resize(int workers) {
  section in(*this);
  if (closed_) {
    in.leave();
    throw closed("process_pool \"" + settings_.name + "\" was shut down: it cannot be resized");
  }
  wanted_.store(workers, std::memory_order_relaxed);
  adjust(in);
  dispatch(in);
}

process_pool_stats pool_core::stats() const {
  const std::lock_guard lock(mutex_);
  process_pool_stats result = counts_;
  for (const lane_ref& one : lanes_) {
    if (one->now == lane::state::open) ++result.workers;
    result.running += one->jobs.empty() ? 0 : 1;
    result.queued += one->jobs.empty() ? 0 : one->jobs.size() - 1;
  }
  return result;
}

std::vector<int> pool_core::pids() const {
  const std::lock_guard lock(mutex_);
  std::vector<int> result;
  for (const lane_ref& one : lanes_) {
    if (one->process != nullptr && one->process->pid() != 0 && !one->process->is_over())
      result.push_back(one->process->pid());
  }
  return result;
}

}  // namespace tutti::detail
