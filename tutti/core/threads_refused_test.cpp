// When the system refuses a thread: somebody is told, and the program goes on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <latch>
#include <memory>
#include <system_error>
#include <tests/support/gates.hpp>
#include <tests/support/no_threads.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/dump.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::thread_pool;
using tutti_test::become_somebody;
using tutti_test::no_threads;

#ifndef TUTTI_TEST_TSAN
[[noreturn]] void make_a_pool() {
  become_somebody();
  const no_threads refused;
  try {
    thread_pool pool{64};
    (void)fprintf(stderr, "made\n");
    _exit(5);
  } catch (const tutti::pool_exhausted& e) {
    (void)fprintf(stderr, "refused: %s\n", e.what());
  }
  // And the program goes on.
  tutti::promise<int> promise;
  promise.set_value(1);
  _exit(promise.get_future().get() == 1 ? 0 : 6);
}

TEST(threads_refused_death, a_new_pools_is_a_clear_error) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(make_a_pool(), testing::ExitedWithCode(0), "refused: .*thread");
}

// Two workers wait for what a queued task will set, and there is no spare thread to run that: the pool must not let
// both sleep. The one who is told goes on, and so does everything else.
[[noreturn]] void block_all_workers() {
  become_somebody();
  std::latch both(2), first_gate(1), second_gate(1);
  thread_pool pool{2};
  tutti::promise<int> promise;
  const auto value = promise.get_future().share();
  std::vector<tutti::future<int>> waiters;
  for (std::latch* gate : {&first_gate, &second_gate}) {
    waiters.push_back(pool.submit([&both, gate, value] {
      both.count_down();
      gate->wait();
      try {
        return value.get();
      } catch (const tutti::pool_exhausted&) {
        return -1;
      }
    }));
  }
  both.wait();
  pool.post([&] { promise.set_value(1); });
  int sum = 0;
  {
    const no_threads refused;
    first_gate.count_down();
    tutti_test::until([&] { return tutti_test::waiting_for("future::wait") == 1 || waiters[0].done(); });
    second_gate.count_down();
    for (auto& waiter : waiters) sum += waiter.get();
  }
  // The pool works on.
  _exit(sum == 0 && pool.submit([] { return 2; }).get() == 2 ? 0 : 6);
}

TEST(threads_refused_death, a_spares_is_an_error_of_the_last_worker_to_wait) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(block_all_workers(), testing::ExitedWithCode(0), "");
}

// How often the system has said no to a pool, as the log tells.
class refusals final : public tutti::log_sink {
 public:
  void write(const tutti::log_record& record) override {
    if (record.message.starts_with("cannot start a spare")) ++count;
  }
  std::atomic<int> count{0};
};

std::shared_ptr<refusals> count_refusals() {
  auto counter = std::make_shared<refusals>();
  tutti::set_log_sink(counter);
  return counter;
}

void start_the_timer_thread() {
  std::latch called(1);
  tutti::call_later(0s, [&] { called.count_down(); });
  called.wait();
}

constexpr auto pause = tutti::scheduler::respawn_pause;

// The system refuses a thread for a moment only, when nothing more is submitted: the pool tries again by itself, first
// with one worker asleep and the other one busy with what tutti cannot see.
[[noreturn]] void block_beside_a_busy_worker() {
  become_somebody();
  start_the_timer_thread();
  tutti::virtual_clock clock;
  const auto refused = count_refusals();
  std::latch both(2), gate(1);
  std::atomic<bool> ran{false};
  thread_pool pool{2};
  tutti::promise<void> promise;
  auto value = promise.get_future();
  auto asleep = pool.submit([&] {
    both.count_down();
    gate.wait();
    value.get();
  });
  auto busy = pool.submit([&] {
    both.count_down();
    tutti_test::until([&] { return ran.load(); });
  });
  both.wait();
  pool.post([&] { ran = true; });
  {
    const no_threads none;
    gate.count_down();
    tutti_test::until([&] { return refused->count == 1; });
  }
  clock.advance(pause);
  busy.get();
  promise.set_value();
  asleep.get();
  _exit(refused->count == 1 ? 0 : 6);
}

TEST(threads_refused_death, a_spares_is_made_up_for_beside_a_busy_worker) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(block_beside_a_busy_worker(), testing::ExitedWithCode(0), "");
}

