#include <tutti/core/timers.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/core/small_mutex.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/unhandled.hpp>
#include <tutti/core/wait_list.hpp>

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace tutti::detail {
namespace {

using time_point = timer_entry::time_point;

// A call of due() that is being made, on the stack of the thread that makes it. Guarded by the service's lock.
struct run {
  timer_entry* entry;  // null: destroyed since
  run* outer;          // which called advance()
  bool doomed;         // somebody waits for its end: until then the entry cannot be set
  waiter* waiting;
};

constinit thread_local run* runs_here = nullptr;  // the innermost on this thread
constinit std::atomic<timer_service*> service{nullptr};

}  // namespace

// One per process, leaked: threads may set timers while main's statics are destroyed.
//
// Invariant: while a timer that is due is in the heap, somebody is on the way to call it: the timer thread, or a thread
// in advance(). Under the machine's clock, because the timer thread looks into the heap no later than at armed_, and
// armed_ is not after the first timer: whoever adds an earlier one (or changes the clock) wakes it. Under a virtual
// clock the timer thread sleeps without a limit: who moves the clock looks after that, under the lock, and so either
// finds the timer or had moved the clock before that was added; then its adder, who reads the clock under the lock,
// finds it due and wakes the timer thread.
class timer_service {
 public:
  static timer_service* current() noexcept {
    return service.load(std::memory_order_acquire);  // pairs with the release of its maker
  }
  static timer_service& get();

  void set(timer_entry& entry, time_point when);
  bool cancel(timer_entry& entry) noexcept;
  void cancel_and_wait(timer_entry& entry) noexcept;
  void forget(timer_entry& entry) noexcept;
  std::optional<time_point> first() noexcept;
  bool rests() noexcept;

 private:
  // Apart from the constructor, which is called under a lock.
  void follow_the_clock();
  bool is_set(const timer_entry& entry) const noexcept { return entry.linked() && entry.set_in_ == process_; }
  bool settable(const timer_entry& entry);
  bool too_late_for_the_thread(time_point when) noexcept;
  void call_due(time_point at);
  void run_thread();

  const std::uint32_t process_ = forks_before_this_process();
  std::once_flag following_;
  // Held by who calls due(): one thread at a time, so that they are called in order, and all that were due have
  // returned when advance() does. Recursive: they may advance the clock.
  std::recursive_mutex calling_;

  small_mutex mutex_;  // guards all below but wake_
  timer_heap heap_;
  std::uint64_t turns_ = 0;
  run* runs_ = nullptr;    // the innermost; all on the one thread that holds calling_
  std::size_t depth_ = 0;  // how many
  time_point armed_ = time_point::max();
  bool thread_started_ = false;

  parker wake_;
};

namespace {

struct service_making {
  // The timer thread does not survive a fork: the child starts anew, with no timers. One that was made by a timer's
  // function is no longer inside it: see call_due.
  service_making() {
    ::pthread_atfork(nullptr, nullptr, [] {
      service.store(nullptr, std::memory_order_relaxed);
      runs_here = nullptr;
    });
  }
  std::mutex mutex;
};

}  // namespace

timer_service& timer_service::get() {
  timer_service* the_one = current();
  if (the_one == nullptr) {
    const std::lock_guard lock(process_wide<service_making>().mutex);
    the_one = service.load(std::memory_order_relaxed);
    if (the_one == nullptr) {
      the_one = new timer_service;
      service.store(the_one, std::memory_order_release);
    }
  }
  the_one->follow_the_clock();
  return *the_one;
}

void timer_service::follow_the_clock() {
  // A virtual clock calls what became due inside advance(), on the thread that advances: tests see it done. When it has
  // gone, the timer thread must look again.
  std::call_once(following_, [this] {
    clock_source::subscribe([this](time_point) {
      if (this != current()) return;  // a forked child's parent's
      if (current_clock().is_virtual()) {
        call_due(now());  // not the time told, which may be that of a clock not in force
      } else {
        wake_.unpark();
      }
    });
    first_timer.store(
        []() noexcept {
          timer_service* const the_one = current();
          return the_one == nullptr ? time_point::max() : the_one->first().value_or(time_point::max());
        },
        std::memory_order_release);
  });
}

// True unless somebody waits for the end of its due(). There is room for it in the heap then.
//
// Invariant: room for all entries in the heap and all that are in their due() and not in the heap. So the latter can be
// set without memory.
bool timer_service::settable(const timer_entry& entry) {
  for (const run* r = runs_; r != nullptr; r = r->outer) {
    if (r->entry == &entry) return !r->doomed;
  }
  if (!is_set(entry)) heap_.reserve(heap_.size() + depth_ + 1);
  return true;
}

void timer_service::set(timer_entry& entry, time_point when) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (!thread_started_) {
      std::thread([this] { run_thread(); }).detach();
      thread_started_ = true;
    }
    if (!settable(entry)) return;
    entry.turn = ++turns_;
    if (is_set(entry)) {
      heap_.move(entry, when);
    } else {
      entry.set_in_ = process_;
      heap_.add(entry, when);
    }
    if (&heap_.first() == &entry) wake = too_late_for_the_thread(when);
  }
  if (wake) wake_.unpark();
}

