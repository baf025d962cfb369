#include <tutti/core/idle_clock.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/wait_list.hpp>

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace tutti::detail {
namespace {

struct activity {
  bool quiet = true;     // no pool has anything to do
  bool blocked = false;  // but a worker sleeps in a wait that may just have ended
  std::uint64_t handed_in = 0;
};

activity look_at(const std::vector<std::shared_ptr<scheduler>>& pools, const scheduler* own) {
  activity all;
  for (const auto& pool : pools) {
    const scheduler::rest state = pool->resting(/*but=*/pool.get() == own ? 1 : 0);
    all.quiet = all.quiet && state.quiet;
    all.blocked = all.blocked || state.blocked;
    all.handed_in += pool->stats().submitted;
  }
  return all;
}

// Each pool has rested at some moment between two looks, and none was given anything in between: all rest.
activity look_twice(const scheduler* own) {
  const auto pools = all_pools();
  const std::uint64_t before = look_at(pools, own).handed_in;
  activity now = look_at(pools, own);
  now.quiet = now.quiet && now.handed_in == before;
  return now;
}

// Of all who wait for the clock one looks and moves it, in whose timers' functions others may wait as well.
constinit std::atomic<const void*> whose_turn{nullptr};  // an address of that thread's own
constinit thread_local char this_thread = 0;

[[maybe_unused]] const int others_turns_forgotten = ::pthread_atfork(nullptr, nullptr, [] {
  if (whose_turn.load(std::memory_order_relaxed) != &this_thread) whose_turn.store(nullptr, std::memory_order_relaxed);
});

class turn {
 public:
  turn() = default;
  ~turn() {
    if (taken_) whose_turn.store(nullptr, std::memory_order_release);
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  /// Whether it is this thread's.
  bool take() noexcept {
    const void* seen = nullptr;
    taken_ = taken_ || whose_turn.compare_exchange_strong(seen, &this_thread, std::memory_order_acquire);
    return taken_ || seen == &this_thread;
  }

 private:
  bool taken_ = false;
};

struct blocked {
  explicit blocked(worker* w) noexcept : self(w) {
    if (self != nullptr) self->pool->must_block(*self);
  }
  ~blocked() {
    if (self != nullptr) self->pool->end_block(*self);
  }
  blocked(const blocked&) = delete;
  blocked& operator=(const blocked&) = delete;
  worker* const self;
};

// True when all rest, false when this thread has something to do or the clock is another one.
bool wait_for_rest(worker* own, bool (*idle)(void*), void* context, turn& mine) {
  // Nobody else can tell whether a worker that sleeps was woken already: it is given this time to show.
  constexpr std::chrono::milliseconds time_to_wake{2};
  const blocked meanwhile(own);
  auto quiet_since = std::chrono::steady_clock::time_point::max();
  for (; current_clock().moves_when_idle() && idle(context); std::this_thread::yield()) {
    if (!mine.take()) continue;
    const activity others = look_twice(own == nullptr ? nullptr : own->pool);
    const auto now = std::chrono::steady_clock::now();
    quiet_since = others.quiet ? std::min(quiet_since, now) : std::chrono::steady_clock::time_point::max();
    if (others.quiet && (!others.blocked || now - quiet_since >= time_to_wake)) return idle(context);
  }
  return false;
}

}  // namespace

bool advance_idle_clock(worker* own, bool (*idle)(void*), void* context) try {
  if (!current_clock().moves_when_idle()) return false;
  before_sleeping();
  turn mine;
  if (!wait_for_rest(own, idle, context, mine)) return true;
  const auto next = next_timer();
  if (!next) return false;
  current_clock().move_on_to(*next);
  return true;
} catch (const std::bad_alloc&) {  // not now
  return false;
}

}  // namespace tutti::detail
