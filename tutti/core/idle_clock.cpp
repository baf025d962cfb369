#include <tutti/core/idle_clock.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/timers.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace tutti::detail {
namespace {

using steady_clock = std::chrono::steady_clock;

// A thread that sleeps in a loop and would move the clock. One at a time does; the turn of the others comes when it
// leaves. Its timers' functions may drive loops too: the turn is theirs.
class mover {
 public:
  mover();
  ~mover();
  mover(const mover&) = delete;
  mover& operator=(const mover&) = delete;

  bool take_turn() noexcept;
  /// Until unparked: for its own reasons, or because the turn is free.
  void park(const steady_clock::time_point* until = nullptr) noexcept;
  const parker& sleeper() const noexcept { return sleeper_; }

  struct rest {
    bool quiet;            // all others sleep
    std::uint64_t events;  // changes when one has woken up
  };
  rest others() const noexcept;

 private:
  struct list {
    std::mutex mutex;
    std::vector<parker*> waiting;
    bool turn_taken = false;
    std::uint64_t events = 0;
    std::uint32_t process = 0;
  };
  // In a forked child the others are gone.
  static list& all() noexcept { return process_wide<list>(); }

  parker& sleeper_ = this_parker();
  bool my_turn_ = false;
  static constinit thread_local bool turn_of_this_thread;
};

constinit thread_local bool mover::turn_of_this_thread = false;

mover::mover() {
  const std::lock_guard lock(all().mutex);
  if (std::exchange(all().process, forks_before_this_process()) != forks_before_this_process()) {
    all().waiting.clear();
    all().turn_taken = turn_of_this_thread;
  }
  all().waiting.push_back(&sleeper_);
  ++all().events;
}

mover::~mover() {
  const std::lock_guard lock(all().mutex);
  auto& waiting = all().waiting;
  if (const auto at = std::find(waiting.begin(), waiting.end(), &sleeper_); at != waiting.end()) waiting.erase(at);
  if (!my_turn_) return;
  all().turn_taken = turn_of_this_thread = false;
  for (parker* const other : waiting) other->unpark();
}

bool mover::take_turn() noexcept {
  if (turn_of_this_thread) return true;
  const std::lock_guard lock(all().mutex);
  if (!all().turn_taken) my_turn_ = turn_of_this_thread = all().turn_taken = true;
  return my_turn_;
}

void mover::park(const steady_clock::time_point* until) noexcept {
  sleeper_.park_until(until);
  const std::lock_guard lock(all().mutex);
  ++all().events;
}

mover::rest mover::others() const noexcept {
  const std::lock_guard lock(all().mutex);
  const auto rests = [this](const parker* p) { return p == &sleeper_ || p->is_asleep(); };
  return {std::all_of(all().waiting.begin(), all().waiting.end(), rests), all().events};
}

scheduler::rest look_at(const std::vector<std::shared_ptr<scheduler>>& pools, const mover& self) {
  const mover::rest movers = self.others();
  scheduler::rest all{.quiet = movers.quiet && timers_rest(), .joining = false, .events = movers.events};
  for (const auto& pool : pools) {
    const scheduler::rest state = pool->resting(self.sleeper());
    all.quiet = all.quiet && state.quiet;
    all.joining = all.joining || state.joining;
    all.events += state.events;
  }
  return all;
}

// Everybody known here was found at rest at some moment of the first look, and in the second again, with no event
// between the two: so nobody was set going by somebody who was looked at later. All rested when the first look ended,
// and those who sleep are woken by others only.
scheduler::rest look_twice(const mover& self) {
  const auto pools = all_pools();
  const scheduler::rest before = look_at(pools, self);
  scheduler::rest now = look_at(pools, self);
  now.quiet = before.quiet && now.quiet && before.events == now.events;
  return now;
}

}  // namespace

bool move_idle_clock(bool (*idle)(void*), void* context) try {
  if (!current_clock().moves_when_idle()) return false;
  constexpr std::chrono::milliseconds time_to_show{2};  // that the threads that were waited for have ended
  constexpr std::chrono::milliseconds between_looks{1};
  constexpr auto not_yet = steady_clock::time_point::max();
  mover self;
  auto quiet_since = not_yet;
  while (current_clock().is_virtual()) {
    if (!idle(context)) return true;
    if (!self.take_turn()) {
      self.park();
      continue;
    }
    const scheduler::rest others = look_twice(self);
    const auto now = steady_clock::now();
    quiet_since = others.quiet ? std::min(quiet_since, now) : not_yet;
    if (!others.quiet || (others.joining && now - quiet_since < time_to_show)) {
      std::this_thread::yield();
      continue;
    }
    if (!idle(context)) return true;
    const auto next = next_timer();
    if (next && current_clock().moves_when_idle()) {
      current_clock().move_on_to(*next);
      return true;
    }
    const auto soon = now + between_looks;  // a thread that is not seen here may set one, or change the clock
    self.park(&soon);
  }
  return false;
} catch (const std::bad_alloc&) {  // not now
  std::this_thread::yield();
  return true;
}

}  // namespace tutti::detail
