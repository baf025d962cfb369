#include <tutti/core/parker.hpp>

#include <tutti/base/at_fork.hpp>

#include <unistd.h>

#include <mutex>

namespace tutti {
namespace {

struct free_parkers {
  std::mutex mutex;
  parker* head = nullptr;
};

// gettid() costs a tenth of a wake-up on the same core. A forked child's only thread has another id than in its parent.
pid_t thread_id() noexcept {
  struct known_id {
    pid_t id = 0;
    std::uint32_t forks_before = 0;
  };
  static constinit thread_local known_id known;
  if (known.id == 0 || known.forks_before != forks_before_this_process())
    known = {::gettid(), forks_before_this_process()};
  return known.id;
}

}  // namespace

bool parker::park_until(const std::chrono::steady_clock::time_point* deadline) noexcept {
  std::uint32_t seen = empty;
  // acquire: pairs with the release in unpark, so that the waker's writes are visible.
  hint_.sleeps();
  sleeper_id_.store(thread_id(), std::memory_order_relaxed);
  if (state_.compare_exchange_strong(seen, asleep, std::memory_order_acquire)) {
    for (;;) {
      cpu::futex_wait(state_, asleep, deadline);
      if (state_.load(std::memory_order_acquire) == token) break;
      if (deadline != nullptr && std::chrono::steady_clock::now() >= *deadline) {
        // An unpark may come between the look above and here: exchange takes its token, so that it is not lost.
        const bool woken = state_.exchange(empty, std::memory_order_acquire) == token;
        move_freely();
        return woken;
      }
    }
  }
  // An exchange, not a store: a second unpark may have come since, and taking its token means seeing its writes.
  state_.exchange(empty, std::memory_order_acquire);
  move_freely();
  hint_.woken();
  return true;
}

// Two threads on one core: whoever of them has nothing to do but look for what the other one does should let it run.
void parker::wake() noexcept {
  hint_.wakes();
  cpu::futex_wake(state_, 1);
}

// On virtual machines, where a halted core looks like one that its host has taken away, and where cores show no shared
// cache, Linux likes to wake a thread on its waker's core, however busy that is and idle the others are, and lets it
// wait there for the waker's time slice to end: milliseconds. Its affinity is the one way to say otherwise. The change
// lasts from here to its waking and costs about 1 us, a wake-up 6.
void parker::unpark_elsewhere() noexcept {
  if (state_.load(std::memory_order_relaxed) == asleep) keep_off(::sched_getcpu());
  unpark();
}

void parker::keep_off(int cpu) noexcept {
  auto seen = placement::free;
  if (!placement_.compare_exchange_strong(seen, placement::changing, std::memory_order_acquire)) return;
  const pid_t sleeper = sleeper_id_.load(std::memory_order_relaxed);
  bool kept = false;
  if (::sched_getaffinity(sleeper, sizeof allowed_, &allowed_) == 0 && CPU_ISSET(cpu, &allowed_)) {
    cpu_set_t others = allowed_;
    CPU_CLR(cpu, &others);
    kept = CPU_COUNT(&others) != 0 && ::sched_setaffinity(sleeper, sizeof others, &others) == 0;
  }
  placement_.store(kept ? placement::kept : placement::free, std::memory_order_release);
}

// By the sleeper. One that woke for another reason while its affinity was changing finds out when it next wakes.
void parker::move_freely() noexcept {
  if (placement_.load(std::memory_order_acquire) != placement::kept) return;
  ::sched_setaffinity(0, sizeof allowed_, &allowed_);
  placement_.store(placement::free, std::memory_order_release);
}

parker_lease::parker_lease() {
  auto& list = process_wide<free_parkers>();
  const std::lock_guard lock(list.mutex);
  if (list.head != nullptr) {
    parker_ = list.head;
    list.head = parker_->next_free_;
  } else {
    parker_ = new parker;
  }
}

parker_lease::~parker_lease() {
  parker_->move_freely();  // else the next thread would get this one's affinity
  auto& list = process_wide<free_parkers>();
  const std::lock_guard lock(list.mutex);
  parker_->next_free_ = list.head;
  list.head = parker_;
}

}  // namespace tutti
