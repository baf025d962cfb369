#include <tutti/process/pool_core.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/process/pool_section.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>

namespace tutti::detail {
namespace {

// For encoding, warm.
thread_local std::string encoding_room;

}  // namespace

pool_core::pool_core(pool_settings settings)
    : settings_(std::move(settings)),
      forks_(forks_before_this_process()),
      bell_memory_(sizeof(bell), "the bell of process_pool \"" + settings_.name + '"'),
      bell_(*new(bell_memory_.data()) bell()),
      wanted_(settings_.workers) {}

bool pool_core::is_of_this_process() const noexcept { return forks_ == forks_before_this_process(); }

void pool_core::check_process(const char* what) const {
  if (is_of_this_process()) return;
  throw std::logic_error("process_pool \"" + settings_.name + "\": " + what +
                         " in a forked child: the pool is its parent's; make one of your own");
}

void pool_core::start(call work) {
  portable_call* const target = work->portable();
  if (target == nullptr) throw std::invalid_argument("process_pool: only functions by name can leave this process");
  check_process("submit");
  std::string encoded = std::move(encoding_room);  // what is encoded may itself submit something
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
    made->bytes.swap(encoded);
  } else {
    made->bytes = encoded;
  }
  section in(*this);
  if (closed_) {
    in.leave();
    throw closed("process_pool \"" + settings_.name + "\" was shut down: it takes no more calls");
  }
  queues_.try_emplace(made->priority);  // from here on nothing is lost
  left_.fetch_add(1, std::memory_order_seq_cst);
  enqueue(*made.release(), false);
  if (failures_ >= most_failures) failures_ = 0;  // try again, for this call
  settle(in);
  if (spare_.capacity() > encoded.capacity()) encoded.swap(spare_);
  if (encoded.capacity() <= most_spare) encoding_room = std::move(encoded);
}

// ---------------------------------------------------------------- stops and time limits

std::exception_ptr pool_core::cancelled_before(const job& one) noexcept {
  try {
    return std::make_exception_ptr(cancelled(task_text(one.name) + " was cancelled before it began"));
  } catch (...) {
    return std::current_exception();
  }
}

void pool_core::stop(portable_call& call) noexcept {
  if (!is_of_this_process()) return;
  section in(*this);
  const auto is_it = [&](const job& j) { return j.target == &call; };
  const auto end = [&](job& one) {
    in.end(one, cancelled_before(one));
    settle(in);
  };
  for (const lane_ref& one : lanes_) {
    job* const found = one->jobs.find(is_it);
    if (found == nullptr) continue;
    if (!take_back(*one, *found)) return ask_to_stop(*one, *found);
    return end(*found);
  }
  for (auto& [priority, queue] : queues_) {  // one that waits for its next attempt
    job* const found = queue.find(is_it);
    if (found == nullptr) continue;
    take_from_queue(*found);
    return end(*found);
  }
}

timer pool_core::kill_later(const lane_ref& which, std::uint64_t ticket) {
  return call_later(settings_.grace, [self = weak_from_this(), where = std::weak_ptr<lane>(which), ticket] {
    if (const auto pool = self.lock()) pool->kill_if_still(where, ticket);
  });
}

void pool_core::expired(const std::weak_ptr<lane>& where, std::uint64_t ticket) {
  const lane_ref at = where.lock();
  if (at == nullptr || !is_of_this_process()) return;
  section in(*this);
  job* const late = at->jobs.find([&](const job& j) { return j.ticket == ticket; });
  if (late == nullptr || late->target == nullptr || !late->limits.timeout) return;
  timer killing = kill_later(at, ticket);
  try {
    const std::string part = late->target->part_text(at->words.part.load(std::memory_order_relaxed));
    at->overdue.error = std::make_exception_ptr(timed_out(timeout_text(late->name, *late->limits.timeout) + part));
  } catch (...) {
    at->overdue.error = std::current_exception();
  }
  at->overdue.target = std::exchange(late->target, nullptr);
  at->is_overdue.store(true, std::memory_order_seq_cst);
  ask_to_stop(*at, *late);
  at->condemned = true;  // nobody shall wait behind it
  while (at->jobs.back() != late) {
    job* const behind = at->jobs.back();
    if (!take_back(*at, *behind)) break;
    enqueue(*behind, true);
  }
  late->expiry = std::move(killing);
  settle(in);
  in.leave();
  ring_loudly(bell_);
}

