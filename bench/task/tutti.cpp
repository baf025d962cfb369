// tutti: tasks on a thread_pool. spawn starts a child on the pool of the task that calls it, when_all takes the
// children as a range, timers are call_at's; task_group, which can stop its children, holds the sleepers.
#include <numeric>
#include <tutti/tutti.hpp>
#include <vector>

#include "systems.hpp"

namespace bench::task {

namespace {

using tutti::task;

[[gnu::noinline]] task<std::size_t> child(std::size_t i) { co_return i; }

task<std::size_t> spawn_children(std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += co_await tutti::spawn(child(i));
  co_return total;
}

task<std::size_t> await_children(std::size_t count) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += co_await child(i);
  co_return total;
}

struct game {
  std::size_t count, turn = 0, total = 0;
};

task<> play(game& table, std::size_t me) {
  for (std::size_t i = me; i < table.count; i += 2) {
    if (table.turn++ == i) table.total += i;
    co_await tutti::yield_now();
  }
}

task<std::size_t> all_children(std::size_t count) {
  std::vector<task<std::size_t>> children;
  children.reserve(count);
  for (std::size_t i = 0; i < count; ++i) children.push_back(child(i));
  std::vector<std::size_t> results = co_await tutti::when_all(std::move(children));
  co_return std::accumulate(results.begin(), results.end(), std::size_t{0});
}

[[gnu::noinline]] tutti::generator<std::size_t> integers(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) co_yield i;
}

task<> sleeper(std::size_t& sleeping) {
  ++sleeping;
  co_await tutti::sleep_for(std::chrono::hours(1));
}

task<std::size_t> hold_sleepers(std::size_t count, const std::function<void()>& asleep) {
  std::size_t sleeping = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
    for (std::size_t i = 0; i < count; ++i) group.spawn(sleeper(sleeping));
    while (sleeping < count) co_await tutti::yield_now();
    asleep();
    group.stop();
  });
  co_return sleeping;
}

class tutti_system : public system {
 public:
  explicit tutti_system(int threads) : pool_(threads) {}

  sum spawn(std::size_t count) override { return run(spawn_children(count)); }
  sum await_child(std::size_t count) override { return run(await_children(count)); }
  sum when_all(std::size_t count) override { return run(all_children(count)); }

  sum take_turns(std::size_t count) override {
    game table{.count = count};
    pool_.submit(tutti::when_all(play(table, 0), play(table, 1))).get();
    return table.total;
  }

  sum timers(std::size_t count) override {
    const timer_plan& plan = plan_timers(count);
    std::vector<tutti::timer> pending;
    pending.reserve(count);
    std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
    for (std::chrono::nanoseconds delay : plan.delays) pending.push_back(tutti::call_at(now + delay, [] {}));
    std::size_t total = 0;
    for (std::size_t i : plan.cancel_order) {
      if (pending[i].cancel()) total += i;
    }
    return total;
  }

  sum generate(std::size_t count) override {
    std::size_t total = 0;
    for (std::size_t i : integers(count)) total += i;
    return total;
  }

  std::size_t sleepers(std::size_t count, const std::function<void()>& asleep) override {
    return run(hold_sleepers(count, asleep));
  }

 private:
  std::size_t run(task<std::size_t> what) { return pool_.submit(std::move(what)).get(); }

  tutti::thread_pool pool_;
};

}  // namespace

std::unique_ptr<system> make_tutti(int threads) { return std::make_unique<tutti_system>(threads); }

}  // namespace bench::task
