#include <tutti/base/error.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/mpi/inside/pool_core.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace tutti::mpi::detail {
namespace {

std::exception_ptr cancelled_before(const char* name) {
  return std::make_exception_ptr(cancelled(tutti::task_text(name) + " was cancelled before it began"));
}

}  // namespace

pool_core::pool_core(std::string name, std::vector<rank_link> links)
    : name_(std::move(name)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      living_(static_cast<int>(links.size())) {
  if (!epoll_ || !wake_) throw os_error::of("rank_pool: no epoll", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = ~std::uint64_t{0};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  for (rank_link& link : links) {
    lanes_.push_back(std::make_unique<pool_lane>(std::move(link)));
    const pool_lane& made = *lanes_.back();
    event.data.u64 = 2 * (lanes_.size() - 1);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, made.link.data.get(), &event);
    event.data.u64 += 1;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, made.link.control.get(), &event);
  }
}

void pool_core::open() {
  resident_ = std::thread([this] { reside(); });
}

void pool_core::start(call work) {
  portable_call* const target = work->portable();
  if (target == nullptr) throw std::invalid_argument("rank_pool: only functions by name can leave this process");
  std::string encoded;
  target->encode_arguments(encoded);  // what cannot be encoded is refused here, by whoever submits it
  auto made = std::make_unique<pool_job>(std::move(work));
  made->bytes = std::make_shared<const std::string>(std::move(encoded));
  endings over;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw closed(name_ + " was shut down: it takes no more calls");
    enqueue(*made, false);
    [[maybe_unused]] const auto* const queued = made.release();  // its queue owns it now
    left_.fetch_add(1, std::memory_order_seq_cst);
    dispatch(over);
  }
  complete(over);
}

void pool_core::enqueue(pool_job& one, bool at_front) {
  std::deque<pool_job*>& queue = queues_[one.priority];
  if (at_front) {
    queue.push_front(&one);
  } else {
    queue.push_back(&one);
  }
  ++queued_;
}

void pool_core::end(endings& over, pool_job& one, std::exception_ptr error) {
  one.expiry.cancel();
  over.push_back({.job = &one, .error = std::move(error), .result = {}});
}

// Runs foreign code, so without the lock.
void pool_core::complete(endings& all) noexcept {
  if (all.empty()) return;
  for (ended& one : all) {
    pool_job& job = *one.job;
    if (one.has_result) {
      if (job.target != nullptr) job.target->complete(one.result);
    } else if (one.error != nullptr) {
      if (job.work.operator->() != nullptr) {
        std::move(job.work).abandon(std::move(one.error));
      } else if (job.target != nullptr) {
        job.target->fail(std::move(one.error));
      }
    }
    delete one.job;
  }
  const std::size_t count = all.size();
  all.clear();
  if (left_.fetch_sub(count, std::memory_order_seq_cst) == count) drained_.wake_all();
  wake_collector();  // it may wait for one of these
}

// ---------------------------------------------------------------- stops and time limits

void pool_core::stop(portable_call& call) noexcept {
  endings over;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& lane : lanes_) {
      const auto found = std::ranges::find(lane->given, &call, &pool_job::target);
      if (found == lane->given.end()) continue;
      ask_back(*lane, control_kind::stop, (*found)->ticket, (*found)->ticket);
      return;
    }
    for (auto& [priority, queue] : queues_) {  // one that waits for its next attempt
      const auto found = std::ranges::find(queue, &call, &pool_job::target);
      if (found == queue.end()) continue;
      pool_job& one = **found;
      queue.erase(found);
      --queued_;
      end(over, one, cancelled_before(one.name));
      break;
    }
  }
  complete(over);
}

void pool_core::expired(std::size_t which, std::uint64_t ticket) {
  endings over;
  {
    const std::lock_guard lock(mutex_);
    pool_lane& at = *lanes_[which];
    const auto found = std::ranges::find(at.given, ticket, &pool_job::ticket);
    if (found == at.given.end() || (*found)->target == nullptr) return;
    pool_job& late = **found;
    // A stand-in keeps its place until the worker answers; the call itself is over.
    auto stand_in = std::make_unique<pool_job>(late, ticket);
    *found = stand_in.get();
    at.is_stuck = true;
    ask_back(at, control_kind::stop, ticket, ticket);
    if (at.given.back() != stand_in.get()) ask_back(at, control_kind::give_back, ticket + 1, at.last_ticket);
    [[maybe_unused]] const auto* const given = stand_in.release();  // its lane owns it now
    end(over, late,
        std::make_exception_ptr(timed_out(tutti::timeout_text(late.name, *late.limits.timeout) + " on rank " +
                                          std::to_string(at.link.rank))));
    dispatch(over);
  }
  complete(over);
}

// ---------------------------------------------------------------- the end

void pool_core::end_all_queued(endings& over, const std::exception_ptr& why) {
  for (auto& [priority, queue] : queues_) {
    for (pool_job* const one : queue) end(over, *one, why);
    queue.clear();
  }
  queued_ = 0;
}

void pool_core::shutdown(shutdown_mode mode) {
  endings over;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (mode == shutdown_mode::cancel) {
      cancelled_ = std::make_exception_ptr(cancelled("the call was cancelled: " + name_ + " was shut down"));
      end_all_queued(over, cancelled_);
      for (const auto& lane : lanes_) {
        if (lane->given.empty() || lane->is_lost) continue;
        ask_back(*lane, control_kind::give_back, lane->given.front()->ticket, lane->last_ticket);
        for (const pool_job* const one : lane->given) ask_back(*lane, control_kind::stop, one->ticket, one->ticket);
      }
    }
  }
  complete(over);
  drained_.wait([this] { return left_.load(std::memory_order_seq_cst) == 0; }, wait_how{.what = "rank_pool::shutdown"});
  const std::lock_guard once(shutting_down_);
  if (shut_down_) return;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    has_dismissed_ = true;  // first: whose socket closes from now on was not lost
    for (const auto& lane : lanes_) {
      if (lane->is_lost) continue;
      const frame_head head{.bytes = sizeof(request_head)};
      const request_head leave{.kind = request_kind::leave};
      lane->out.push_back({.own = std::string(bytes_of(head)) + std::string(bytes_of(leave)), .shared = nullptr});
      send(*lane);
    }
  }
  leaving_.store(true, std::memory_order_seq_cst);
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  {
    const std::lock_guard lock(napping_mutex_);
    napping_.notify_all();
  }
  resident_.join();
  const std::lock_guard nobody_reads(collecting_);
  const std::lock_guard lock(mutex_);
  // What a socket still has arrives; who reads no more, because a call never ends, is not waited for.
  for (const auto& lane : lanes_) {
    for (pool_job* const stand_in : lane->given) delete stand_in;
    lane->given.clear();
    for (; !lane->is_lost && !lane->out.empty() && !lane->is_stuck; lane->out.pop_front()) {
      if (!send_all(lane->link.data.get(), std::string_view(lane->out.front().text()).substr(lane->out_done))) break;
      lane->out_done = 0;
    }
    ::shutdown(lane->link.data.get(), SHUT_WR);
    lane->link.data.reset();
    lane->link.control.reset();
    lane->is_lost = true;
  }
  shut_down_ = true;
}

void pool_core::release_handle() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (;;) {
    try {
      return shutdown(finish);
    } catch (...) {  // pool_exhausted: then without a thread in our place
      std::this_thread::yield();
    }
  }
}

}  // namespace tutti::mpi::detail
