#include <tutti/core/timers.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/core/parker.hpp>
#include <tutti/core/unhandled.hpp>

#include <pthread.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace tutti {
namespace {

using time_point = std::chrono::steady_clock::time_point;

// One per process, leaked: threads may set timers while main's statics are destroyed.
class timer_service;
std::atomic<timer_service*> service{nullptr};

class timer_service {
 public:
  static timer_service* current() noexcept { return service.load(std::memory_order_acquire); }

  // Apart from the constructor, which is called under a lock.
  void follow_the_clock() {
    // A virtual clock fires what became due inside advance(), on the thread that advances: tests see it done.
    std::call_once(following_, [this] {
      clock_source::subscribe([this](time_point at) {
        if (this != current()) return;  // a forked child's parent's
        if (current_clock().is_virtual()) fire_due(at);
        wake_.unpark();
      });
    });
  }

  std::uint64_t add(time_point when, std::unique_ptr<detail::timer_function> function) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t id = ++last_id;
    // What throws leaves nothing behind: a caller that is told so may have gone when the time comes.
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    due_.emplace(id, when);
    try {
      pending_.emplace(key{when, id}, std::move(function));
    } catch (...) {
      due_.erase(id);
      throw;
    }
    if (pending_.begin()->first.id == id) wake_.unpark();
    return id;
  }

  bool cancel(std::uint64_t id) noexcept {
    std::unique_ptr<detail::timer_function> dropped;  // destroyed after the lock is free
    const std::lock_guard lock(mutex_);
    const auto at = due_.find(id);
    if (at == due_.end()) return false;
    const auto entry = pending_.find(key{at->second, id});
    dropped = std::move(entry->second);
    pending_.erase(entry);
    due_.erase(at);
    return true;
  }

 private:
  struct key {
    time_point when;
    std::uint64_t id;
    auto operator<=>(const key&) const = default;
  };

  // One thread at a time, so that functions are called in order, and all that were due have returned when advance()
  // does. Recursive: a called function may advance the clock.
  void fire_due(time_point at) {
    const std::lock_guard firing(firing_);
    for (;;) {
      std::unique_ptr<detail::timer_function> function;
      {
        const std::lock_guard lock(mutex_);
        if (pending_.empty() || pending_.begin()->first.when > at) return;
        function = std::move(pending_.begin()->second);
        due_.erase(pending_.begin()->first.id);
        pending_.erase(pending_.begin());
      }
      try {
        function->call();
      } catch (...) {
        report_unhandled(std::current_exception(), "timer", unhandled_origin::callback);
      }
    }
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "tutti/timer");
    for (;;) {
      fire_due(now());
      time_point next = time_point::max();
      {
        const std::lock_guard lock(mutex_);
        if (!pending_.empty()) next = pending_.begin()->first.when;
      }
      const bool forever = next == time_point::max() || current_clock().is_virtual();
      wake_.park_until(forever ? nullptr : &next);
    }
  }

  // Not a member: a child's timers must differ from those it may still hold from its parent.
  static inline std::atomic<std::uint64_t> last_id{0};
  std::once_flag following_;
  std::recursive_mutex firing_;
  std::mutex mutex_;
  std::map<key, std::unique_ptr<detail::timer_function>> pending_;
  std::unordered_map<std::uint64_t, time_point> due_;
  std::thread thread_;
  parker wake_;
};

struct service_making {
  // The timer thread does not survive a fork: the child starts anew, with no timers.
  service_making() {
    ::pthread_atfork(nullptr, nullptr, [] { service = nullptr; });
  }
  std::mutex mutex;
};

timer_service& the_service() {
  timer_service* the_one = timer_service::current();
  if (the_one == nullptr) {
    const std::lock_guard lock(process_wide<service_making>().mutex);
    if (service == nullptr) service = new timer_service;
    the_one = service.load();
  }
  the_one->follow_the_clock();
  return *the_one;
}

}  // namespace

namespace detail {

std::uint64_t add_timer(time_point when, std::unique_ptr<timer_function> function) {
  return the_service().add(when, std::move(function));
}

bool cancel_timer(std::uint64_t id) noexcept { return the_service().cancel(id); }

time_point time_after(std::chrono::nanoseconds delay) noexcept {
  const time_point start = now();
  if (delay <= std::chrono::nanoseconds::zero()) return start;
  return delay > time_point::max() - start ? time_point::max() : start + delay;
}

}  // namespace detail
}  // namespace tutti