// Cancelling does not put armed_ back: where timeouts are set and cancelled without end, as most timeouts are, the
// thread wakes once in each such time, not for each of them.
bool timer_service::too_late_for_the_thread(time_point when) noexcept {
  if (current_clock().is_virtual() ? when > now() : when >= armed_) return false;
  armed_ = when;
  return true;
}

bool timer_service::cancel(timer_entry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_set(entry)) return false;
  heap_.remove(entry);
  return true;
}

void timer_service::cancel_and_wait(timer_entry& entry) noexcept {
  waiter self{nullptr};
  std::optional<wait_ticket> ticket;
  {
    const std::lock_guard lock(mutex_);
    if (is_set(entry)) heap_.remove(entry);
    run* outermost = nullptr;
    for (run* r = runs_; r != nullptr; r = r->outer) {
      if (r->entry == &entry) outermost = r;
    }
    if (outermost == nullptr || runs_here != nullptr) return;  // only one thread has any
    for (run* r = runs_; r != outermost->outer; r = r->outer) r->doomed = r->doomed || r->entry == &entry;
    self.ticket = &ticket.emplace(this_parker());
    self.next = std::exchange(outermost->waiting, &self);
  }
  // The entry is not touched from here on: it may be destroyed in its due().
  before_sleeping();
  const thread_record::waiting shown("timer_entry::cancel_and_wait", place{}, &entry);
  sleep_on(*ticket, nullptr);
}

void timer_service::forget(timer_entry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  for (run* r = runs_; r != nullptr; r = r->outer) {
    if (r->entry == &entry) r->entry = nullptr;  // another one may be made in its place
  }
}

std::optional<time_point> timer_service::first() noexcept {
  const std::lock_guard lock(mutex_);
  if (heap_.empty() || heap_.first_time() == time_point::max()) return std::nullopt;
  return heap_.first_time();
}

bool timer_service::rests() noexcept {
  if (runs_here != nullptr) return true;
  const std::lock_guard lock(mutex_);
  return runs_ == nullptr && (heap_.empty() || heap_.first_time() > now());
}

void timer_service::call_due(time_point at) {
  const std::lock_guard calling(calling_);
  std::unique_lock lock(mutex_);
  while (!heap_.empty() && heap_.first_time() <= at && heap_.first_time() != time_point::max()) {
    auto& entry = static_cast<timer_entry&>(heap_.first());
    heap_.remove(entry);
    run here{&entry, runs_, false, nullptr};
    runs_ = runs_here = &here;
    ++depth_;
    lock.unlock();
    entry.due();
    if (this != current()) return;  // a child that was forked by due(): who held the lock then is not here to free it
    lock.lock();
    runs_ = runs_here = here.outer;
    --depth_;
    // release in claim, acquire in sleep_on: what due() did is visible to who waited for it.
    for (waiter* w = here.waiting; w != nullptr;) std::exchange(w, w->next)->ticket->claim(0);
  }
}

