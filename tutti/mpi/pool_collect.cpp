// What comes back from the workers, and who reads it.
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/mpi/inside/pool_core.hpp>

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace tutti::mpi::detail {
namespace {

constexpr std::uint64_t is_wake = ~std::uint64_t{0};
constexpr std::size_t block = std::size_t{64} << 10;
constexpr std::size_t most_kept = std::size_t{16} << 20;

thread_local const void* collecting_here = nullptr;

// Appends what there is, at most `most` bytes. False when the other end is gone.
bool receive_some(int fd, std::string& to, std::size_t most) {
  ssize_t got = 0;
  if (most <= block) {
    thread_local std::array<char, block> room;  // not cleared each time
    got = ::recv(fd, room.data(), most, MSG_DONTWAIT);
    if (got > 0) to.append(room.data(), static_cast<std::size_t>(got));
  } else {
    const std::size_t before = to.size();
    to.resize(before + most);
    got = ::recv(fd, to.data() + before, most, MSG_DONTWAIT);
    to.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
  }
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace

// Whether anything came. -1: sleeps until something does, or wake_collector.
bool pool_core::collect(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == is_wake) {
      std::uint64_t count = 0;
      static_cast<void>(!::read(wake_.get(), &count, sizeof count));
      continue;
    }
    pool_lane& lane = *lanes_[event.data.u64 / 2];
    if (lane.is_lost) continue;
    if (event.data.u64 % 2 != 0) {
      read_control(lane);
      continue;
    }
    if ((event.events & EPOLLOUT) != 0) {
      endings over;
      {
        const std::lock_guard lock(mutex_);
        send(lane);
        dispatch(over);
      }
      complete(over);
    }
    if ((event.events & ~unsigned{EPOLLOUT}) != 0) read_answers(lane);
  }
  return ready > 0;
}

void pool_core::read_answers(pool_lane& from) {
  std::size_t most = block;
  if (from.in.size() >= sizeof(response_head)) {  // the rest of a large one
    response_head head;
    std::memcpy(&head, from.in.data(), sizeof head);
    most = std::max(block,
                    std::min<std::size_t>(sizeof head + head.bytes - std::min(from.in.size(), sizeof head + head.bytes),
                                          std::size_t{4} << 20));
    if (from.in.capacity() < sizeof head + head.bytes) from.in.reserve(sizeof head + head.bytes + block);
  }
  const bool alive = receive_some(from.link.data.get(), from.in, most);
  endings over;
  std::size_t done = 0;
  {
    const std::lock_guard lock(mutex_);
    while (from.in.size() - done >= sizeof(response_head)) {
      response_head head;
      std::memcpy(&head, from.in.data() + done, sizeof head);
      if (from.in.size() - done - sizeof head < head.bytes) break;
      const std::string_view bytes(from.in.data() + done + sizeof head, head.bytes);
      done += sizeof head + head.bytes;
      // Those before it were given back, which the other socket has yet to say.
      const auto found = std::ranges::lower_bound(from.given, head.ticket, {}, &pool_job::ticket);
      if (found == from.given.end() || (*found)->ticket != head.ticket) continue;  // never, from a worker of ours
      pool_job& one = **found;
      from.given.erase(found);
      from.is_stuck = false;
      one.expiry.cancel();
      const auto took = static_cast<double>(std::max<std::int64_t>(head.took, 1));
      average_ = average_ <= 0 ? took : average_ + (took - average_) / 8;
      started(from);
      if (one.target == nullptr) {  // its call has its end, and was counted
        delete &one;
        continue;
      }
      if (head.failed == 0) {
        over.push_back({.job = &one, .error = nullptr, .result = bytes, .has_result = true});
        continue;
      }
      std::exception_ptr failure;
      try {
        failure = decode_exception(bytes);
      } catch (...) {
        failure = std::current_exception();
      }
      if (one.retries > 0 && cancelled_ == nullptr && !one.target->stop_requested() && is_retryable(failure)) {
        --one.retries;
        enqueue(one, true);
      } else {
        end(over, one, std::move(failure));
      }
    }
    dispatch(over);
  }
  complete(over);
  from.in.erase(0, done);
  if (from.in.empty() && from.in.capacity() > most_kept) std::string().swap(from.in);
  if (!alive) lose(from);
}

void pool_core::read_control(pool_lane& from) {
  if (!receive_some(from.link.control.get(), from.control_in, 4096)) return;  // the other socket says so too
  endings over;
  {
    const std::lock_guard lock(mutex_);
    const pool_job* const first = from.given.empty() ? nullptr : from.given.front();
    take_back(from, over);
    if (!from.given.empty() && from.given.front() != first) started(from);
    dispatch(over);
  }
  complete(over);
}

// What control_in says was given back.
void pool_core::take_back(pool_lane& from, endings& over) {
  std::size_t done = 0;
  for (; from.control_in.size() - done >= sizeof(control_message); done += sizeof(control_message)) {
    control_message said;
    std::memcpy(&said, from.control_in.data() + done, sizeof said);
    --from.unanswered;
    // From the back, so that they stand in their order at the front of their queue.
    for (std::size_t i = from.given.size(); i-- > 0;) {
      pool_job& one = *from.given[i];
      if (one.ticket < said.first || one.ticket > said.last) continue;
      from.given.erase(from.given.begin() + static_cast<std::ptrdiff_t>(i));
      if (one.target == nullptr) {
        from.is_stuck = false;
        delete &one;
      } else if (cancelled_ != nullptr) {
        end(over, one, cancelled_);
      } else if (one.target->stop_requested()) {
        end(over, one,
            std::make_exception_ptr(cancelled(tutti::task_text(one.name) + " was cancelled before it began")));
      } else {
        one.expiry.cancel();
        enqueue(one, true);
      }
    }
  }
  from.control_in.erase(0, done);
}

std::exception_ptr pool_core::loss_of(const pool_lane& dead, const pool_job& victim) const {
  return std::make_exception_ptr(worker_lost(tutti::task_text(victim.name) + " was lost: rank " +
                                             std::to_string(dead.link.rank) + " on " + dead.link.host + ", process " +
                                             std::to_string(dead.link.pid) + ", has died while it ran"));
}

// On this machine the worker has noted in shared memory what it began. Elsewhere: it answers all of a frame before it
// begins the next one, so what stands in a later frame was not begun, unless the rest of this one was given back and
// that it was is lost.
void pool_core::lose(pool_lane& dead) {
  endings over;
  {
    const std::lock_guard lock(mutex_);
    if (dead.is_lost) return;
    dead.is_lost = true;
    if (!has_dismissed_) has_lost_.store(true, std::memory_order_relaxed);
    living_.fetch_sub(1, std::memory_order_relaxed);
    for (const int fd : {dead.link.data.get(), dead.link.control.get()})
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    dead.out.clear();
    std::size_t heard = 0;
    do {
      heard = dead.control_in.size();
    } while (receive_some(dead.link.control.get(), dead.control_in, 4096) && dead.control_in.size() != heard);
    take_back(dead, over);
    const std::uint64_t frame = dead.given.empty() ? 0 : dead.given.front()->frame;
    const pool_progress* const progress = dead.link.progress.get();
    const auto was_begun = [&](const pool_job& one) {
      return progress != nullptr ? one.ticket <= progress->begun.load(std::memory_order_relaxed)
                                 : one.frame == frame || dead.unanswered != 0;
    };
    while (!dead.given.empty()) {
      pool_job& one = *dead.given.back();
      dead.given.pop_back();
      one.expiry.cancel();
      if (one.target == nullptr) {
        delete &one;
      } else if (cancelled_ != nullptr) {
        end(over, one, cancelled_);
      } else if (const bool begun = was_begun(one); !begun || (one.retries > 0 && !one.target->stop_requested())) {
        if (begun) --one.retries;
        enqueue(one, true);
      } else {
        end(over, one, loss_of(dead, one));
      }
    }
    dispatch(over);
  }
  complete(over);
}

// ---------------------------------------------------------------- who collects

void pool_core::wake_collector() noexcept {
  if (!sleeps_.load(std::memory_order_seq_cst)) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void pool_core::help(bool (*is_done)(const void*), const void* context) noexcept {
  if (collecting_here == this) return;                                // a callback of what it has collected
  if (is_visited_.exchange(true, std::memory_order_seq_cst)) return;  // another one does it
  visits_.fetch_add(1, std::memory_order_relaxed);
  wake_collector();  // the resident, out of its sleep
  {
    const std::lock_guard lock(collecting_);
    collecting_here = this;
    try {
      spinner spin(spinner::before_sleep);
      while (!is_done(context) && !leaving_.load(std::memory_order_relaxed)) {
        if (collect(0)) {
          spin.restart();
        } else if (!spin.once()) {
          // Whoever completes what we wait for does so before it looks at sleeps_; we look again after that is set.
          sleeps_.store(true, std::memory_order_seq_cst);
          if (!is_done(context)) collect(-1);
          sleeps_.store(false, std::memory_order_relaxed);
          spin.restart();
        }
      }
    } catch (...) {  // no memory: the resident goes on, or ends with it
    }
    collecting_here = nullptr;
  }
  is_visited_.store(false, std::memory_order_seq_cst);
  if (naps_long_.load(std::memory_order_seq_cst)) {
    const std::lock_guard lock(napping_mutex_);
    napping_.notify_all();
  }
}

void pool_core::reside() {
  ::prctl(PR_SET_NAME, "tutti/ranks");
  constexpr std::chrono::milliseconds nap{1};
  constexpr int most_naps = 20;  // beside one long visit; then until that ends
  std::uint64_t seen = visits_.load(std::memory_order_relaxed);
  int naps = 0;
  while (!leaving_.load(std::memory_order_seq_cst)) {
    const std::uint64_t visits = visits_.load(std::memory_order_relaxed);
    if (is_visited_.load(std::memory_order_seq_cst) || visits != seen) {
      naps = visits != seen ? 0 : naps + 1;
      seen = visits;
      std::unique_lock lock(napping_mutex_);
      if (naps < most_naps) {
        napping_.wait_for(lock, nap, [this] { return leaving_.load(std::memory_order_seq_cst); });
      } else {
        naps_long_.store(true, std::memory_order_seq_cst);
        napping_.wait(lock, [this] {
          return leaving_.load(std::memory_order_seq_cst) || !is_visited_.load(std::memory_order_seq_cst);
        });
        naps_long_.store(false, std::memory_order_relaxed);
      }
      continue;
    }
    const std::lock_guard lock(collecting_);
    collecting_here = this;
    const auto wanted = [this] {
      return is_visited_.load(std::memory_order_seq_cst) || leaving_.load(std::memory_order_seq_cst);
    };
    for (spinner spin(spinner::before_sleep); !wanted();) {
      if (collect(0)) {
        spin.restart();
      } else if (!spin.once()) {
        sleeps_.store(true, std::memory_order_seq_cst);
        if (!wanted()) collect(-1);
        sleeps_.store(false, std::memory_order_relaxed);
        spin.restart();
      }
    }
    collecting_here = nullptr;
  }
}

}  // namespace tutti::mpi::detail