// The last worker to sleep does so in a join, which cannot be abandoned as other waits are.
[[noreturn]] void block_in_a_join() {
  become_somebody();
  start_the_timer_thread();
  tutti::virtual_clock clock;
  const auto refused = count_refusals();
  std::atomic<bool> awake{false}, queued{false}, go{false};
  thread_pool pool{1};
  tutti::promise<void> theft, promise;
  auto stolen = theft.get_future(), value = promise.get_future();
  auto outer = pool.submit([&] {
    tutti::fork_join(
        [&] {
          stolen.get();  // a spare thread takes the other branch
          awake = true;
          tutti_test::until([&] { return go.load(); });
        },
        [&] {
          theft.set_value();
          tutti_test::until([&] { return queued.load(); });
          value.get();
        });
  });
  tutti_test::until([&] { return awake.load(); });
  pool.post([&] { promise.set_value(); });
  {
    const no_threads none;
    queued = true;
    tutti_test::until([] { return tutti_test::waiting_for("future::wait") == 1; });
    go = true;
    tutti_test::until([&] { return refused->count == 1; });
    clock.advance(pause);
    if (refused->count != 2) _exit(6);
  }
  clock.advance(pause);
  outer.get();
  _exit(refused->count == 2 ? 0 : 7);
}

TEST(threads_refused_death, a_spares_is_made_up_for_when_the_last_worker_sleeps_in_a_join) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(block_in_a_join(), testing::ExitedWithCode(0), "");
}

// However much is submitted meanwhile, one attempt in each pause.
[[noreturn]] void submit_without_threads() {
  become_somebody();
  start_the_timer_thread();
  tutti::virtual_clock clock;
  const auto refused = count_refusals();
  std::atomic<int> ran{0};
  thread_pool pool{1};
  tutti::promise<void> promise;
  auto value = promise.get_future();
  auto asleep = pool.submit([&] { value.get(); });
  tutti_test::until([] { return tutti_test::waiting_for("future::wait") == 1; });
  {
    const no_threads none;
    for (int round = 1; round <= 20; ++round) {
      for (int i = 0; i < 100; ++i) pool.post([&] { ++ran; });
      if (refused->count != round) _exit(6);
      clock.advance(pause / 2);
      if (refused->count != round) _exit(7);
      clock.advance(pause / 2);
      if (refused->count != round + 1) _exit(8);
    }
  }
  clock.advance(pause);
  tutti_test::until([&] { return ran == 2000; });
  promise.set_value();
  asleep.get();
  _exit(refused->count == 21 ? 0 : 9);
}

TEST(threads_refused_death, a_spares_is_asked_for_once_in_each_pause) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(submit_without_threads(), testing::ExitedWithCode(0), "");
}

// What it has run itself is still in its queue: nobody is needed for that, so nobody is missed.
[[noreturn]] void block_behind_what_is_over() {
  become_somebody();
  thread_pool pool{1};
  tutti::promise<int> promise;
  auto value = promise.get_future();
  const no_threads none;
  auto waiter = pool.submit([&] {
    pool.submit([] {}).get();
    return value.get();
  });
  tutti_test::until([&] { return tutti_test::waiting_for("future::wait") == 1 || waiter.done(); });
  promise.set_value(1);
  _exit(waiter.get() == 1 ? 0 : 6);
}

TEST(threads_refused_death, a_spares_is_no_error_where_none_is_needed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(block_behind_what_is_over(), testing::ExitedWithCode(0), "");
}

struct entry final : tutti::timer_entry {
  void due() noexcept override { ++calls; }
  std::atomic<int> calls{0};
};

[[noreturn]] void set_a_timer() {
  become_somebody();
  std::atomic<int> calls{0};
  entry own;
  try {
    const no_threads refused;
    own.set(tutti::now());
    _exit(7);
  } catch (const std::system_error&) {
    if (own.cancel()) _exit(8);
  }
  try {
    const no_threads refused;
    tutti::call_later(0s, [&] { ++calls; });
    _exit(5);
  } catch (const std::exception& e) {
    (void)fprintf(stderr, "refused: %s\n", e.what());
  }
  // Timers are called in order: it would be called before the next one.
  std::latch called(1);
  tutti::call_later(0s, [&] { called.count_down(); });
  called.wait();
  own.cancel_and_wait();
  _exit(calls + own.calls == 0 ? 0 : 6);
}

TEST(threads_refused_death, the_timers_is_an_error_of_who_sets_one_which_then_is_never_called) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(set_a_timer(), testing::ExitedWithCode(0), "refused: ");
}

// Refused its thread, it leaves the signal as it was.
[[noreturn]] void ask_for_dumps() {
  become_somebody();
  try {
    const no_threads refused;
    tutti::dump_on_signal();
    _exit(5);
  } catch (const std::system_error& e) {
    (void)fprintf(stderr, "refused: %s\n", e.what());
  }
  raise(SIGUSR1);  // its own default: the end
  _exit(6);
}

TEST(threads_refused_death, the_dumpers_is_an_error_and_nothing_has_changed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ask_for_dumps(), testing::KilledBySignal(SIGUSR1), "refused: dump_on_signal: cannot start its thread: ");
}
#endif

}  // namespace