void pool_core::kill_if_still(const std::weak_ptr<lane>& where, std::uint64_t ticket) {
  const lane_ref at = where.lock();
  if (at == nullptr || !is_of_this_process()) return;
  const section in(*this);
  const job* const late = at->jobs.find([&](const job& j) { return j.ticket == ticket; });
  // Its answer may be there already.
  if (late != nullptr && !at->requests.is_passed(late->position)) at->process->signal(SIGKILL);
}

// ---------------------------------------------------------------- the end, and what can be seen

void pool_core::shutdown(shutdown_mode mode) {
  if (!is_of_this_process()) return;
  if (is_collecting_here()) {
    std::fprintf(stderr,
                 "tutti: fatal: process_pool \"%s\" shut down or destroyed from a callback of one of its own calls, "
                 "which would wait for itself; hand that to another thread\n",
                 settings_.name.c_str());
    std::abort();
  }
  {
    section in(*this);
    closed_ = true;
    if (mode == shutdown_mode::cancel) {
      cancelled_ = std::make_exception_ptr(
          cancelled("the call was cancelled: process_pool \"" + settings_.name + "\" was shut down"));
      end_all_queued(in, cancelled_);
      for (const lane_ref& one : lanes_) {
        for (job* last = one->jobs.back(); last != nullptr && take_back(*one, *last); last = one->jobs.back())
          in.end(*last, cancelled_);
        if (one->jobs.empty()) continue;
        // The last of them runs; what was before it has its answer, which is not read yet.
        job& runs = *one->jobs.back();
        ask_to_stop(*one, runs);
        runs.expiry.cancel();
        runs.expiry = kill_later(one, runs.ticket);
      }
      settle(in);
    }
  }
  drained_.wait([this] { return left_.load(std::memory_order_seq_cst) == 0; },
                wait_how{.what = "process_pool::shutdown"});
  const std::lock_guard once(shutting_down_);
  if (shut_down_) return;
  let_workers_go();  // may throw, and be called again
  leaving_.store(true, std::memory_order_seq_cst);
  ring_loudly(bell_);
  for (;;) {
    std::thread one;
    {
      const std::lock_guard lock(residents_mutex_);
      if (residents_.empty()) break;
      one = std::move(residents_.back());
      residents_.pop_back();
    }
    one.join();
  }
  shut_down_ = true;
  // Futures that are kept hold this object, but what the workers had is not needed any more.
  const std::lock_guard nobody_reads(collecting_);
  const std::lock_guard lock(mutex_);
  seen_ = std::make_shared<const std::vector<lane_ref>>();
  lanes_.clear();
  seen_version_ = version_.load(std::memory_order_relaxed);
  std::string().swap(spare_);
}

void pool_core::release_handle() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!is_of_this_process()) {
    for (std::thread& one : residents_) one.detach();  // they are not in this process
    return;
  }
  for (;;) {
    try {
      return shutdown(finish);
    } catch (...) {  // pool_exhausted: then without a thread in our place
      std::this_thread::yield();
    }
  }
}

void pool_core::end_all_queued(section& in, const std::exception_ptr& why) noexcept {
  for (auto& [priority, queue] : queues_) {
    while (job* const one = queue.front()) {
      take_from_queue(*one);
      in.end(*one, why);
    }
  }
}

void pool_core::resize(int workers) {
  check_process("resize");
  section in(*this);
  if (closed_) {
    in.leave();
    throw closed("process_pool \"" + settings_.name + "\" was shut down: it cannot be resized");
  }
  wanted_.store(workers, std::memory_order_relaxed);
  failures_ = 0;
  settle(in);
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
    if (one->process->is_over()) continue;
    // It may have begun with its calls before the launcher's word of it is here.
    const int told = one->process->pid();
    const int pid = told != 0 ? told : one->words.pid.load(std::memory_order_relaxed);
    if (pid != 0) result.push_back(pid);
  }
  return result;
}

}  // namespace tutti::detail
