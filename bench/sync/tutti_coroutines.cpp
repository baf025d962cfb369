// tutti's mutex, for coroutines that run on one thread.
#include <tutti/sync/mutex.hpp>
#include <tutti/task/task.hpp>

#include <utility>

#include "loops.hpp"

namespace bench::sync {

namespace {

using tutti::task;

task<> lock_often(std::size_t count, std::size_t& inside) {
  tutti::mutex lock;
  for (std::size_t i = 0; i < count; ++i) {
    auto guard = co_await lock.lock_async();
    ++inside;
  }
}

values lock_and_unlock_async(std::size_t count, placement) {
  std::size_t inside = 0;
  const double ns = time_ns([&] { tutti::sync_wait(lock_often(count, inside)); });
  check(inside == count, "the count is wrong");
  return {ns / static_cast<double>(count)};
}

struct handed_over {
  tutti::mutex lock;
  std::size_t turns = 0, changes = 0, last = 2;
};

task<> lock_in_turn(handed_over& data, std::size_t me, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    {
      auto guard = co_await data.lock.lock_async();
      ++data.turns;
      if (std::exchange(data.last, me) != me) ++data.changes;
      co_await tutti::yield_now();
    }
    co_await tutti::yield_now();
  }
}

task<> two_in_turn(handed_over& data, std::size_t count) {
  co_await tutti::when_all(lock_in_turn(data, 0, count), lock_in_turn(data, 1, count));
}

values hand_over(std::size_t count, placement) {
  handed_over data;
  const double ns = time_ns([&] { tutti::sync_wait(two_in_turn(data, count / 2)); });
  check(data.turns == count / 2 * 2, "the count is wrong");
  check(data.changes > count / 2, "the lock was not handed over");
  return {ns / static_cast<double>(count)};
}

task<> wait_once(tutti::mutex& lock, std::size_t& begun, std::size_t& had) {
  ++begun;
  auto guard = co_await lock.lock_async();
  ++had;
}

task<std::size_t> hold_waiters(std::size_t count, const std::function<void()>& waiting) {
  tutti::mutex lock;
  std::size_t begun = 0, had = 0, early = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
    auto guard = co_await lock.lock_async();
    for (std::size_t i = 0; i < count; ++i) group.spawn(wait_once(lock, begun, had));
    while (begun < count) co_await tutti::yield_now();
    waiting();
    early = had;
  });
  co_return had - early;
}

}  // namespace

std::size_t tutti_waiters(std::size_t count, const std::function<void()>& waiting) {
  return tutti::sync_wait(hold_waiters(count, waiting));
}

offers of_tutti_coroutines() {
  return {{what::async_mutex, "tutti", lock_and_unlock_async}, {what::async_turns, "tutti", hand_over}};
}

}  // namespace bench::sync
