#include <tutti/core/idle_clock.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/timers.hpp>

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

}  // namespace

bool advance_idle_clock(const scheduler* own, bool (*idle)(void*), void* context) try {
  // Nobody else can tell whether a worker that sleeps was woken already: it is given this time to show.
  constexpr std::chrono::milliseconds time_to_wake{2};
  auto quiet_since = std::chrono::steady_clock::time_point::max();
  while (current_clock().moves_when_idle()) {
    if (!idle(context)) return true;
    const activity others = look_twice(own);
    const auto now = std::chrono::steady_clock::now();
    if (!others.quiet) {
      quiet_since = std::chrono::steady_clock::time_point::max();
    } else {
      quiet_since = std::min(quiet_since, now);
      if (!others.blocked || now - quiet_since >= time_to_wake) {
        if (!idle(context)) return true;
        const auto next = next_timer();
        if (!next) return false;
        current_clock().move_on_to(*next);
        return true;
      }
    }
    std::this_thread::yield();
  }
  return false;
} catch (const std::bad_alloc&) {  // not now
  return false;
}

}  // namespace tutti::detail
