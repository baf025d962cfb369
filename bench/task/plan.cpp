// plan: pseudo-random timers, the same in every run.
#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "systems.hpp"

namespace bench::task {

const timer_plan& plan_timers(std::size_t count) {
  static std::map<std::size_t, timer_plan> plans;
  timer_plan& plan = plans[count];
  if (!plan.delays.empty()) return plan;
  std::mt19937_64 random(count);
  // Not in the first minute: none may expire before it is cancelled.
  constexpr std::chrono::nanoseconds first = std::chrono::minutes(1), last = std::chrono::hours(1);
  std::uniform_int_distribution<std::chrono::nanoseconds::rep> within_the_hour(first.count(), last.count());
  plan.delays.resize(count);
  for (std::chrono::nanoseconds& delay : plan.delays) delay = std::chrono::nanoseconds(within_the_hour(random));
  plan.cancel_order.resize(count);
  std::iota(plan.cancel_order.begin(), plan.cancel_order.end(), 0);
  std::shuffle(plan.cancel_order.begin(), plan.cancel_order.end(), random);
  return plan;
}

}  // namespace bench::task