void timer_service::run_thread() {
  ::pthread_setname_np(::pthread_self(), "tutti/timer");
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // ns: by default Linux wakes up to 50 us late, to wake less often
  for (;;) {
    call_due(now());
    if (this != current()) return;
    time_point next = time_point::max();
    {
      const std::lock_guard lock(mutex_);
      if (!heap_.empty() && !current_clock().is_virtual()) next = heap_.first_time();
      armed_ = next;
    }
    wake_.park_until(next == time_point::max() ? nullptr : &next);
  }
}

void timer_call::start(time_point when) {
  try {
    set(when);
  } catch (...) {
    drop();
    delete this;
    throw;
  }
}

void timer_call::call_reporting() noexcept {
  try {
    call();
  } catch (...) {
    report_unhandled(std::current_exception(), "timer", unhandled_origin::callback);
  }
}

void timer_call::due() noexcept {
  call_reporting();
  drop();
  release();
}

bool timer_call::cancel_call() noexcept {
  if (!cancel()) return false;
  drop();
  release();
  return true;
}

periodic_call::periodic_call(time_point first, std::chrono::nanoseconds period) noexcept
    : when_(first), period_(period), made_in_(forks_before_this_process()) {}

// Whoever takes the timer out of the queue after over_ is set ends the series. cancel_call sets over_, then cancels;
// due sets the timer, then looks at over_. Both cancel and set take the service's lock. If cancel comes second it finds
// the timer; if set does, over_ was set before and due sees it. So relaxed is enough for over_.
bool periodic_call::cancel_call() noexcept {
  if (over_.exchange(true, std::memory_order_relaxed)) return false;
  return timer_call::cancel_call() || made_in_ == forks_before_this_process();  // the latter: due() ends it
}

void periodic_call::due() noexcept {
  retain();  // the queue's reference is gone once this is set again
  if (!over_.load(std::memory_order_relaxed)) call_reporting();
  bool ends = over_.load(std::memory_order_relaxed);
  if (!ends) {
    const time_point at = now();
    const std::chrono::nanoseconds to_end = time_point::max() - when_;
    // The next that is not past. In rounds of the period from the last: the times do not drift.
    std::chrono::nanoseconds::rep rounds = 1;
    if (at > when_) rounds = std::max(rounds, (at - when_ - std::chrono::nanoseconds(1)) / period_ + 1);
    when_ = rounds > to_end / period_ ? time_point::max() : when_ + rounds * period_;
    set(when_);  // does not throw here
    ends = over_.load(std::memory_order_relaxed) && cancel();
  }
  if (ends) {
    drop();
    release();
  }
  release();
}

std::optional<time_point> next_timer() noexcept {
  timer_service* const the_one = timer_service::current();
  return the_one == nullptr ? std::nullopt : the_one->first();
}

bool timers_rest() noexcept {
  timer_service* const the_one = timer_service::current();
  return the_one == nullptr || the_one->rests();
}

time_point time_after(std::chrono::nanoseconds delay) noexcept {
  const time_point start = now();
  if (delay <= std::chrono::nanoseconds::zero()) return start;
  return delay > time_point::max() - start ? time_point::max() : start + delay;
}

void check_period(std::chrono::nanoseconds period) {
  if (period <= std::chrono::nanoseconds::zero()) {
    throw std::invalid_argument("call_every: the period is " + std::to_string(period.count()) +
                                " ns, but must be positive");
  }
}

}  // namespace tutti::detail

namespace tutti {

using detail::timer_service;

void timer_entry::set(time_point when) { timer_service::get().set(*this, when); }

bool timer_entry::cancel() noexcept {
  timer_service* const the_one = timer_service::current();
  return linked() && the_one != nullptr && the_one->cancel(*this);
}

void timer_entry::cancel_and_wait() noexcept {
  timer_service* const the_one = timer_service::current();
  if (index.load(std::memory_order_relaxed) != fresh && the_one != nullptr) the_one->cancel_and_wait(*this);
}

void timer_entry::before_destruction() noexcept {
  if (detail::runs_here != nullptr) timer_service::current()->forget(*this);
  if (!linked() || set_in_ != detail::forks_before.load(std::memory_order_relaxed)) return;
  std::fprintf(
      stderr, "tutti: fatal: timer_entry %p destroyed while it is set; its owner has to call cancel_and_wait() first\n",
      static_cast<void*>(this));
  std::abort();
}

}  // namespace tutti
